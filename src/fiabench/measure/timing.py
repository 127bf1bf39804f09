"""How one sample of a pipeline is timed: alone, many launches at once, or as a replayed graph.

Two marks around one launch measure the device only where the host launches faster than the device works; otherwise they
measure the host. And each pair of marks costs a few microseconds, much for a kernel of ten. So what launching takes is
held against what the device takes, and short work is timed many times over between two marks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import median
from typing import Protocol

import torch
from torch import Tensor

from fiabench.devices.base import Device
from fiabench.measure.pipeline import Pipeline

NEGLIGIBLE = 0.001
"""Launching that takes no more than this part of what it takes on the device needs no care."""
HOST_BOUND = 0.8
"""Where launching takes this part of what it takes on the device, many launches in a row are the host's."""
SAMPLE_SECONDS = 2e-3
"""What a sample on an accelerator lasts at least, so that the microseconds of marks are little of it."""
MOST_LAUNCHES = 1000
HOLD = 2.0
"""Before a sample the device is kept busy for this many times what launching takes, so that all is launched before the
first begins, and nothing between the marks waits for the host."""
_TRIED = 5


class Together(Protocol):
    """The ranks that take samples together; :class:`fiabench.ulysses.groups.RankGroups` are such."""

    def barrier(self) -> None:
        """Returns when every rank has come here, to begin an iteration."""
        ...

    def align(self) -> None:
        """Returns when every rank has come here, within an iteration."""
        ...

    def gather(self, value: Tensor) -> Tensor:
        """Every rank's ``value``, a host tensor of one shape, stacked by rank."""
        ...


class Timer:
    """Times ``pipeline`` end to end; every rank of ``groups`` does so alike.

    ``cold`` empties the device's caches before each sample.
    """

    def __init__(self, pipeline: Pipeline, device: Device, groups: Together, cold: bool) -> None:
        self.pipeline = pipeline
        self.method = device.timing_method
        """`host`, `event`, `batched` (many launches between two marks) or `graph` (many replayed as one)."""
        self.launches = 1
        """In one sample, which is then their mean."""
        self.held = 0.0
        """Seconds for which the device is kept busy before a sample; 0 where launching is nothing."""
        self.host_bound = False
        """Whether the device waits for the host's launches all the same: the samples are then the host's."""
        self._device = device
        self._groups = groups
        self._cold = cold
        self._replay: Callable[[], None] | None = None

    def once(self) -> tuple[float, float]:
        """Seconds of one iteration on the device, and those that the host took to launch it."""
        self.begin()
        if self._replay:
            seconds, _ = self._timed(self._replay)
            return seconds / self.launches, self._launching()
        seconds, launching = self._timed(self._launch)
        return seconds / self.launches, launching / self.launches

    def begin(self) -> None:
        """What precedes an iteration: caches emptied, all ranks there, the device kept busy while the host launches."""
        if self._cold:
            self._device.flush_cache()
            self._device.synchronize()
        self._groups.barrier()
        self._hold()

    def align(self) -> None:
        """The same within an iteration."""
        self._groups.align()
        self._hold()

    def _hold(self) -> None:
        if self.held:
            self._device.hold(self.held)

    def _launch(self) -> None:
        for _ in range(self.launches):
            self.pipeline.run()

    def _timed(self, work: Callable[[], None]) -> tuple[float, float]:
        start, begun = self._device.mark(), self._device.now()
        work()
        launching = self._device.now() - begun
        end = self._device.mark()
        self._device.synchronize()
        return self._device.seconds(start, end), launching

    def _launching(self) -> float:
        """What launching takes without the graph."""
        begun = self._device.now()
        self.pipeline.run()
        launching = self._device.now() - begun
        self._device.synchronize()
        return launching

    def choose(self) -> None:
        """Tries how long launching and the device take, and settles on a method; the same on every rank."""
        if self.method != "event":
            return
        seconds, launching = self._tried()
        if launching < NEGLIGIBLE * seconds:
            return
        self.held = HOLD * launching
        held_seconds, launching = self._tried()
        self.host_bound = launching > self.held
        if self.pipeline.phases != ["kernel"] or self._cold or held_seconds >= SAMPLE_SECONDS:
            return
        if launching >= HOST_BOUND * held_seconds:
            self._capture(held_seconds)
        else:
            self.method, self.launches = "batched", _launches(held_seconds)

    def _tried(self) -> tuple[float, float]:
        """The slowest rank's medians of a few samples."""
        samples = [self.once() for _ in range(_TRIED)]
        mine = torch.tensor([median(values) for values in zip(*samples)], dtype=torch.float64)
        seconds, launching = self._groups.gather(mine).max(dim=0).values.tolist()
        return seconds, launching

    def _capture(self, seconds: float) -> None:
        """Times replays of a graph from here on, if every rank can capture one."""
        launches = _launches(seconds)
        replay = self._device.capture(self.pipeline.run, launches)
        if self._groups.gather(torch.tensor([replay is not None])).all():
            self.method, self.launches, self._replay = "graph", launches, replay
            self.host_bound = False


def _launches(seconds: float) -> int:
    return max(1, min(MOST_LAUNCHES, math.ceil(SAMPLE_SECONDS / max(seconds, 1e-9) - 1e-3)))
