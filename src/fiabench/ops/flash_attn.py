"""The flash_attn package (FlashAttention 2), where it is installed: CUDA only.

Its causal mask is aligned to the bottom right since 2.1, and it takes no mask of one's own.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from fiabench.cases.case import Case
from fiabench.ops._axes import packed_lengths, sizes_of
from fiabench.ops._limits import Limits, refusal

ABOUT = "flash_attn_func and flash_attn_varlen_func of the flash_attn package"

_LIMITS = Limits(
    "flash_attn",
    layouts=("BSND", "TND"),
    masks=("none", "causal", "causal_top_left"),
    dtypes=("fp16", "bf16"),
    devices=("cuda",),
    max_head_dim=256,
)


def unsupported(case: Case, device: str) -> str | None:
    reason = refusal(case, device, _LIMITS)
    if reason:
        return reason
    if importlib.util.find_spec("flash_attn") is None:
        return "the flash_attn package is not installed"
    if case.mask == "causal_top_left" and case.seq_len_q != case.seq_len_kv:
        return "mask causal_top_left: flash_attn aligns to the bottom right, the same for equal lengths only"
    if case.ring > 1 and case.layout == "TND":
        return f"ring {case.ring}: flash_attn returns the log-sum-exp of TND in an order that follows its version"
    return None


def emulated(device: str) -> bool:
    del device
    return False


def prepare(case: Case, query: Tensor, key: Tensor, value: Tensor) -> Callable[[], Tensor]:
    """The launch: packed sequences with their lengths, made here, or a batch of one length."""
    function, tensors, arguments = _call(case, query, key, value)

    def launch() -> Tensor:
        output: Tensor = function(*tensors, **arguments)
        return output

    return launch


def prepare_with_lse(case: Case, query: Tensor, key: Tensor, value: Tensor) -> Callable[[], tuple[Tensor, Tensor]]:
    """As :func:`prepare`, for BSND; the launch gives the log-sum-exp as well, float32 [B, N, Sq]."""
    function, tensors, arguments = _call(case, query, key, value)

    def launch() -> tuple[Tensor, Tensor]:
        output, lse, _ = function(*tensors, return_attn_probs=True, **arguments)
        return output, lse

    return launch


def _call(
    case: Case, query: Tensor, key: Tensor, value: Tensor
) -> tuple[Callable[..., Any], tuple[Tensor, Tensor, Tensor], dict[str, Any]]:
    package = importlib.import_module("flash_attn")
    sizes = sizes_of(case, query, key)
    arguments: dict[str, Any] = {"softmax_scale": sizes.head_dim**-0.5, "causal": case.mask != "none"}
    if case.layout == "BSND":
        if sizes.tokens_kv > case.seq_len_kv:
            key, value = (tensor.narrow(1, 0, case.seq_len_kv) for tensor in (key, value))
        if case.mask != "none" and sizes.tokens_q > case.seq_len_q:
            # A causal mask is a window counted from the bottom right, which a padded query shifts by one.
            arguments |= {"causal": False, "window_size": (-1, sizes.tokens_q - case.seq_len_q)}
        return package.flash_attn_func, (query, key, value), arguments
    for name, some in zip("qk", packed_lengths(case, sizes)):
        starts = torch.tensor([0, *accumulate(some)], dtype=torch.int32, device=query.device)
        arguments |= {f"cu_seqlens_{name}": starts, f"max_seqlen_{name}": max(some)}
    return package.flash_attn_varlen_func, (query, key, value), arguments
