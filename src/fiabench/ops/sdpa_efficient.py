"""torch's scaled_dot_product_attention on its memory-efficient attention, for CUDA."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from fiabench.cases.case import Case
from fiabench.ops import _sdpa_call
from fiabench.ops._limits import Limits

ABOUT = "scaled_dot_product_attention on torch's memory-efficient attention"

_BACKEND = _sdpa_call.Backend(
    "EFFICIENT_ATTENTION", Limits("sdpa_efficient", devices=("cuda",)), cuda=Limits("sdpa_efficient")
)


def unsupported(case: Case, device: str) -> str | None:
    return _sdpa_call.unsupported(case, device, _BACKEND)


emulated = _sdpa_call.emulated


def prepare(case: Case, query: Tensor, key: Tensor, value: Tensor) -> Callable[[], Tensor]:
    return _sdpa_call.prepare(case, query, key, value, _BACKEND.name)
