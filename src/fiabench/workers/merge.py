"""From the ranks' answers to one measurement. Imports no torch."""

from __future__ import annotations

from typing import Any

from fiabench.cases.case import Case
from fiabench.results import metrics
from fiabench.results.doubts import doubts
from fiabench.results.measurement import FAILED, Measurement
from fiabench.workers.machine import Machine


def unmeasured(case: Case, machine: Machine, status: str, reason: str) -> Measurement:
    """The measurement of a case that no rank has answered for: left out before it ran, or lost with its ranks."""
    described = case.as_dict() | {"device": machine.device, "threads": machine.threads(case)}
    timing = {
        "mode": "natural",
        "world_size": case.world_size,
        "described_world_size": case.described_world_size,
        "oversubscribed": machine.oversubscribed(case),
        **({"simulated": True} if machine.spec else {}),
    }
    return Measurement(id=case.id, case=described, status=status, reason=reason, timing=timing)


def merge(case: Case, answers: list[dict[str, Any]], machine: Machine, peak_flops: float | None) -> Measurement:
    """The measurement that the ranks' ``answers``, one of each by rank, make together.

    ``peak_flops`` is the device's peak for the case's dtype in FLOP/s, None where it is unknown.
    """
    outcomes = [answer["outcome"] for answer in answers]
    decisive = next((outcome for outcome in outcomes if outcome["status"] in FAILED), outcomes[0])
    merged = unmeasured(case, machine, decisive["status"], _reason(outcomes))
    merged.check = _check(outcomes)
    merged.timing = decisive["timing"] | merged.timing
    if merged.measured:
        timings = {str(rank): outcome["timing"] for rank, outcome in enumerate(outcomes)}
        merged.timing["host_bound"] = any(timing["host_bound"] for timing in timings.values())
        merged.timing["sensors"] = {rank: timing["sensors"] for rank, timing in timings.items() if timing["sensors"]}
        ranks = {str(rank): outcome["samples"] for rank, outcome in enumerate(outcomes)}
        merged.samples = {
            phase: {rank: samples[phase] for rank, samples in ranks.items()} for phase in outcomes[0]["samples"]
        }
        peaks = [outcome["peak_memory"] for outcome in outcomes]
        peak_memory = None if None in peaks else max(peaks)
        first_call = max(outcome["timing"]["first_iteration_seconds"] for outcome in outcomes)
        merged.metrics = metrics.compute(case, merged.samples, peak_flops, peak_memory, first_call)
        residual, sensors = merged.value("closure_residual"), merged.timing["sensors"]
        flags = doubts(case, merged.samples, residual, sensors, merged.timing["wanted_half_width"])
        if "cross_check" in merged.timing:
            merged.timing["cross_check"] = {rank: timing["cross_check"] for rank, timing in timings.items()}
            seen = [flag for found in merged.timing["cross_check"].values() for flag in found.get("flags", [])]
            flags += dict.fromkeys(seen)
        merged.timing["flags"] = flags
    return merged


def _reason(outcomes: list[dict[str, Any]]) -> str:
    """The first reason that a rank gives, with the rank where others have none."""
    given = [(rank, outcome["reason"]) for rank, outcome in enumerate(outcomes) if outcome["reason"]]
    if not given:
        return ""
    rank, reason = given[0]
    return reason if len(given) == len(outcomes) else f"rank {rank}: {reason}"


def _check(outcomes: list[dict[str, Any]]) -> dict[str, Any]:
    """The worst rank's check, with the rows of all ranks."""
    checks = [outcome["check"] for outcome in outcomes if outcome["check"]]
    if not checks:
        return {}
    worst = max(checks, key=lambda check: (not check["passed"], check.get("max_error") or 0.0))
    if "rows" in worst:
        worst = worst | {"rows": sum(check.get("rows", 0) for check in checks)}
    return worst
