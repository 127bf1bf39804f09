"""Heads on tensor-parallel and Ulysses ranks, against handing them out one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiabench.cases.shards import ShardError, kv_heads_of, kv_heads_on_group, shard_heads

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
    slots = kv_heads_of(on_group, ulysses)
    assert len(slots) == ulysses * local_kv
    for member in range(tp):
        first_kv = member * on_group if kv_heads >= tp else member // (tp // kv_heads)
        for rank in range(ulysses):
            queries = [member * heads // tp + rank * local + i for i in range(local)]
            held = [first_kv + slot for slot in slots[rank * local_kv : (rank + 1) * local_kv]]
            for place, query in enumerate(queries):
                assert held[place // (local // local_kv)] == query // group


def test_kv_slots_are_the_identity_without_replication():
    assert kv_heads_of(8, 4) == list(range(8))
    assert kv_heads_of(2, 8) == [0, 0, 0, 0, 1, 1, 1, 1]
    with pytest.raises(ValueError, match="evenly"):
        kv_heads_of(3, 8)
