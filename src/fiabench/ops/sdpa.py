"""torch's scaled_dot_product_attention, the baseline: torch chooses the back end."""

from __future__ import annotations

from fiabench.cases.case import Case
from fiabench.ops import _sdpa_call
from fiabench.ops._limits import Limits, refusal

ABOUT = "torch.nn.functional.scaled_dot_product_attention, the baseline"

_LIMITS = Limits("sdpa")


def unsupported(case: Case, device: str) -> str | None:
    return refusal(case, device, _LIMITS) or _sdpa_call.unsupported_lse(case, device, "sdpa")


emulated = _sdpa_call.emulated
prepare = _sdpa_call.prepare
prepare_with_lse = _sdpa_call.prepare_with_lse
