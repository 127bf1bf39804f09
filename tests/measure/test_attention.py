"""The sharded attention is unsharded attention: every element, against float64, on real ranks."""

from __future__ import annotations

import itertools

import pytest
import torch

from fiabench.measure import data
from fiabench.measure.pipeline import build
from tests.npu_operator.reference import TOLERANCE, attention, causal
from tests.ulysses.points import make_case
from tests.ulysses.ranks import run_ranks

GEOMETRIES = {
    "all heads": {},
    "grouped": {"kv_heads": 4},
    "one kv head": {"kv_heads": 1, "batch": 2},
    "cross attention": {"seq_len_kv": 36, "kv_heads": 2},
    "tensor parallel": {"heads": 16, "kv_heads": 4, "tp": 2},
    "decode": {"seq_len_q": 4, "seq_len_kv": 24},
}
VARIANTS = [
    ("fia", "separate", "BNSD", "fp16"),
    ("fia", "packed", "BSND", "bf16"),
    ("sdpa", "separate", "BSND", "fp32"),
    ("sdpa", "packed", "BNSD", "fp16"),
]


def largest_errors(groups, device, cases):
    """For each case the largest error of this rank's whole output, relative to what its dtype allows."""
    group = groups.ulysses(groups.world_size) if groups.world_size > 1 else None
    errors = {}
    for name, case in cases:
        pipeline = build(case, groups.rank, group, device)
        pipeline.poison()
        pipeline.run()
        found = pipeline.attention().double()
        wanted = unsharded(case)
        tokens = case.seq_len_q // data.ranks_of(case)
        wanted = wanted[:, groups.rank * tokens : (groups.rank + 1) * tokens]
        assert found.shape == wanted.shape, name
        errors[name] = float((found - wanted).abs().max()) / TOLERANCE[data.TORCH_DTYPES[case.dtype]]
    return errors


def unsharded(case):
    """[B, S, N, D] in float64 of the case's whole tensors."""
    whole = [
        torch.cat(
            [data.sequence_shard(case, name, rank, torch.device("cpu")) for rank in range(data.ranks_of(case))], 1
        )
        for name in ("query", "key", "value")
    ]
    hidden = causal(case.seq_len_q, case.seq_len_kv, bottom_right=True) if case.mask == "causal" else None
    output, _ = attention(*(tensor.transpose(1, 2) for tensor in whole), hidden, case.head_dim**-0.5)
    return output.transpose(1, 2)


@pytest.mark.parametrize("ranks", [2, 4])
def test_ulysses_gives_unsharded_attention(ranks):
    cases = [
        (f"{name}, {mask}, {variant}", make_case(**geometry, mask=mask, ulysses=ranks, **named(variant)))
        for (name, geometry), mask, variant in itertools.product(GEOMETRIES.items(), ("none", "causal"), VARIANTS)
    ]
    for errors in run_ranks(ranks, largest_errors, cases):
        assert len(errors) == len(cases)
        assert {name: error for name, error in errors.items() if not error <= 1} == {}


def named(variant):
    return dict(zip(("op", "exchange", "layout", "dtype"), variant))


@pytest.mark.parametrize("mask", ["none", "causal"])
@pytest.mark.parametrize("measure", ["kernel", "ulysses"])
def test_one_rank_gives_attention(measure, mask):
    """The kernel alone of a deployment's rank, and a Ulysses degree of one, which exchanges nothing."""
    ulysses = 2 if measure == "kernel" else 1
    cases = []
    for (name, geometry), variant in itertools.product(GEOMETRIES.items(), VARIANTS):
        changes = named(variant) | {"exchange": "none", "measure": measure, "ulysses": ulysses, "mask": mask}
        cases.append((f"{name}, {variant}", make_case(**geometry, **changes)))
    (errors,) = run_ranks(1, largest_errors, cases)
    assert {name: error for name, error in errors.items() if not error <= 1} == {}
