"""Sampling: warm up until steady, then take samples until the median is known well enough.

Iterations alternate between end to end (no inner recording) and instrumented (every phase marked), so that
both see the same state of the box; after them each exchange is taken once more by itself, all ranks beginning it
together. Ranks start each iteration together and go by the decisions of the first, so that they always agree. Where
another operator is measured in turns, an iteration of it stands beside each end-to-end one, first and second by turns,
and what has to settle is the ratio.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from statistics import median

import numpy as np
import torch

from fiabench.devices.base import Device
from fiabench.measure.pipeline import Pipeline
from fiabench.measure.timing import Timer, Together
from fiabench.results.metrics import ALIGNED, BASELINE, DISPATCH, END_TO_END
from fiabench.stats.stopping import Criterion, Decision, FixedCount, FixedTime, MedianInterval

LONG_ITERATION = 2.0
"""Seconds from which on one iteration counts as long: three samples are then enough to stop."""
LONG_SAMPLES = 3
STEADY = 0.05
"""Two neighbouring windows of warm-up whose medians differ by less than this are steady."""


@dataclass(frozen=True)
class Stopping:
    """When to stop sampling. Seconds, except the counts."""

    half_width: float
    """Wanted half-width of the median's 95 % interval, relative to the median."""
    min_samples: int
    max_samples: int
    max_seconds: float
    warmup_max_seconds: float
    criterion: str = "median_interval"
    """`median_interval`, `fixed_count` (max_samples) or `fixed_time` (max_seconds)."""

    def judge(self, samples: list[float], elapsed: float, long: bool) -> Decision:
        """What the criterion says of ``samples``; ``long`` ones may be fewer."""
        criterion: Criterion
        if self.criterion == "fixed_count":
            criterion = FixedCount(self.max_samples)
        elif self.criterion == "fixed_time":
            criterion = FixedTime(self.max_seconds)
        else:
            least = min(self.min_samples, LONG_SAMPLES) if long else self.min_samples
            criterion = MedianInterval(self.half_width, least)
        return criterion.judge(np.array(samples), elapsed)


@dataclass
class Sampled:
    """One rank's samples: phase to seconds, in the order taken."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    settled: bool = False
    why: str = ""
    """Why it is settled or not, in words; on the first rank."""
    half_width: float = float("inf")
    """Of the median's interval, relative, as the criterion saw it last; infinite where it looked at none."""
    method: str = ""
    """How the end-to-end iterations were timed, see :class:`fiabench.measure.timing.Timer`."""
    launches: int = 1
    held_seconds: float = 0.0
    host_bound: bool = False
    """Whether a device that is timed by events waited for the host's launches: the samples are then the host's."""
    sensors: dict[str, list[float]] = field(default_factory=dict)
    """What the device's sensors said, each beside `samples`, how many had been taken by then."""
    warmup_iterations: int = 0
    warmup_seconds: float = 0.0
    sampling_seconds: float = 0.0


def sample(
    pipeline: Pipeline,
    device: Device,
    groups: Together,
    stopping: Stopping,
    first_iteration: float,
    baseline: Pipeline | None = None,
    cold: bool = False,
) -> Sampled:
    """Samples of ``pipeline``; ``first_iteration`` is what its checked iteration took, in seconds, on this rank.

    ``baseline`` is measured in turns with it. ``cold``: the device's caches are emptied before each sample.
    """
    sampler = _Sampler(pipeline, device, groups, stopping, baseline, cold)
    sampler.warm_up(first_iteration)
    sampler.take()
    return sampler.sampled


class _Sampler:
    def __init__(
        self,
        pipeline: Pipeline,
        device: Device,
        groups: Together,
        stopping: Stopping,
        baseline: Pipeline | None,
        cold: bool,
    ) -> None:
        self._pipeline = pipeline
        self._timer = Timer(pipeline, device, groups, cold)
        self._baseline = Timer(baseline, device, groups, cold) if baseline else None
        self._device = device
        self._groups = groups
        self._stopping = stopping
        self._alone = len(pipeline.phases) == 1
        self.sampled = Sampled()

    def _instrumented(self) -> dict[str, float]:
        self._timer.begin()
        marks = self._pipeline.run_recorded(self._device)
        self._device.synchronize()
        durations: dict[str, float] = defaultdict(float)
        for phase, start, end in marks:
            durations[phase] += self._device.seconds(start, end)
        return durations

    def _aligned(self) -> dict[str, float]:
        """Each exchange by itself, begun by all ranks together."""
        durations: dict[str, float] = defaultdict(float)
        for step in self._pipeline.exchanges:
            self._timer.align()
            ((phase, start, end),) = step.record(self._device)
            self._device.synchronize()
            durations[ALIGNED + phase] += self._device.seconds(start, end)
        return durations

    def _slowest(self, durations: list[float]) -> tuple[list[float], float]:
        """For each of ``durations`` the slowest rank's, and rank 0's clock since the last call's start."""
        mine = torch.tensor([*durations, self._device.now() - self._started], dtype=torch.float64)
        gathered = self._groups.gather(mine)
        return gathered[:, :-1].max(dim=0).values.tolist(), float(gathered[0, -1])

    def warm_up(self, first_iteration: float) -> None:
        """Runs until two neighbouring windows agree, or the time for warming up is over; then chooses how to time."""
        self._started = self._device.now()
        self._read_sensors(0)
        (slowest,), _ = self._slowest([first_iteration])
        if slowest >= LONG_ITERATION and self._device.timing_method == "event":
            # An accelerator's first call of a shape loads and compiles: the second says whether iterations are long.
            (slowest,), _ = self._slowest([self._warm()])
            self.sampled.warmup_iterations += 1
        limit = self._stopping.warmup_max_seconds
        if slowest < min(limit, LONG_ITERATION):
            window = max(2, min(10, int(limit / 4 / max(slowest, 1e-6))))
            before = None
            while True:
                durations, elapsed = self._slowest([self._warm() for _ in range(window)])
                self.sampled.warmup_iterations += window
                typical = median(durations)
                if before is not None and abs(typical - before) <= STEADY * typical:
                    break
                if elapsed + window * typical > limit:
                    break
                before = typical
        if slowest < LONG_ITERATION:
            for timer in self._timers:
                timer.choose()
        self.sampled.warmup_seconds = self._device.now() - self._started

    @property
    def _timers(self) -> list[Timer]:
        return [self._timer, self._baseline] if self._baseline else [self._timer]

    def _warm(self) -> float:
        if self._baseline:
            self._baseline.once()
        return self._timer.once()[0]

    def take(self) -> None:
        """Takes samples until the criterion or a cap ends it."""
        self._started = self._device.now()
        self._read_sensors(0)
        totals, judged, more = list[float](), list[float](), 1
        while more:
            block = [self._one(len(totals) + index) for index in range(more)]
            slowest, elapsed = self._slowest([total for total, _ in block] + [beside for _, beside in block])
            totals += slowest[:more]
            judged += [total / beside for total, beside in zip(slowest[:more], slowest[more:])]
            self._read_sensors(len(totals))
            # The first rank judges for all: elsewhere the same arithmetic may round otherwise.
            verdict = self._judge(totals, judged if self._baseline else totals, elapsed)
            settled, half_width, wanted = self._groups.gather(torch.tensor(verdict, dtype=torch.float64))[0].tolist()
            self.sampled.settled, self.sampled.half_width, more = bool(settled), half_width, int(wanted)
        sampled = self.sampled
        sampled.method, sampled.launches, sampled.held_seconds = (
            self._timer.method,
            self._timer.launches,
            self._timer.held,
        )
        sampled.host_bound = any(timer.host_bound for timer in self._timers)
        sampled.sampling_seconds = self._device.now() - self._started

    def _judge(self, totals: list[float], judged: list[float], elapsed: float) -> tuple[float, float, float]:
        """Whether the samples are settled, the half-width of their interval, and how many more to take."""
        stopping, taken = self._stopping, len(totals)
        decision = stopping.judge(judged, elapsed, long=median(totals) > LONG_ITERATION)
        self.sampled.why = decision.why
        half_width = decision.interval.half_width if decision.interval else float("inf")
        affordable = int((stopping.max_seconds - elapsed) / (elapsed / taken)) if elapsed > 0 else stopping.max_samples
        if decision.settled or taken >= stopping.max_samples:
            more = 0
        elif affordable < 1:
            more = int(taken < min(stopping.min_samples, LONG_SAMPLES))
        else:
            more = min(decision.wanted, affordable, stopping.max_samples - taken)
        return float(decision.settled), half_width, float(more)

    def _read_sensors(self, taken: int) -> None:
        if readings := self._device.sensors():
            for name, value in {"samples": float(taken), **readings}.items():
                self.sampled.sensors.setdefault(name, []).append(value)

    def _one(self, index: int) -> tuple[float, float]:
        """One sample of everything, recorded; end-to-end seconds on this rank, and the baseline's (1 without one)."""
        beside = 1.0
        if self._baseline and index % 2:
            beside = self._record(self._baseline, BASELINE)
        total = self._record(self._timer, "")
        if self._baseline and not index % 2:
            beside = self._record(self._baseline, BASELINE)
        seconds = self.sampled.seconds
        if self._alone:
            seconds[self._pipeline.phases[0]].append(total)
        else:
            for phase, duration in (self._instrumented() | self._aligned()).items():
                seconds[phase].append(duration)
        return total, beside

    def _record(self, timer: Timer, prefix: str) -> float:
        total, launching = timer.once()
        self.sampled.seconds[prefix + END_TO_END].append(total)
        if self._device.timing_method == "event":
            self.sampled.seconds[prefix + DISPATCH].append(launching)
        return total
