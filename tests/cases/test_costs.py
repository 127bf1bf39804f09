"""Costs against brute force, and against the worked example of the method."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiabench.cases import costs
from fiabench.cases.case import MASKS, Case
from fiabench.cases.shards import pad_heads


def a_case(**fields) -> Case:
    values = {
        "measure": "ulysses", "op": "fia", "layout": "BNSD", "dtype": "bf16", "mask": "none", "seq_len_q": 25200,
        "batch": 1, "heads": 40, "head_dim": 128, "tp": 1, "ulysses": 8, "exchange": "separate",
        "exchange_bytes": 0, "replicas": "one", "threads": 0, **fields,
    }  # fmt: skip
    values.setdefault("seq_len_kv", values["seq_len_q"])
    values.setdefault("kv_heads", values["heads"])
    shard = pad_heads(values["heads"], values["kv_heads"], values["tp"], values["ulysses"])
    values["heads_per_rank"], values["kv_heads_per_rank"] = shard
    return Case(**values)


def test_worked_example():
    """25,200 tokens, 40 heads of 128, 8 ranks, bf16: 129 MB, 113 MB on the wire, 1.63 TFLOP a rank."""
    case = a_case()
    assert costs.exchanged_bytes(case) == 129_024_000
    assert costs.wire_bytes(case) == 112_896_000
    assert round(costs.kernel_flops(case) / 1e12, 2) == 1.63
    assert costs.tokens(case) == 25_200


LENGTHS = st.integers(1, 24)


def visible(mask: str, q: int, k: int, sq: int, sk: int) -> bool:
    return mask == "none" or k <= q + (0 if mask == "causal_top_left" else sk - sq)


@given(mask=st.sampled_from(MASKS), sq=LENGTHS, sk=LENGTHS)
def test_attended_pairs(mask, sq, sk):
    pairs = itertools.product(range(sq), range(sk))
    assert costs.attended_pairs(mask, sq, sk) == sum(visible(mask, q, k, sq, sk) for q, k in pairs)


@given(mask=st.sampled_from(MASKS), ring=st.integers(1, 4), shard=st.integers(1, 6), keys=st.integers(1, 6))
def test_the_busiest_rank_of_a_ring_has_the_last_queries(mask, ring, shard, keys):
    sq, sk = ring * shard, ring * keys
    case = a_case(heads=1, head_dim=1, ulysses=1, ring=ring, seq_len_q=sq, seq_len_kv=sk, mask=mask)
    pairs = itertools.product(range(sq - shard, sq), range(sk))
    assert costs.kernel_flops(case) == 4 * sum(visible(mask, q, k, sq, sk) for q, k in pairs)
    assert costs.ring_bytes(case) == 2 * 2 * keys * (ring - 1)


def test_padding_counts_heads_and_tokens():
    """5 heads on 4 ranks take 8 slots, 30 tokens 32 rows."""
    case = a_case(heads=5, ulysses=4, seq_len_q=30)
    assert case.padded
    assert costs.padding(case) == pytest.approx(1 - 5 * 30 / (8 * 32))
    assert costs.exchanged_bytes(case) == 2 * 128 * 4 * 8 * 32 // 4
    assert costs.kernel_flops(case) == 2 * 2 * 30 * 30 * 2 * 128
    whole = a_case(heads=8, ulysses=4, seq_len_q=32)
    assert not whole.padded
    assert costs.padding(whole) == 0


def test_cfg_parallel_groups_share_out_the_batch():
    both, one = a_case(batch=2), a_case(batch=2, cfg=2)
    assert costs.kernel_flops(both) == 2 * costs.kernel_flops(one)
    assert (one.world_size, one.described_world_size) == (8, 16)
    assert one._replace(replicas="all").world_size == 16


def test_an_unknown_mask_has_no_count():
    with pytest.raises(ValueError, match="band"):
        costs.attended_pairs("band", 4, 4)


CASES = st.builds(
    lambda group, kv, tp, ulysses, sq, sk, **fields: a_case(
        heads=group * kv * tp * ulysses, kv_heads=kv * tp * ulysses, tp=tp, ulysses=ulysses,
        seq_len_q=sq * ulysses, seq_len_kv=sk * ulysses, **fields,
    ),
    group=st.integers(1, 2), kv=st.integers(1, 2), tp=st.integers(1, 2), ulysses=st.integers(1, 3),
    sq=st.integers(1, 4), sk=st.integers(1, 4), head_dim=st.integers(1, 3), batch=st.integers(1, 2),
    dtype=st.sampled_from(["fp16", "bf16", "fp32"]), mask=st.sampled_from(MASKS),
)  # fmt: skip


@given(CASES)
def test_kernel_by_counting(case):
    """Multiply and add once for each element of each product; touch each element of each tensor once."""
    flops = elements = 0
    for _batch, _head in itertools.product(range(case.batch), range(case.heads_per_rank)):
        for q, k in itertools.product(range(case.seq_len_q), range(case.seq_len_kv)):
            if visible(case.mask, q, k, case.seq_len_q, case.seq_len_kv):
                flops += 2 * case.head_dim + 2 * case.head_dim  # the score, then its share of the output
        elements += 2 * case.seq_len_q * case.head_dim  # q and the output
    elements += 2 * case.batch * case.kv_heads_per_rank * case.seq_len_kv * case.head_dim
    assert costs.kernel_flops(case) == flops
    assert costs.kernel_min_bytes(case) == elements * case.element_bytes


@given(CASES)
def test_exchange_by_counting_tensors(case):
    """q and the output travel with all of the group's heads, k and v with the kv heads of every rank's slots."""
    shard_q, shard_kv = case.seq_len_q // case.ulysses, case.seq_len_kv // case.ulysses
    rows = 2 * shard_q * case.heads_per_rank * case.ulysses + 2 * shard_kv * case.kv_heads_per_rank * case.ulysses
    expected = case.element_bytes * case.batch * rows * case.head_dim if case.ulysses > 1 else 0
    assert costs.exchanged_bytes(case) == expected
    assert costs.wire_bytes(case) == expected * (case.ulysses - 1) // case.ulysses


def test_replicated_kv_heads_are_exchanged_for_every_rank():
    few, many = (a_case(heads=64, kv_heads=kv, ulysses=8, seq_len_q=1024) for kv in (2, 8))
    assert costs.exchanged_bytes(few) == costs.exchanged_bytes(many)


def test_nothing_is_exchanged_on_one_rank_or_for_the_kernel_alone():
    assert costs.exchanged_bytes(a_case(ulysses=1)) == 0
    kernel = a_case(measure="kernel")
    assert costs.exchanged_bytes(kernel) == costs.wire_bytes(kernel) == 0
    assert costs.kernel_flops(kernel) == costs.kernel_flops(a_case())


def test_an_exchange_alone():
    case = Case(
        "exchange", "none", "BNSD", "bf16", "none", 0, 0, 1, 0, 0, 0, 1, 4, 0, 0, "none", 1 << 20, "one", 0
    )  # fmt: skip
    assert costs.exchanged_bytes(case) == 1 << 20
    assert costs.wire_bytes(case) == 3 << 18
    assert costs.memory_bytes(case) == 3 << 20
    assert costs.kernel_flops(case) == costs.kernel_min_bytes(case) == costs.tokens(case) == 0


@given(CASES)
def test_memory_holds_every_buffer_at_once(case):
    inputs_and_output = costs.kernel_min_bytes(case)
    copies = 4 if case.ulysses > 1 else 1
    assert costs.memory_bytes(case) >= copies * inputs_and_output
    twice = case._replace(batch=2 * case.batch)
    assert costs.memory_bytes(case) < costs.memory_bytes(twice) <= 2 * costs.memory_bytes(case)


def test_memory_of_the_longest_context_is_linear_in_the_tokens():
    short, long = (a_case(seq_len_q=n, mask="causal") for n in (1 << 16, 1 << 20))
    assert costs.memory_bytes(long) < 17 * costs.memory_bytes(short)
