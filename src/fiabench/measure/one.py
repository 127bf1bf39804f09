"""One case on one rank, from allocation to samples."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from fiabench.cases.case import Case
from fiabench.devices.base import Device
from fiabench.measure import cross_check as cross_checks
from fiabench.measure.build import REAL, Assembly
from fiabench.measure.check import check_attention
from fiabench.measure.pipeline import Pipeline
from fiabench.measure.sampling import Sampled, Stopping, sample
from fiabench.measure.subjects import Projects
from fiabench.measure.timing import Together
from fiabench.results.metrics import ALIGNED, END_TO_END

_DIVISORS = ("kernel", "exchange_in", "exchange_out", END_TO_END)
"""Phases by whose duration metrics divide: one that is too short for the device's clock is no measurement."""


class Groups(Together, Protocol):
    """What measuring needs of the ranks' groups; :class:`fiabench.ulysses.groups.RankGroups` are such."""

    rank: int

    @property
    def takes_part(self) -> bool:
        """Whether this rank is one of the case's, and not beside them in a larger world."""
        ...

    def make(self, case: Case) -> None:
        """Makes every group that ``case`` needs, with ranks that take no part."""
        ...


@dataclass
class Outcome:
    """How a case went on one rank; JSON-able. Durations in seconds."""

    status: str
    reason: str = ""
    check: dict[str, Any] = field(default_factory=dict)
    timing: dict[str, Any] = field(default_factory=dict)
    samples: dict[str, list[float]] = field(default_factory=dict)
    peak_memory: int | None = None


def measure(
    case: Case,
    device: Device,
    groups: Groups,
    stopping: Stopping,
    projects: Projects,
    assembly: Assembly = REAL,
    cross_check: str = "",
) -> Outcome:
    """Measures ``case`` on this rank, as ``assembly`` builds it. Raises what the operator or an exchange raises.

    ``cross_check`` is one of :data:`fiabench.measure.cross_check.METHODS`, to look once more with a profiler when all
    samples are taken; the peak memory is then not told, as the profiler's is in it. Every rank of ``groups`` calls this
    with the same case; they leave it with the same status, or raise.
    """
    reason = assembly.unsupported(case, device.name, projects)
    if reason:
        return Outcome("unsupported", reason)
    started = device.now()
    groups.make(case)
    if not groups.takes_part:
        return Outcome("unsupported", "takes no part")
    made = device.now()
    device.reset_peak_memory()
    rank = groups.rank % case.sequence_ranks
    pipeline = assembly.build(case, rank, groups, device, projects)
    device.synchronize()
    built = device.now()
    check, first_iteration = _check(case, pipeline, device, rank)
    passed = _everywhere(check, groups)
    baseline = None
    if passed and case.against != "none":
        beside = case._replace(op=case.against, against="none")
        baseline = assembly.build(beside, rank, groups, device, projects)
        check |= _same_truth(beside, baseline, device, rank)
        passed = _everywhere(check, groups)
    checked = device.now()
    timing = {
        "first_iteration_seconds": first_iteration,
        "group_seconds": made - started,
        "setup_seconds": built - made,
        "check_seconds": checked - built,
        **assembly.describe(case, device.name, projects),
    }
    if not passed:
        return Outcome("wrong", check.pop("wrong"), check, timing)
    check.pop("wrong")
    device.forget_peak()  # the check's reference is not the case's memory
    sampled = sample(pipeline, device, groups, stopping, first_iteration, baseline, case.cache == "cold")
    together = case.measure == "exchange" or any(name.startswith(ALIGNED) for name in sampled.seconds)
    timing |= {
        "method": sampled.method,
        "launches_per_sample": sampled.launches,
        "held_seconds": sampled.held_seconds,
        "held_by": device.held_by,
        "transfer": "aligned" if together else "natural",
        "criterion": stopping.criterion,
        "wanted_half_width": stopping.half_width,
        "sensors": sampled.sensors,
        "sensors_missing": device.sensors_missing,
        "capture_refused": device.capture_refused,
        "half_width": sampled.half_width if math.isfinite(sampled.half_width) else None,
        "host_bound": sampled.host_bound,
        "warmup_iterations": sampled.warmup_iterations,
        "warmup_seconds": sampled.warmup_seconds,
        "sampling_seconds": sampled.sampling_seconds,
    }
    unmeasurable = [phase for phase, seconds in sampled.seconds.items() if phase in _DIVISORS and min(seconds) <= 0]
    if unmeasurable:
        return Outcome("error", f"the {device.name} clock gave 0 s for {', '.join(unmeasurable)}", check, timing)
    reason = "" if sampled.settled else _unsettled(sampled, stopping)
    status = "ok" if sampled.settled else "unsettled"
    peak_memory = None
    if cross_check:
        timing["cross_check"] = cross_checks.cross_check(pipeline, device, groups, cross_check)
    elif baseline is None:  # with another operator's buffers beside its own the peak would be neither's
        del pipeline
        peak_memory = device.peak_memory()
    return Outcome(status, reason, check, timing, dict(sampled.seconds), peak_memory)


def _everywhere(check: dict[str, Any], groups: Groups) -> bool:
    """Whether the check passed on every rank: they go on together or not at all."""
    return bool(groups.gather(torch.tensor([check["passed"]], dtype=torch.float64)).all())


def _unsettled(sampled: Sampled, stopping: Stopping) -> str:
    count = len(sampled.seconds[END_TO_END])
    return f"{sampled.why}, after {count} samples (at most {stopping.max_samples} in {stopping.max_seconds:g} s)"


def _check(case: Case, pipeline: Pipeline, device: Device, rank: int) -> tuple[dict[str, Any], float]:
    """The correctness check's outcome, and the seconds that the first whole iteration took."""
    wrong = pipeline.check_exchange(rank) if pipeline.check_exchange else ""
    exchange = {"exchange": "wrong" if wrong else "exact"} if pipeline.check_exchange else {}
    pipeline.poison()
    start = device.now()
    pipeline.run()
    device.synchronize()
    first_iteration = device.now() - start
    if pipeline.attention is None:
        return {"passed": not wrong, "wrong": wrong, **exchange}, first_iteration
    check = check_attention(case, pipeline.attention(), rank) | exchange
    if wrong:
        check |= {"passed": False, "wrong": wrong}
    return check, first_iteration


def _same_truth(case: Case, baseline: Pipeline, device: Device, rank: int) -> dict[str, Any]:
    """What to change in a passed check where the operator measured in turns does not pass its own; else nothing."""
    check, _ = _check(case, baseline, device, rank)
    return {} if check["passed"] else {"passed": False, "wrong": f"{case.op}: {check['wrong']}"}
