"""Measurements made up of planted samples."""

from __future__ import annotations

from typing import Any

from fiabench.results import metrics
from fiabench.results.measurement import Measurement
from tests.ulysses.points import make_case

ENVIRONMENT = {
    "device": "cpu",
    "cpu": "Planted CPU",
    "cores": 2,
    "device_count": 2,
    "device_name": "Planted CPU",
    "operator": "fiabench (emulated)",
    "emulated": ["npu_fused_infer_attention_score"],
}
ULYSSES = tuple(phase for phase in metrics.PHASES if phase not in ("ring_exchange", "merge"))
HEADER = {"sweep": {"name": "planted"}, "environment": ENVIRONMENT}


def measurement(
    status: str = "ok", reason: str = "", timing: dict[str, Any] | None = None, **changes: Any
) -> Measurement:
    """A case with ``changes`` that took about 1 ms, 3 to 7 with exchanges; one that was not measured has no samples."""
    case = make_case(**changes)
    described = case.as_dict() | {"device": "cpu", "threads": 1}
    made = Measurement(case.id, described, status, reason)
    made.timing = {
        "method": "host",
        "world_size": case.world_size,
        "described_world_size": case.described_world_size,
        "oversubscribed": False,
    } | (timing or {})
    if made.measured:
        phases = ULYSSES if case.measure == "ulysses" and case.ulysses > 1 else ("kernel",)
        ranks = range(case.world_size)
        made.check = {"passed": True, "max_error": 0.001, "tolerance": 0.01, "rows": 16}
        made.samples = {phase: {str(rank): [1e-3, 1.1e-3, 1.2e-3] for rank in ranks} for phase in phases}
        total = 7e-3 if len(phases) > 1 else 1e-3
        made.samples["end_to_end"] = {str(rank): [total, 1.1 * total, 1.2 * total] for rank in ranks}
        made.metrics = metrics.compute(case, made.samples, None, 2**20)
    return made
