"""What an operator cannot do is said before anything runs, in words, and is what the call would refuse."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fiabench import npu_operator, ops
from fiabench.cases.case import LAYOUTS, MASKS, Case
from tests.ops.made import in_layout, make_case, tensors

pytestmark = pytest.mark.skipif(not npu_operator.provided(), reason="torch_npu provides the operators here")

ULYSSES = {"measure": "ulysses", "exchange": "separate"}
MANY = {"seq_len_q": 3_000_000, "seq_len_kv": 3_000_000}

REASONS: list[tuple[str, dict[str, Any], str, str]] = [
    # What all the NPU's operators share.
    *((name, {}, "npu", "torch_npu is not there") for name in ("fia", "fia_v2")),
    *((name, {}, "npu", "torch_npu is not there") for name in ("prompt_flash_attention", "fusion_attention")),
    # The fused-infer operator.
    ("fia", {"dtype": "fp32"}, "cpu", "dtype fp32: fia takes fp16 and bf16"),
    ("fia_v2", {"dtype": "fp32"}, "cuda", "dtype fp32: fia_v2 takes fp16 and bf16"),
    ("fia", {"head_dim": 72}, "cpu", "head dim 72: fia takes multiples of 16"),
    ("fia", {"head_dim": 72, "seq_len_q": 1, "layout": "BNSD_BSND"}, "cpu", "fia takes multiples of 16"),
    ("fia", {"head_dim": 528}, "cpu", "head dim 528: fia takes at most 512"),
    ("fia", {"head_dim": 80, "layout": "TND"}, "cpu", "head dim 80: fia takes 64, 128, 192 in layout TND"),
    ("fia", {"head_dim": 192, "layout": "NTD_TND"}, "cpu", "head dim 192: fia takes 64, 128 in layout NTD_TND"),
    ("fia", {"heads_per_rank": 257, "kv_heads_per_rank": 257}, "cpu", "257 heads a rank: fia takes at most 256"),
    ("fia", {"heads_per_rank": 65, "kv_heads_per_rank": 1}, "cpu", "65 heads a rank over 1 kv heads: fia takes at"),
    ("fia", {"kv_heads_per_rank": 3}, "cpu", "4 heads a rank are no multiple of 3 kv heads"),
    ("fia", {"seq_len_kv": 20_971_521}, "cpu", "20,971,521 tokens: fia takes at most 20,971,520"),
    ("fia", {"seq_len_q": 1, "seq_len_kv": 262_145}, "cpu", "262,145 keys: fia takes at most 262,144 for one query"),
    ("fia", {"seq_len_q": 1, "mask": "causal_top_left"}, "cpu", "fia ignores sparse_mode for one query token"),
    ("fia", {"batch": 65_537}, "cpu", "65,537 sequences: fia takes at most 65,536"),
    ("fia", {"batch": 4_097, "layout": "TND"}, "cpu", "4,097 sequences: fia takes at most 4,096 in layout TND"),
    ("fia", {"batch": 2_049, "layout": "TND", "seq_len_q": 25, **ULYSSES}, "cpu", "4,098 sequences"),
    ("fia", {"kv_cache": "paged_NZ_128", "head_dim": 256}, "cpu", "head dim 256: fia takes 64 and 128 with a cache"),
    ("fia", {"kv_cache": "paged_BBH_24"}, "cpu", "block size 24: fia takes 16 to 1024 in steps of 16 here"),
    ("fia", {"kv_cache": "paged_BBH_16", "head_dim": 96}, "cpu", "block size 16: fia takes 128 to 1024 in steps of"),
    ("fia", {"kv_cache": "paged_BBH_528", "head_dim": 96, "seq_len_q": 1}, "cpu", "fia takes 16 to 512 in steps of 16"),
    ("fia", {"kv_cache": "paged_BBH_128", **ULYSSES}, "cpu", "for the kernel alone"),
    # Prompt flash attention.
    ("prompt_flash_attention", {"layout": "TND"}, "cpu", "layout TND: prompt_flash_attention takes BNSD, BSND, BSH"),
    ("prompt_flash_attention", {"dtype": "fp32"}, "cpu", "takes fp16 and bf16"),
    ("prompt_flash_attention", {"kv_cache": "paged_BBH_128"}, "cpu", "prompt_flash_attention takes no paged cache"),
    ("prompt_flash_attention", {"mask": "causal_full", "seq_len_kv": 10}, "cpu", "hides every key from a query"),
    ("prompt_flash_attention", {"layout": "BSH", "heads_per_rank": 128, "head_dim": 512}, "cpu", "65,534 elements"),
    ("prompt_flash_attention", {"batch": 129, "head_dim": 72}, "cpu", "129 sequences"),
    ("prompt_flash_attention", {"batch": 65_537}, "cpu", "65,537 sequences"),
    ("prompt_flash_attention", {"head_dim": 520}, "cpu", "at most 512"),
    # Fusion attention.
    ("fusion_attention", {"layout": "BNSD_BSND"}, "cpu", "fusion_attention takes BNSD, BSND, BSH and TND"),
    ("fusion_attention", {"kv_cache": "paged_BBH_128"}, "cpu", "fusion_attention takes no paged cache"),
    ("fusion_attention", {"head_dim": 776}, "cpu", "at most 768"),
    ("fusion_attention", {"dtype": "fp32"}, "cuda", "dtype fp32"),
    ("fusion_attention", {"heads_per_rank": 65, "kv_heads_per_rank": 1}, "cpu", "64 to one are emulated"),
    ("fusion_attention", {"seq_len_q": 1_048_577}, "cpu", "1,048,577 tokens: fusion_attention takes at most 1,048,576"),
    ("fusion_attention", {"layout": "TND", "seq_len_q": 600_000}, "cpu", "1,200,000 packed tokens"),
    ("fusion_attention", {"layout": "TND", "mask": "causal_full", "seq_len_kv": 10}, "cpu", "hides every key"),
    ("fusion_attention", {"layout": "TND", "ring": 2, **ULYSSES}, "cpu", "log-sum-exp of fusion_attention"),
    # torch's.
    ("sdpa", {"kv_cache": "paged_BBH_128"}, "cpu", "sdpa takes no paged cache"),
    ("sdpa", {"kv_heads_per_rank": 3}, "cpu", "no multiple"),
    ("sdpa", {"ring": 2, **ULYSSES}, "npu", "ring 2: sdpa returns no log-sum-exp on npu"),
    ("sdpa", {"ring": 2, "dtype": "fp32", **ULYSSES}, "cuda", "ring 2: sdpa returns the log-sum-exp on cuda for fp16"),
    ("sdpa_flash", {"ring": 2, "head_dim": 68, **ULYSSES}, "cuda", "ring 2: sdpa_flash returns the log-sum-exp"),
    (
        "sdpa",
        {"ring": 2, "mask": "causal_full", **ULYSSES},
        "cuda",
        "ring 2, mask causal_full: sdpa returns",
    ),
    (
        "sdpa",
        {"ring": 2, "mask": "causal", "seq_len_q": 10, **ULYSSES},
        "cuda",
        "sdpa returns the log-sum-exp on cuda between equal",
    ),
    ("sdpa_flash", {}, "npu", "sdpa_flash runs on cuda and cpu, not on npu"),
    ("sdpa_flash", {"dtype": "fp32"}, "cuda", "dtype fp32: sdpa_flash on cuda takes fp16 and bf16"),
    ("sdpa_flash", {"mask": "causal_full"}, "cuda", "mask causal_full: sdpa_flash on cuda takes none, causal and"),
    ("sdpa_flash", {"mask": "causal", "seq_len_q": 10}, "cuda", "between as many queries as keys only"),
    ("sdpa_flash", {"head_dim": 264}, "cuda", "at most 256"),
    ("sdpa_cudnn", {}, "cpu", "sdpa_cudnn runs on cuda, not on cpu"),
    ("sdpa_cudnn", {"head_dim": 68}, "cuda", "head dim 68: sdpa_cudnn takes multiples of 8"),
    ("sdpa_cudnn", {"dtype": "fp32"}, "cuda", "dtype fp32"),
    ("sdpa_efficient", {}, "cpu", "sdpa_efficient runs on cuda, not on cpu"),
    ("sdpa_math", {}, "npu", "sdpa_math runs on cuda and cpu, not on npu"),
    # The flash_attn package.
    ("flash_attn", {"layout": "BSND"}, "cpu", "flash_attn runs on cuda, not on cpu"),
    ("flash_attn", {}, "cuda", "layout BNSD: flash_attn takes BSND and TND"),
    ("flash_attn", {"layout": "BSND", "mask": "causal_full"}, "cuda", "mask causal_full: flash_attn takes none"),
]


@pytest.mark.parametrize(("name", "changes", "device", "reason"), REASONS)
def test_the_reason(name: str, changes: dict[str, Any], device: str, reason: str) -> None:
    said = ops.load(name).unsupported(make_case(op=name, **changes), device)
    assert said is not None
    assert reason in said
    assert "\n" not in said
    assert len(said) < 120


@pytest.mark.parametrize(
    ("name", "changes", "device"),
    [
        ("fia", {"head_dim": 72, "seq_len_q": 1}, "cpu"),
        ("fia", {"seq_len_q": 1, "seq_len_kv": 1, "mask": "causal_top_left"}, "cpu"),
        ("fia", {"kv_cache": "paged_BBH_528", "head_dim": 64}, "cpu"),
        ("fia", MANY, "cuda"),
        ("sdpa_cudnn", {"mask": "causal_full"}, "cuda"),
        ("sdpa_efficient", {"dtype": "fp32", "mask": "causal", "seq_len_q": 10}, "cuda"),
        ("sdpa_flash", {"mask": "causal_top_left"}, "cuda"),
        ("sdpa", {}, "npu"),
        ("sdpa", {"ring": 2, **ULYSSES}, "cuda"),
        ("fusion_attention", {"dtype": "fp32"}, "cpu"),
    ],
)
def test_nothing_speaks_against(name: str, changes: dict[str, Any], device: str) -> None:
    assert ops.load(name).unsupported(make_case(op=name, **changes), device) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"layout": "BNSD_NBSD"}, "layout BNSD_NBSD: fia takes 2 to 16 query tokens in it, this has 24"),
        ({"layout": "BNSD_BSND", "seq_len_q": 1}, "layout BNSD_BSND: fia takes more than one query token in it"),
        ({"layout": "BNSD_NBSD", "seq_len_q": 16}, None),
        ({}, None),
    ],
)
def test_on_an_npu_the_documented_limits_of_rarer_layouts_hold(
    changes: dict[str, Any], reason: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(npu_operator, "provided", lambda: False)
    assert ops.load("fia").unsupported(make_case(**changes), "npu") == reason


def test_an_operator_that_an_old_torch_npu_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npu_operator, "provided", lambda: False)
    facts = {"provided_by": "torch_npu 2.5.1", "reason": None}
    monkeypatch.setattr(npu_operator, "describe", lambda: facts)
    monkeypatch.setattr(torch.ops, "npu", type("Older", (), {"npu_fused_infer_attention_score": None}))
    case = make_case()
    assert ops.load("fia").unsupported(case, "npu") is None
    reason = "torch_npu 2.5.1 has no npu_fused_infer_attention_score_v2"
    assert ops.load("fia_v2").unsupported(case, "npu") == reason
    only_there = "the operator comes from torch_npu 2.5.1 and runs on the NPU only"
    assert ops.load("fia").unsupported(case, "cpu") == only_there


@pytest.mark.skipif(importlib.util.find_spec("flash_attn") is not None, reason="flash_attn is installed here")
def test_flash_attn_is_not_there() -> None:
    case = make_case(op="flash_attn", layout="BSND")
    assert ops.load("flash_attn").unsupported(case, "cuda") == "the flash_attn package is not installed"


def cases(**others: Any) -> st.SearchStrategy[Case]:
    """Small cases on both sides of every limit that a small tensor can overstep, more of them within."""
    within = st.sampled_from([(1, 1), (4, 2), (6, 1), (64, 1), (256, 256)])
    heads = st.one_of(within, within, within, st.sampled_from([(65, 1), (4, 3), (257, 257)]))
    sizes = st.sampled_from(["", "", "16", "24", "128", "512", "528", "1024", "1040"])
    caches = st.sampled_from(["BBH", "BNBD", "NZ"])
    return st.builds(
        lambda heads, size, cache, **changes: make_case(
            heads_per_rank=heads[0],
            kv_heads_per_rank=heads[1],
            # Large blocks of many heads would take the time and show nothing more.
            kv_cache=f"paged_{cache}_{size}" if size and heads[0] < 256 else "contiguous",
            **changes,
        ),
        heads,
        sizes,
        caches,
        layout=st.sampled_from(list(LAYOUTS)),
        mask=st.sampled_from(MASKS),
        dtype=st.sampled_from(["fp16"] * 4 + ["bf16"] * 4 + ["fp32"]),
        seq_len_q=st.sampled_from([1, 2, 5]),
        seq_len_kv=st.sampled_from([1, 3, 5]),
        batch=st.sampled_from([1, 2]),
        head_dim=st.sampled_from([8, 16, 64, 64, 64, 80, 96, 128, 128, 192, 512, 520]),
        **others,
    )


def runs(case: Case) -> bool:
    try:
        ops.load(case.op).prepare(case, *in_layout(case, tensors(case)))()
    except RuntimeError:
        return False
    return True


@settings(max_examples=200, deadline=None)
@given(cases(op=st.sampled_from(["fia", "fia_v2"])))
def test_fia_leaves_out_what_the_operator_refuses_and_nothing_else(case: Case) -> None:
    said = ops.load(case.op).unsupported(case, "cpu")
    if said is not None and said.startswith("mask causal_top_left"):
        return  # the operator takes the call and means something else by it
    assert runs(case) == (said is None), said


@settings(max_examples=100, deadline=None)
@given(cases(op=st.sampled_from(["prompt_flash_attention", "fusion_attention", "sdpa", "sdpa_flash", "sdpa_math"])))
def test_what_the_others_do_not_leave_out_runs(case: Case) -> None:
    assert ops.load(case.op).unsupported(case, "cpu") is not None or runs(case)


@pytest.mark.parametrize("changes", [{"dtype": "fp32"}, {"head_dim": 72}, {"head_dim": 528}])
def test_the_operators_own_words_for_what_fia_leaves_out(changes: dict[str, Any]) -> None:
    case = make_case(**changes)
    with pytest.raises(RuntimeError, match="561002"):
        ops.load("fia").prepare(case, *tensors(case))()


def test_a_decode_step_with_more_keys_than_it_takes_is_refused() -> None:
    case = make_case(seq_len_q=1, seq_len_kv=262_145, head_dim=8, batch=1, heads_per_rank=1, kv_heads_per_rank=1)
    assert not runs(case)
    assert runs(case._replace(seq_len_kv=262_144))
