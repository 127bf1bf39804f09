"""torch's scaled_dot_product_attention on its flash attention, for CPU and CUDA."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from fiabench.cases.case import Case
from fiabench.ops import _sdpa_call
from fiabench.ops._limits import Limits

ABOUT = "scaled_dot_product_attention on torch's flash attention"

_BACKEND = _sdpa_call.Backend(
    "FLASH_ATTENTION",
    Limits("sdpa_flash", devices=("cuda", "cpu")),
    cuda=Limits(
        "sdpa_flash on cuda", masks=("none", "causal", "causal_top_left"), dtypes=("fp16", "bf16"), max_head_dim=256
    ),
    own_mask=False,
)


def unsupported(case: Case, device: str) -> str | None:
    return _sdpa_call.unsupported(case, device, _BACKEND) or _sdpa_call.unsupported_lse(case, device, "sdpa_flash")


emulated = _sdpa_call.emulated


def prepare(case: Case, query: Tensor, key: Tensor, value: Tensor) -> Callable[[], Tensor]:
    return _sdpa_call.prepare(case, query, key, value, _BACKEND.name)


prepare_with_lse = _sdpa_call.prepare_with_lse
