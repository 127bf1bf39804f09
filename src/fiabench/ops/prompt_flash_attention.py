"""The NPU's attention for prompts, the older sibling of the fused-infer operator.

Limits: `torch_npu-npu_prompt_flash_attention.md` in Ascend/op-plugin (docs/zh/custom_APIs/torch_npu).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fiabench.cases.case import Case
from fiabench.npu_operator.schema import TOKENS_MAX
from fiabench.ops import _npu
from fiabench.ops._axes import sizes_of
from fiabench.ops._limits import Limits, refusal

ABOUT = "torch.ops.npu.npu_prompt_flash_attention; emulated off the NPU"

_LIMITS = Limits(
    "prompt_flash_attention",
    layouts=("BNSD", "BSND", "BSH", "BNSD_BSND"),
    dtypes=("fp16", "bf16"),
    max_head_dim=512,
    max_heads=256,
    max_group=64,
    max_tokens=20 * 1024 * 1024,
)
_MAX_BATCH = 65536
_MAX_UNALIGNED_BATCH = 128
_MAX_ROW = 65534
"""Elements of one token's heads in BSH and BSND."""


def unsupported(case: Case, device: str) -> str | None:
    """The documented limits, and whose operator runs where."""
    reason = _npu.absent("npu_prompt_flash_attention", device) or refusal(case, device, _LIMITS)
    if reason:
        return reason
    name, batch = _LIMITS.name, case.batch_per_rank
    if case.mask == "causal_full" and case.seq_len_q > case.seq_len_kv:
        return f"mask causal_full: {name} takes no mask that hides every key from a query"
    if case.layout in ("BSH", "BSND") and case.heads_per_rank * case.head_dim > _MAX_ROW:
        return f"{case.heads_per_rank} heads of {case.head_dim}: {name} takes {_MAX_ROW:,} elements in {case.layout}"
    most = _MAX_UNALIGNED_BATCH if case.head_dim % 16 else _MAX_BATCH
    if batch > most:
        return f"{batch:,} sequences: {name} takes at most {most:,} of head dim {case.head_dim}"
    return None


emulated = _npu.emulated


def prepare(case: Case, query: Tensor, key: Tensor, value: Tensor) -> Callable[[], Tensor]:
    """The launch; the compressed mask and the lengths are made here, a full mask in every call."""
    operator = torch.ops.npu.npu_prompt_flash_attention
    sizes = sizes_of(case, query, key)
    arguments: dict[str, Any] = {
        "num_heads": sizes.heads,
        "num_key_value_heads": sizes.kv_heads,
        "scale_value": sizes.head_dim**-0.5,
        "input_layout": case.layout,
        # 0 by default here, which would hide more than a full mask does.
        "next_tokens": TOKENS_MAX,
    }
    if (sizes.tokens_q, sizes.tokens_kv) != (case.seq_len_q, case.seq_len_kv):
        arguments |= {"actual_seq_lengths": [case.seq_len_q] * sizes.batch}
        arguments |= {"actual_seq_lengths_kv": [case.seq_len_kv] * sizes.batch}
    if case.mask in _npu.SPARSE_MODES:
        mask = _npu.compressed_mask(query.device)
        arguments |= {"sparse_mode": _npu.SPARSE_MODES[case.mask], "atten_mask": mask}
    if case.mask != "causal_full":
        return lambda: operator(query, key, value, **arguments)
    shift = case.seq_len_kv - case.seq_len_q

    def with_mask() -> Tensor:
        mask = _npu.full_mask(sizes.tokens_q, sizes.tokens_kv, shift, query.device)
        return operator(query, key, value, atten_mask=mask, **arguments)

    return with_mask
