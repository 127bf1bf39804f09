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
RING = ("kernel", "ring_exchange", "merge")
HEADER = {"sweep": {"name": "planted"}, "environment": ENVIRONMENT}


def measurement(
    status: str = "ok", reason: str = "", timing: dict[str, Any] | None = None, **changes: Any
) -> Measurement:
    """A case with ``changes``, a millisecond or a little more in each phase; one not measured has no samples.

    The operator that it is measured against takes half as long.
    """
    case = make_case(**changes)
    described = case.as_dict() | {"device": "cpu", "threads": case.threads or 1}
    made = Measurement(case.id, described, status, reason)
    made.timing = {
        "method": "host",
        "world_size": case.world_size,
        "described_world_size": case.described_world_size,
        "oversubscribed": False,
    } | (timing or {})
    if made.measured:
        whole = case.measure == "ulysses"
        phases = [
            name for name in metrics.PHASES if name == "kernel" or (whole and case.ulysses > 1 and name in ULYSSES)
        ]
        phases += RING[1:] if whole and case.ring > 1 else ()
        ranks = range(case.world_size)

        def around(seconds: float) -> dict[str, list[float]]:
            return {str(rank): [seconds, 1.1 * seconds, 1.2 * seconds] for rank in ranks}

        made.check = {"passed": True, "max_error": 0.001, "tolerance": 0.01, "rows": 16}
        made.samples = {phase: around(1e-3) for phase in phases} | {"end_to_end": around(len(phases) * 1e-3)}
        if case.against != "none":
            made.samples["baseline_end_to_end"] = around(len(phases) * 0.5e-3)
        made.metrics = metrics.compute(case, made.samples, None, 2**20)
    return made
