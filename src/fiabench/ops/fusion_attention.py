"""The NPU's attention for training, forward alone, which many inference projects call all the same.

Its mask is true where a key is hidden, as the fused-infer operator's: "1 takes no part" in
`torch_npu-npu_fusion_attention.md` in Ascend/op-plugin (docs/zh/custom_APIs/torch_npu), the source of the limits too.
Callers who come from torch's convention, true where a key is seen, invert theirs first; here it is made as wanted.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from fiabench.cases.case import LAYOUTS, Case
from fiabench.ops import _npu
from fiabench.ops._axes import packed_lengths, sizes_of
from fiabench.ops._limits import Limits, refusal

ABOUT = "torch.ops.npu.npu_fusion_attention, forward alone; emulated off the NPU"

_LIMITS = Limits(
    "fusion_attention",
    layouts=("BNSD", "BSND", "BSH", "TND"),
    max_head_dim=768,
    max_heads=256,
    max_tokens=1024 * 1024,
)
_EMULATED_GROUP = 64
_MAX_PACKED_TOKENS = 1024 * 1024

_WHOLE_MASK = 1
"""The sparse_mode that takes a full mask and no limits beside it; mode 0 wants limits that say the same as the mask."""

_BAND = 4
"""The sparse_mode of a window, counted from the bottom right."""


def unsupported(case: Case, device: str) -> str | None:
    """The documented limits, and whose operator runs where."""
    reason = _npu.absent("npu_fusion_attention", device) or refusal(case, device, _LIMITS)
    if reason:
        return reason
    name, packed = _LIMITS.name, case.layout == "TND"
    tokens = case.batch_per_rank * max(case.seq_len_q, case.seq_len_kv)
    if device == "cuda" and case.dtype == "fp32":
        return "dtype fp32: torch's fused kernels, on which the emulation runs, take fp16 and bf16 on cuda"
    if device != "npu" and case.heads_per_rank // case.kv_heads_per_rank > _EMULATED_GROUP:
        return f"{case.heads_per_rank} heads over {case.kv_heads_per_rank}: {_EMULATED_GROUP} to one are emulated"
    if packed and tokens > _MAX_PACKED_TOKENS:
        return f"{tokens:,} packed tokens: {name} takes at most {_MAX_PACKED_TOKENS:,}"
    if packed and case.mask == "causal_full" and case.seq_len_q > case.seq_len_kv:
        return f"mask causal_full: {name} takes no mask that hides every key from a query in TND"
    if packed and case.ring > 1:
        return f"layout TND: the log-sum-exp of {name}, which a ring merges by, is in another order there"
    return None


emulated = _npu.emulated


def prepare(case: Case, query: Tensor, key: Tensor, value: Tensor) -> Callable[[], Tensor]:
    """The launch; the compressed mask and the lengths are made here, a full mask in every call."""
    call = _call(case, query, key, value)

    def launch() -> Tensor:
        output: Tensor = call()[0]
        return output

    return launch


def prepare_with_lse(case: Case, query: Tensor, key: Tensor, value: Tensor) -> Callable[[], tuple[Tensor, Tensor]]:
    """As :func:`prepare`; the launch gives the log-sum-exp as well, float32 [B, N, Sq], made of the maximum and the
    sum of each row that the operator returns. Not in TND. Of a query that sees no key it is -inf."""
    call = _call(case, query, key, value)

    def launch() -> tuple[Tensor, Tensor]:
        output, largest, total, *_ = call()
        # Each row's number stands there eight times.
        return output, largest[..., 0] + total[..., 0].log()

    return launch


def _call(case: Case, query: Tensor, key: Tensor, value: Tensor) -> Callable[[], tuple[Any, ...]]:
    operator = torch.ops.npu.npu_fusion_attention
    sizes = sizes_of(case, query, key)
    layout, mask = case.layout, case.mask
    shift = case.seq_len_kv - case.seq_len_q
    arguments: dict[str, Any] = {"scale": sizes.head_dim**-0.5}
    padded = (sizes.tokens_q, sizes.tokens_kv) != (case.seq_len_q, case.seq_len_kv)
    if layout == "TND":
        queries, keys = packed_lengths(case, sizes)
        arguments |= {"actual_seq_qlen": list(accumulate(queries)), "actual_seq_kvlen": list(accumulate(keys))}
    elif padded and mask == "causal" and shift == 0:
        # The same from the top left, where no real query sees a padded key.
        mask = "causal_top_left"
    elif padded and not (mask == "causal_full" or (mask == "causal_top_left" and shift >= 0)):
        # Outside TND the operator takes no lengths: the padded keys are left out by a view.
        axis = LAYOUTS[layout].input.index("S")
        key, value = (tensor.narrow(axis, 0, case.seq_len_kv) for tensor in (key, value))
    if mask == "causal" and padded and layout != "TND":
        # From the bottom right of the tensors: a padded query shifts it by one.
        arguments |= {"sparse_mode": _BAND, "next_tockens": sizes.tokens_q - case.seq_len_q}
    elif mask in _npu.SPARSE_MODES:
        arguments |= {"sparse_mode": _npu.SPARSE_MODES[mask]}
    if mask in _npu.SPARSE_MODES:
        arguments |= {"atten_mask": _npu.compressed_mask(query.device)}
    if mask != "causal_full":
        return lambda: operator(query, key, value, sizes.heads, layout, **arguments)

    def with_mask() -> tuple[Any, ...]:
        whole = _npu.full_mask(sizes.tokens_q, sizes.tokens_kv, shift, query.device)
        return operator(query, key, value, sizes.heads, layout, atten_mask=whole, sparse_mode=_WHOLE_MASK, **arguments)

    return with_mask
