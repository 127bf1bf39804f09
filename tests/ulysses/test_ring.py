"""Which keys a ring's blocks show to which queries, pair by pair."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fiabench.cases.case import MASKS
from fiabench.ulysses.ring import UnalignedBlock, blocks, unsupported
from tests.ulysses.points import make_case

TOKENS = st.integers(1, 40)
DEGREES = st.sampled_from([(1, 2), (1, 3), (2, 2), (1, 4), (3, 2)])


def sees(mask: str, query: int, key: int, queries: int, keys: int) -> bool:
    """Whether one query sees one key, as the sweep's README words the masks."""
    if mask == "none":
        return True
    return key <= (query if mask == "causal_top_left" else query + keys - queries)


def shown(case, index: int) -> Counter:
    """Pairs of query and key of the whole sequence that the blocks of one group compute."""
    each_q, each_kv = case.tokens_per_rank_q * case.ulysses, case.tokens_per_rank_kv * case.ulysses
    pairs = Counter()
    for step, block in enumerate(blocks(case, index)):
        if block is None:
            continue
        first_key = (index - step) % case.ring * each_kv
        for query in range(block.queries):
            seen = [key for key in range(block.keys) if sees(block.mask, query, key, block.queries, block.keys)]
            assert bool(seen) == (query >= block.hidden), "which rows see no key must be known"
            pairs.update((index * each_q + query, first_key + key) for key in seen)
    return pairs


@given(TOKENS, TOKENS, DEGREES, st.sampled_from(MASKS))
def test_every_pair_is_computed_once_and_no_other(seq_len_q, seq_len_kv, degrees, mask):
    ulysses, ring = degrees
    lengths = {"seq_len_q": seq_len_q, "seq_len_kv": seq_len_kv}
    case = make_case(**lengths, ulysses=ulysses, ring=ring, mask=mask, heads=12)
    assume(unsupported(case) is None)
    found = sum((shown(case, index) for index in range(ring)), Counter())
    wanted = Counter(
        (query, key)
        for query in range(seq_len_q)
        for key in range(seq_len_kv)
        if sees(mask, query, key, seq_len_q, seq_len_kv)
    )
    assert found == wanted


@given(TOKENS, DEGREES, st.sampled_from(MASKS))
def test_a_ring_of_as_many_queries_as_keys_is_never_refused(tokens, degrees, mask):
    ulysses, ring = degrees
    assert unsupported(make_case(seq_len_q=tokens, ulysses=ulysses, ring=ring, mask=mask, heads=12)) is None


def test_hidden_blocks_are_skipped_and_the_diagonal_is_causal():
    case = make_case(ulysses=1, ring=3, mask="causal")
    assert [[block and block.mask for block in blocks(case, index)] for index in range(3)] == [
        ["causal", None, None],
        ["causal", "none", None],
        ["causal", "none", "none"],
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"seq_len_q": 32, "seq_len_kv": 24, "mask": "causal"},
            "the diagonal of block 0 starts 8 keys into it, aligned to neither of its ends",
        ),
        ({"kv_cache": "paged_BNBD_128"}, "kv cache paged_BNBD_128 with ring 2: a ring passes whole keys and values on"),
    ],
)
def test_what_a_ring_cannot_do_is_said_beforehand(changes, words):
    case = make_case(ulysses=1, ring=2, **changes)
    assert words in unsupported(case)


def test_an_unaligned_block_raises():
    with pytest.raises(UnalignedBlock):
        blocks(make_case(ulysses=1, ring=2, seq_len_q=32, seq_len_kv=24, mask="causal"), 1)
