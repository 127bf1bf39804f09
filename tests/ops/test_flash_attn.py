"""The flash_attn package's calls, held against a stand-in with its signatures: the package itself needs a GPU.

Signatures: `flash_attn/flash_attn_interface.py` in Dao-AILab/flash-attention, 2.7.
"""

from __future__ import annotations

import importlib.machinery
import sys
from itertools import pairwise
from types import ModuleType
from typing import Any

import pytest
import torch

from fiabench import ops
from fiabench.cases.case import Case
from tests.npu_operator.reference import attention
from tests.ops.made import expected, in_layout, make_case, tensors, unpacked


def _attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float, right: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """[B, S, N, D] in and out, and the log-sum-exp [B, N, S]; a window from the bottom right."""
    seq_q, seq_kv = query.size(1), key.size(1)
    hidden = torch.ones(seq_q, seq_kv).triu(seq_kv - seq_q + right + 1).bool() if right >= 0 else None
    output, lse = attention(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), hidden, scale)
    return output.transpose(1, 2).to(query.dtype).contiguous(), lse.float()


def _flash_attn_func(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    alibi_slopes: Any = None,
    deterministic: bool = False,
    return_attn_probs: bool = False,
) -> Any:
    assert softmax_scale is not None
    assert window_size[0] == -1
    output, lse = _attend(q, k, v, softmax_scale, 0 if causal else window_size[1])
    return (output, lse, None) if return_attn_probs else output


def _flash_attn_varlen_func(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    cu_seqlens_q: torch.Tensor,
    cu_seqlens_k: torch.Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    **others: Any,
) -> torch.Tensor:
    assert softmax_scale is not None
    assert not others
    assert cu_seqlens_q.dtype == cu_seqlens_k.dtype == torch.int32
    starts_q, starts_k = cu_seqlens_q.tolist(), cu_seqlens_k.tolist()
    assert (starts_q[-1], starts_k[-1]) == (len(q), len(k))
    assert max_seqlen_q == max(end - start for start, end in pairwise(starts_q))
    assert max_seqlen_k == max(end - start for start, end in pairwise(starts_k))
    parts = []
    for index in range(len(starts_q) - 1):
        rows, keys = slice(*starts_q[index : index + 2]), slice(*starts_k[index : index + 2])
        parts.append(_attend(q[None, rows], k[None, keys], v[None, keys], softmax_scale, 0 if causal else -1)[0][0])
    return torch.cat(parts)


@pytest.fixture
def flash_attn(monkeypatch: pytest.MonkeyPatch) -> Any:
    package = ModuleType("flash_attn")
    package.__spec__ = importlib.machinery.ModuleSpec("flash_attn", None)
    package.flash_attn_func = _flash_attn_func  # type: ignore[attr-defined]
    package.flash_attn_varlen_func = _flash_attn_varlen_func  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "flash_attn", package)
    return ops.load("flash_attn")


def check(case: Case, output: torch.Tensor, made: list[torch.Tensor]) -> None:
    wanted, _ = expected(case, made)
    found = unpacked(output, case.layout, case)[:, :, : case.seq_len_q]
    torch.testing.assert_close(found.double(), wanted, atol=3e-3, rtol=0)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("lengths", [(24, 24), (10, 24), (24, 10), (21, 21), (13, 22)])
@pytest.mark.parametrize("mask", ["none", "causal", "causal_top_left"])
@pytest.mark.parametrize("layout", ["BSND", "TND"])
def test_the_call(flash_attn: Any, layout: str, mask: str, lengths: tuple[int, int], padded: bool) -> None:
    changes = {"measure": "ulysses", "ulysses": 4} if padded else {}
    case = make_case(op="flash_attn", layout=layout, mask=mask, seq_len_q=lengths[0], seq_len_kv=lengths[1], **changes)
    made = tensors(case, *(-(-length // 4) * 4 if padded else 0 for length in lengths))
    reason = flash_attn.unsupported(case, "cuda")
    if reason is not None:
        assert lengths[0] != lengths[1]
        assert "aligns to the bottom right" in reason
        return
    check(case, flash_attn.prepare(case, *in_layout(case, made))(), made)


@pytest.mark.parametrize("mask", ["none", "causal"])
def test_log_sum_exp(flash_attn: Any, mask: str) -> None:
    case = make_case(op="flash_attn", layout="BSND", mask=mask, measure="ulysses", ring=2)
    assert flash_attn.unsupported(case, "cuda") is None
    assert "log-sum-exp of TND" in flash_attn.unsupported(case._replace(layout="TND"), "cuda")
    made = tensors(case)
    output, lse = flash_attn.prepare_with_lse(case, *in_layout(case, made))()
    check(case, output, made)
    torch.testing.assert_close(lse.double(), expected(case, made)[1], atol=1e-3, rtol=0)
