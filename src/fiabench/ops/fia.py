"""The fused-infer attention of the NPU, called as its users call it.

On an NPU this is torch_npu's operator; elsewhere the one that :mod:`fiabench.npu_operator` provides.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fiabench import npu_operator
from fiabench.cases.case import Case

ABOUT = "torch.ops.npu.npu_fused_infer_attention_score; emulated off the NPU"

_COMPRESSED = 2048
"""Side of the mask that stands for a causal mask of any length."""

_BOTTOM_RIGHT_CAUSAL = 3


def unsupported(case: Case, device: str) -> str | None:
    """The documented limits of an unquantised call, and whose operator runs where."""
    if device == "npu" and npu_operator.provided():
        return f"torch_npu is not there: {npu_operator.describe()['reason'] or 'not installed'}"
    if device != "npu" and not npu_operator.provided():
        return f"the operator comes from {npu_operator.describe()['provided_by']} and runs on the NPU only"
    if case.layout not in ("BNSD", "BSND"):
        return f"layout {case.layout}: fia is called in BNSD and BSND"
    if case.dtype not in ("fp16", "bf16"):
        return f"dtype {case.dtype}: fia takes fp16 and bf16"
    if case.head_dim > 512:
        return f"head dim {case.head_dim}: fia takes at most 512"
    if case.head_dim % 16 and case.seq_len_q > 1:
        return f"head dim {case.head_dim}: fia takes multiples of 16 where there is more than one query token"
    if case.heads_per_rank % case.kv_heads_per_rank:
        return f"{case.heads_per_rank} heads a rank are no multiple of {case.kv_heads_per_rank} kv heads"
    if case.heads_per_rank // case.kv_heads_per_rank > 64:
        return f"{case.heads_per_rank} heads a rank over {case.kv_heads_per_rank} kv heads: fia takes at most 64 to one"
    return None


def emulated(device: str) -> bool:
    return device != "npu" and npu_operator.provided()


def prepare(case: Case, query: Tensor, key: Tensor, value: Tensor) -> Callable[[], Tensor]:
    """The launch; a causal case gets sparse_mode 3 with the compressed mask, built here."""
    operator = torch.ops.npu.npu_fused_infer_attention_score
    head_axis = 1 if case.layout == "BNSD" else 2
    heads, kv_heads = query.size(head_axis), key.size(head_axis)
    scale = query.size(-1) ** -0.5
    sparse_mode, mask = 0, None
    # The one query of a decode step sees every key, and there the operator would read the mask as [B, Skv].
    if case.mask == "causal" and case.seq_len_q > 1:
        sparse_mode = _BOTTOM_RIGHT_CAUSAL
        mask = torch.ones(_COMPRESSED, _COMPRESSED, dtype=torch.bool, device=query.device).triu_(1)

    def launch() -> Tensor:
        output: Tensor = operator(
            query,
            key,
            value,
            atten_mask=mask,
            num_heads=heads,
            num_key_value_heads=kv_heads,
            scale=scale,
            input_layout=case.layout,
            sparse_mode=sparse_mode,
        )[0]
        return output

    return launch
