"""The fused-infer attention of the NPU, called as its users call it.

On an NPU this is torch_npu's operator; elsewhere the one that :mod:`fiabench.npu_operator` provides.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from fiabench.cases.case import Case
from fiabench.ops import _fia_call, _npu

ABOUT = "torch.ops.npu.npu_fused_infer_attention_score; emulated off the NPU"

_NAMES = _fia_call.Names(
    file="fia",
    operator="npu_fused_infer_attention_score",
    heads="num_heads",
    scale="scale",
    lengths_q="actual_seq_lengths",
    lengths_kv="actual_seq_lengths_kv",
    with_lse="softmax_lse_flag",
)


def unsupported(case: Case, device: str) -> str | None:
    return _fia_call.unsupported(case, device, _NAMES)


def prepare(case: Case, query: Tensor, key: Tensor, value: Tensor) -> Callable[[], Tensor]:
    return _fia_call.prepare(case, query, key, value, _NAMES)


def prepare_with_lse(case: Case, query: Tensor, key: Tensor, value: Tensor) -> Callable[[], tuple[Tensor, Tensor]]:
    return _fia_call.prepare_with_lse(case, query, key, value, _NAMES)


emulated = _npu.emulated
