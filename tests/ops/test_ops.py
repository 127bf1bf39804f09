"""The operators under test: found by name, right in both layouts, and honest about what they cannot do."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from fiabench import npu_operator, ops
from fiabench.cases.case import Case
from tests.npu_operator.reference import TOLERANCE, attention, causal, from_layout, to_layout

TORCH_DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}

BASE = {
    "measure": "kernel",
    "op": "fia",
    "layout": "BNSD",
    "dtype": "fp16",
    "mask": "none",
    "seq_len_q": 24,
    "seq_len_kv": 24,
    "batch": 2,
    "heads": 16,
    "kv_heads": 8,
    "head_dim": 64,
    "tp": 2,
    "ulysses": 2,
    "heads_per_rank": 4,
    "kv_heads_per_rank": 2,
    "exchange": "none",
    "exchange_bytes": 0,
    "replicas": "one",
    "threads": 0,
}


def make_case(**changes) -> Case:
    return Case(**{**BASE, **changes})


def tensors(case: Case):
    torch.manual_seed(0)
    dtype = TORCH_DTYPES[case.dtype]
    query = torch.randn(case.batch, case.heads_per_rank, case.seq_len_q, case.head_dim).to(dtype)
    key, value = torch.randn(2, case.batch, case.kv_heads_per_rank, case.seq_len_kv, case.head_dim).to(dtype)
    return query, key, value


def test_names_are_the_files_and_listing_imports_no_torch():
    script = "import sys, fiabench.ops as o; print(*o.names()); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    listed, torch_loaded = done.stdout.splitlines()
    assert {"fia", "sdpa"} <= set(listed.split())
    assert torch_loaded == "False"


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"no operator named 'flash'; there are: .*fia.*sdpa"):
        ops.load("flash")


@pytest.mark.parametrize("name", ops.names())
def test_every_operator_offers_the_whole_interface(name):
    operator = ops.load(name)
    assert len(operator.ABOUT.splitlines()) == 1
    assert operator.emulated("cpu") in (True, False)
    assert isinstance(operator.unsupported(make_case(op=name), "cpu"), (str, type(None)))


@pytest.mark.parametrize("layout", ["BNSD", "BSND"])
@pytest.mark.parametrize("mask", ["none", "causal"])
@pytest.mark.parametrize("lengths", [(24, 24), (10, 24), (24, 10), (1, 24)])
@pytest.mark.parametrize(("name", "dtype"), [("fia", "fp16"), ("fia", "bf16"), ("sdpa", "bf16"), ("sdpa", "fp32")])
def test_output_matches_float64_in_the_cases_layout(name, dtype, lengths, mask, layout):
    """Causal is aligned to the bottom right in every operator, so that they measure the same work."""
    case = make_case(op=name, dtype=dtype, seq_len_q=lengths[0], seq_len_kv=lengths[1], mask=mask, layout=layout)
    query, key, value = tensors(case)
    launch = ops.load(name).prepare(case, *(to_layout(tensor, layout) for tensor in (query, key, value)))
    output = launch()
    assert output.is_contiguous()
    hidden = causal(*lengths, bottom_right=True) if mask == "causal" else None
    expected, _ = attention(query, key, value, hidden, case.head_dim**-0.5)
    torch.testing.assert_close(
        from_layout(output, layout).double(), expected, atol=TOLERANCE[TORCH_DTYPES[dtype]], rtol=0
    )


def test_fia_takes_its_head_count_from_the_tensors():
    """The seed's bug: the model's count would be refused, a rank's is what the tensors have."""
    case = make_case(heads=40, kv_heads=40, heads_per_rank=5, kv_heads_per_rank=5)
    ops.load("fia").prepare(case, *tensors(case))()


def test_launches_do_not_build_masks(monkeypatch):
    """A mask built in the launch would be timed."""
    case = make_case(mask="causal", seq_len_q=10)
    for name in ("fia", "sdpa"):
        launch = ops.load(name).prepare(case, *tensors(case))
        module = sys.modules[f"fiabench.ops.{name}"]
        monkeypatch.setattr(module, "torch", SimpleNamespace())
        launch()
        monkeypatch.undo()


@pytest.mark.skipif(not npu_operator.provided(), reason="torch_npu provides the operator here")
@pytest.mark.parametrize(
    ("changes", "device", "reason"),
    [
        ({}, "cpu", None),
        ({}, "npu", "torch_npu is not there"),
        ({"dtype": "fp32"}, "cpu", "fp16 and bf16"),
        ({"head_dim": 72}, "cpu", "multiples of 16"),
        ({"head_dim": 72, "seq_len_q": 1}, "cpu", None),
        ({"head_dim": 528}, "cpu", "at most 512"),
        ({"heads_per_rank": 65, "kv_heads_per_rank": 1}, "cpu", "at most 64"),
        ({"heads_per_rank": 4, "kv_heads_per_rank": 3}, "cpu", "no multiple"),
        ({"layout": "TND"}, "cpu", "layout TND"),
    ],
)
def test_fia_says_beforehand_what_it_cannot_do(changes, device, reason):
    said = ops.load("fia").unsupported(make_case(**changes), device)
    assert said is None if reason is None else reason in said


@pytest.mark.skipif(not npu_operator.provided(), reason="torch_npu provides the operator here")
@pytest.mark.parametrize("changes", [{"dtype": "fp32"}, {"head_dim": 72}, {"head_dim": 528}])
def test_what_fia_says_beforehand_the_operator_refuses(changes):
    """A reason without a refusal behind it would leave out cases for nothing."""
    case = make_case(**changes)
    with pytest.raises(RuntimeError, match="561002"):
        ops.load("fia").prepare(case, *tensors(case))()


def test_emulation_is_told():
    assert ops.load("fia").emulated("cpu") is npu_operator.provided()
    assert ops.load("fia").emulated("npu") is False
    assert ops.load("sdpa").emulated("cpu") is False
