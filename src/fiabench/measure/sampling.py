"""Sampling: warm up until steady, then take samples until the median is known well enough.

Iterations alternate between end to end (no inner recording) and instrumented (every phase marked), so that
both see the same state of the box. Ranks start each iteration together and take every decision from the same
gathered numbers, so that they always agree. Where another operator is measured in turns, an iteration of it stands
beside each end-to-end one, first and second by turns, and what has to settle is the ratio.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from statistics import median
from typing import Protocol

import torch
from torch import Tensor

from fiabench.devices.base import Device
from fiabench.measure.pipeline import Pipeline
from fiabench.results.metrics import BASELINE, DISPATCH, END_TO_END
from fiabench.stats.intervals import summarise

LONG_ITERATION = 2.0
"""Seconds from which on one iteration counts as long: three samples are then enough to stop."""
LONG_SAMPLES = 3
STEADY = 0.05
"""Two neighbouring windows of warm-up whose medians differ by less than this are steady."""
GROWTH = 1.25
"""The stopping rule is asked when the samples have grown by this factor: asking after each would bias it."""

HOST_BOUND = 0.8
"""Where launching an iteration takes this part of what it takes on the device, the device waits for the host."""


@dataclass(frozen=True)
class Stopping:
    """When to stop sampling. Seconds, except the counts."""

    half_width: float
    """Wanted half-width of the median's 95 % interval, relative to the median."""
    min_samples: int
    max_samples: int
    max_seconds: float
    warmup_max_seconds: float


class Together(Protocol):
    """The ranks that take samples together; :class:`fiabench.ulysses.groups.RankGroups` are such."""

    def barrier(self) -> None:
        """Returns when every rank has come here."""
        ...

    def gather(self, value: Tensor) -> Tensor:
        """Every rank's ``value``, a host tensor of one shape, stacked by rank."""
        ...


@dataclass
class Sampled:
    """One rank's samples: phase to seconds, in the order taken."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    settled: bool = False
    half_width: float = float("inf")
    host_bound: bool = False
    """Whether a device that is timed by events waited for the host's launches: the samples are then the host's."""
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
) -> Sampled:
    """Samples of ``pipeline``; ``first_iteration`` is what its checked iteration took, in seconds, on this rank.

    ``baseline`` is measured in turns with it.
    """
    sampler = _Sampler(pipeline, device, groups, stopping, baseline)
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
    ) -> None:
        self._pipeline = pipeline
        self._baseline = baseline
        self._device = device
        self._groups = groups
        self._stopping = stopping
        self._alone = len(pipeline.phases) == 1
        self.sampled = Sampled()

    def _end_to_end(self, pipeline: Pipeline) -> tuple[float, float]:
        """Seconds of one iteration on the device, and those that the host took to launch it."""
        self._groups.barrier()
        start, begun = self._device.mark(), self._device.now()
        pipeline.run()
        launching = self._device.now() - begun
        end = self._device.mark()
        self._device.synchronize()
        return self._device.seconds(start, end), launching

    def _instrumented(self) -> dict[str, float]:
        self._groups.barrier()
        marks = self._pipeline.run_recorded(self._device)
        self._device.synchronize()
        durations: dict[str, float] = defaultdict(float)
        for phase, start, end in marks:
            durations[phase] += self._device.seconds(start, end)
        return durations

    def _slowest(self, durations: list[float]) -> tuple[list[float], float]:
        """For each of ``durations`` the slowest rank's, and rank 0's clock since the last call's start."""
        mine = torch.tensor([*durations, self._device.now() - self._started], dtype=torch.float64)
        gathered = self._groups.gather(mine)
        return gathered[:, :-1].max(dim=0).values.tolist(), float(gathered[0, -1])

    def warm_up(self, first_iteration: float) -> None:
        """Runs until two neighbouring windows agree, or the time for warming up is over."""
        self._started = self._device.now()
        (slowest,), _ = self._slowest([first_iteration])
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
        self.sampled.warmup_seconds = self._device.now() - self._started

    def _warm(self) -> float:
        if self._baseline:
            self._end_to_end(self._baseline)
        return self._end_to_end(self._pipeline)[0]

    def take(self) -> None:
        """Takes samples until the stopping rule or the time cap ends it."""
        self._started = self._device.now()
        stopping, totals, judged, wanted = self._stopping, list[float](), list[float](), 1
        while True:
            count = wanted - len(totals)
            block = [self._one(len(totals) + index) for index in range(count)]
            slowest, elapsed = self._slowest([total for total, _ in block] + [beside for _, beside in block])
            totals += slowest[:count]
            judged += [total / beside for total, beside in zip(slowest[:count], slowest[count:])]
            summary = summarise(judged if self._baseline else totals)
            long = median(totals) > LONG_ITERATION
            enough = min(stopping.min_samples, LONG_SAMPLES) if long else stopping.min_samples
            self.sampled.half_width = summary.half_width
            self.sampled.settled = len(totals) >= enough and summary.half_width <= stopping.half_width
            if self.sampled.settled or len(totals) >= stopping.max_samples:
                break
            each = elapsed / len(totals)
            affordable = int((stopping.max_seconds - elapsed) / each)
            if affordable < 1 and len(totals) >= min(enough, LONG_SAMPLES):
                break
            grown = max(enough, int(len(totals) * GROWTH) + 1)
            wanted = min(grown, len(totals) + max(1, affordable), stopping.max_samples)
        seconds = self.sampled.seconds
        if DISPATCH in seconds:
            self.sampled.host_bound = median(seconds[DISPATCH]) >= HOST_BOUND * median(seconds[END_TO_END])
        self.sampled.sampling_seconds = self._device.now() - self._started

    def _one(self, index: int) -> tuple[float, float]:
        """One sample of everything, recorded; end-to-end seconds on this rank, and the baseline's (1 without one)."""
        beside = 1.0
        if self._baseline and index % 2:
            beside = self._record(self._baseline, BASELINE)
        total = self._record(self._pipeline, "")
        if self._baseline and not index % 2:
            beside = self._record(self._baseline, BASELINE)
        seconds = self.sampled.seconds
        if self._alone:
            seconds[self._pipeline.phases[0]].append(total)
        else:
            for phase, duration in self._instrumented().items():
                seconds[phase].append(duration)
        return total, beside

    def _record(self, pipeline: Pipeline, prefix: str) -> float:
        total, launching = self._end_to_end(pipeline)
        self.sampled.seconds[prefix + END_TO_END].append(total)
        if self._device.timing_method == "event":
            self.sampled.seconds[prefix + DISPATCH].append(launching)
        return total
