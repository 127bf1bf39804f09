"""The sharded attention is unsharded attention: every element, against float64, on real ranks."""

from __future__ import annotations

import itertools

import pytest
import torch

from fiabench.measure import data
from fiabench.measure.build import build, unsupported
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
    "padded heads and tokens": {"heads": 10, "kv_heads": 5, "seq_len_q": 25, "batch": 2},
    "padded keys": {"heads": 6, "seq_len_q": 21, "seq_len_kv": 26},
    "cfg-parallel": {"batch": 4, "cfg": 2, "kv_heads": 4},
}
VARIANTS = [
    ("fia", "separate", "BNSD", "fp16"),
    ("fia", "packed", "BSND", "bf16"),
    ("fia", "separate", "BSH", "fp16"),
    ("fia", "separate", "BNSD_NBSD", "fp16"),
    ("sdpa", "separate", "BSND", "fp32"),
    ("sdpa", "packed", "BNSD_BSND", "fp16"),
]
MASKS = ("none", "causal", "causal_top_left", "causal_full")
CPU = torch.device("cpu")


def largest_errors(groups, device, cases):
    """For each case the largest error of this rank's real tokens, relative to what its dtype allows."""
    errors = {}
    for name, case in cases:
        rank = groups.rank % case.sequence_ranks
        pipeline = build(case, rank, groups, device, {})
        pipeline.poison()
        pipeline.run()
        found = pipeline.attention()
        shape = (case.batch_per_rank, case.tokens_per_rank_q, case.heads_on_group, case.head_dim)
        assert tuple(found.shape) == shape, name
        real = data.real_tokens(case, "query", rank)
        first = rank * case.tokens_per_rank_q
        wanted = unsharded(case)[:, first : first + real]
        largest = float((found[:, :real].double() - wanted).abs().max()) if real else 0.0
        errors[name] = largest / TOLERANCE[data.TORCH_DTYPES[case.dtype]]
    return errors


def unsharded(case):
    """[B, S, N, D] in float64 of the case's whole tensors, without padding."""

    def whole(name):
        heads = range(data.heads_of(case, name))
        return torch.stack([data.whole_head(case, name, head, CPU) for head in heads], 1)

    hidden = None
    if case.mask != "none":
        hidden = causal(case.seq_len_q, case.seq_len_kv, bottom_right=case.mask != "causal_top_left")
    output, _ = attention(*map(whole, ("query", "key", "value")), hidden, case.head_dim**-0.5)
    return output.transpose(1, 2)


def allowed(cases):
    """Those that operator and layout take, which must be most."""
    taken = [(name, case) for name, case in cases if not unsupported(case, "cpu", {})]
    assert len(taken) > 0.9 * len(cases)
    return taken


def right_everywhere(answers, cases):
    for errors in answers:
        assert len(errors) == len(cases)
        assert {name: error for name, error in errors.items() if not error <= 1} == {}


def named(variant):
    return dict(zip(("op", "exchange", "layout", "dtype"), variant))


@pytest.mark.parametrize("ranks", [2, 4])
def test_ulysses_gives_unsharded_attention(ranks):
    cases = [
        (f"{name}, {mask}, {variant}", make_case(**geometry, mask=mask, ulysses=ranks, **named(variant)))
        for (name, geometry), mask, variant in itertools.product(GEOMETRIES.items(), MASKS, VARIANTS)
    ]
    cases += [
        (f"packed sequences, {name}", make_case(op="fia", dtype="bf16", head_dim=64, ulysses=ranks, batch=2, **changes))
        for name, changes in {
            "TND": {"layout": "TND"},
            "NTD": {"layout": "NTD_TND", "mask": "causal"},
            "TND padded": {"layout": "TND", "seq_len_q": 21, "mask": "causal"},
        }.items()
    ]
    cases += [
        (f"strided {layout}", make_case(layout=layout, inputs="strided", ulysses=ranks, seq_len_q=25, heads=6))
        for layout in ("BNSD", "BNSD_BSND")
    ]
    cases = allowed(cases)
    right_everywhere(run_ranks(ranks, largest_errors, cases), cases)


RINGS = {
    "plain": {},
    "grouped": {"kv_heads": 2, "batch": 2},
    "cross attention": {"seq_len_q": 16, "seq_len_kv": 64},
    "keys fewer than queries": {"seq_len_q": 32, "seq_len_kv": 16},
    "decode": {"seq_len_q": 4, "seq_len_kv": 28},
    "padded": {"seq_len_q": 21, "heads": 6},
    "ranks of padding alone": {"seq_len_q": 5},
    "packed": {"exchange": "packed"},
}


@pytest.mark.parametrize(("ulysses", "ring"), [(1, 2), (1, 4), (2, 2)])
def test_a_ring_gives_unsharded_attention(ulysses, ring):
    """Rows without a key too, whose log-sum-exp operators invent: the first of a causal mask with fewer keys."""
    degrees = {"ulysses": ulysses, "ring": ring}
    cases = []
    for (name, geometry), mask in itertools.product(RINGS.items(), MASKS):
        if ulysses == 1:
            geometry = {key: value for key, value in geometry.items() if key != "exchange"}
        for op, layout, dtype in (("fia", "BNSD", "fp16"), ("fia", "BSH", "bf16"), ("sdpa", "BSND", "fp32")):
            changes = {"op": op, "layout": layout, "dtype": dtype, "mask": mask} | degrees
            cases.append((f"{name}, {changes}", make_case(**geometry | changes)))
    cases = allowed(cases)
    right_everywhere(run_ranks(ulysses * ring, largest_errors, cases), cases)


@pytest.mark.parametrize("mask", ["none", "causal"])
@pytest.mark.parametrize("measure", ["kernel", "ulysses"])
def test_one_rank_gives_attention(measure, mask):
    """The kernel alone of a deployment's rank, and a Ulysses degree of one, which exchanges nothing."""
    ulysses = 2 if measure == "kernel" else 1
    cases = []
    for (name, geometry), variant in itertools.product(GEOMETRIES.items(), VARIANTS):
        changes = named(variant) | {"exchange": "none", "measure": measure, "ulysses": ulysses, "mask": mask}
        cases.append((f"{name}, {variant}", make_case(**geometry, **changes)))
        if variant[2] in ("BNSD", "BSND"):
            cases.append((f"{name}, {variant}, strided", make_case(**geometry, **changes, inputs="strided")))
    cases = allowed(cases)
    (errors,) = run_ranks(1, largest_errors, cases)
    right_everywhere([errors], cases)
