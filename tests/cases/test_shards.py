"""Heads on tensor-parallel and Ulysses ranks, against handing them out one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiabench.cases.shards import ShardError, head_slots, kv_heads_on_group, pad_heads, shard_heads

DEGREES = st.integers(1, 16)


@pytest.mark.parametrize(
    ("heads", "kv_heads", "tp", "ulysses", "expected"),
    [
        (40, 40, 2, 4, (5, 5)),  # the seed's case
        (40, 40, 1, 8, (5, 5)),
        (64, 8, 1, 8, (8, 1)),
        (64, 8, 1, 16, (4, 1)),  # two ranks to each kv head
        (64, 4, 8, 1, (8, 1)),  # two tensor-parallel ranks to each kv head
        (64, 4, 8, 2, (4, 1)),
        (32, 8, 2, 2, (8, 2)),
        (30, 30, 1, 5, (6, 6)),
    ],
)
def test_known_plans(heads, kv_heads, tp, ulysses, expected):
    assert shard_heads(heads, kv_heads, tp, ulysses) == expected


@pytest.mark.parametrize(
    ("heads", "kv_heads", "tp", "ulysses", "key", "reason"),
    [
        (40, 40, 1, 16, "ulysses", "ulysses 16 does not divide 40 heads"),
        (40, 40, 2, 8, "ulysses", "ulysses 8 does not divide the 20 heads that tp 2 leaves of 40"),
        (40, 40, 3, 1, "tp", "tp 3 does not divide 40 heads"),
        (40, 12, 1, 1, "kv_heads", "12 kv heads do not divide 40 heads"),
        (24, 6, 1, 4, "ulysses", "ulysses 4 does not divide 6 kv heads"),
        (24, 6, 4, 1, "tp", "tp 4 does not divide 6 kv heads"),
        (24, 2, 3, 1, "tp", "2 kv heads cannot be replicated evenly on tp 3"),
        (24, 2, 1, 3, "ulysses", "2 kv heads cannot be replicated evenly on ulysses 3"),
    ],
)
def test_impossible_plans_say_why(heads, kv_heads, tp, ulysses, key, reason):
    with pytest.raises(ShardError) as caught:
        shard_heads(heads, kv_heads, tp, ulysses)
    assert (caught.value.key, str(caught.value)) == (key, reason)
    assert isinstance(caught.value, ValueError)


@given(group=st.integers(1, 8), kv_heads=st.integers(1, 24), tp=DEGREES, ulysses=DEGREES)
def test_every_query_head_finds_its_kv_head_on_its_rank(group, kv_heads, tp, ulysses):
    """Hand out heads as Megatron and Ulysses do, and see that each rank has the kv heads that its query heads read."""
    heads = group * kv_heads
    try:
        local, local_kv = shard_heads(heads, kv_heads, tp, ulysses)
    except ShardError:
        return
    on_group = kv_heads_on_group(kv_heads, tp)
    _, slots = head_slots(heads // tp, on_group, ulysses)
    assert len(slots) == ulysses * local_kv
    for member in range(tp):
        first_kv = member * on_group if kv_heads >= tp else member // (tp // kv_heads)
        for rank in range(ulysses):
            queries = [member * heads // tp + rank * local + i for i in range(local)]
            held = [first_kv + slot for slot in slots[rank * local_kv : (rank + 1) * local_kv]]
            for place, query in enumerate(queries):
                assert held[place // (local // local_kv)] == query // group


def test_slots_are_the_identity_without_replication():
    assert head_slots(16, 8, 4) == (list(range(16)), list(range(8)))
    assert head_slots(16, 2, 8)[1] == [0, 0, 0, 0, 1, 1, 1, 1]
    with pytest.raises(ValueError, match="evenly"):
        head_slots(6, 3, 8)


def test_padding_keeps_each_kv_group_whole():
    """40 query heads over 8 kv heads on 16 ranks: two ranks to a group of five, three slots each, one of them empty."""
    assert pad_heads(40, 8, 1, 16) == (3, 1)
    queries, kv = head_slots(40, 8, 16)
    assert queries[:6] == [0, 1, 2, 3, 4, None]
    assert kv[:4] == [0, 0, 1, 1]
    assert pad_heads(5, 5, 1, 4) == (2, 2)
    assert head_slots(5, 5, 4)[0] == [0, 1, 2, 3, 4, None, None, None]
    with pytest.raises(ShardError, match="tp 3 does not divide"):
        pad_heads(8, 8, 3, 2)


@given(group=st.integers(1, 6), kv_heads=st.integers(1, 12), ulysses=DEGREES)
def test_padded_slots_hold_every_head_once_beside_its_kv_head(group, kv_heads, ulysses):
    heads = group * kv_heads
    try:
        local, local_kv = pad_heads(heads, kv_heads, 1, ulysses)
    except ShardError:
        assert kv_heads < ulysses
        assert ulysses % kv_heads
        return
    queries, kv = head_slots(heads, kv_heads, ulysses)
    assert (len(queries), len(kv)) == (ulysses * local, ulysses * local_kv)
    assert [head for head in queries if head is not None] == list(range(heads))
    for slot, head in enumerate(queries):
        rank, place = divmod(slot, local)
        if head is not None:
            assert kv[rank * local_kv + place // (local // local_kv)] == head // group
