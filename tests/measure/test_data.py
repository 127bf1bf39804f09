"""Inputs made in parts are the same wherever they are made, and no two parts are alike."""

from __future__ import annotations

import itertools

import torch

from fiabench.measure import data
from tests.ulysses.points import make_case

CPU = torch.device("cpu")


def test_shards_and_whole_heads_are_made_of_the_same_chunks():
    case = make_case(batch=2, kv_heads=4, seq_len_kv=36, dtype="bf16")
    for name, heads in {"query": 8, "key": 4, "value": 4}.items():
        shards = [data.sequence_shard(case, name, rank, CPU) for rank in range(2)]
        whole = torch.cat(shards, dim=1)
        assert whole.shape == (2, 24 if name == "query" else 36, heads, 16)
        assert whole.dtype == torch.bfloat16
        for head in range(heads):
            assert torch.equal(data.whole_head(case, name, head, CPU), whole[:, :, head].float())


def test_every_tensor_head_and_rank_has_its_own_values():
    """Two equal chunks would let a swapped head or slab pass the check."""
    case = make_case(batch=2, dtype="fp16")
    seen = set()
    for name, head, rank in itertools.product(("query", "key", "value"), range(8), range(2)):
        for values in data.chunk(case, name, head, rank, CPU):
            seen.add(tuple(values.flatten().tolist()))
    assert len(seen) == 3 * 8 * 2 * 2


def test_values_are_standard_normal():
    values = data.sequence_shard(make_case(seq_len_q=2048, dtype="bf16"), "query", 0, CPU).float()
    assert abs(float(values.mean())) < 0.01
    assert abs(float(values.std()) - 1) < 0.01


def test_a_kernel_alone_gets_one_ranks_heads_and_the_whole_sequence():
    case = make_case(measure="kernel", heads=24, kv_heads=6, tp=2, ulysses=3)
    assert data.sequence_shard(case, "query", 0, CPU).shape == (1, 24, 4, 16)
    assert data.sequence_shard(case, "value", 0, CPU).shape == (1, 24, 1, 16)
