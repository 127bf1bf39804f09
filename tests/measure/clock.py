"""A clock on which nothing takes time but sleeping and waiting for another rank: a busy box is no part of it."""

from __future__ import annotations

import time

import torch

from fiabench.devices.cpu import CpuDevice
from fiabench.measure.pipeline import Pipeline, Step

TICK = 1e-6
"""Seconds from mark to mark where nobody sleeps: a phase of no time at all is refused."""


class SleepClock(CpuDevice):
    """A CPU on that clock."""

    def __init__(self, index):
        super().__init__(index)
        self.time = 0.0

    def now(self):
        return self.time

    def mark(self):
        self.time += TICK
        return self.time

    def seconds(self, start, end):
        return end - start

    def sleep(self, seconds):
        self.time += seconds


class Meeting:
    """Groups whose ranks have the latest one's time when they have met."""

    def __init__(self, groups, device):
        self._groups = groups
        self._device = device

    def __getattr__(self, name):
        return getattr(self._groups, name)

    def barrier(self):
        self._meet(self._groups.barrier)

    def align(self):
        self._meet(self._groups.align)

    def exchanging(self, pipeline: Pipeline) -> None:
        """Makes a meeting of each of the pipeline's exchanges."""
        pipeline.steps[:] = [
            step._replace(call=lambda call=step.call: self._meet(call))
            if isinstance(step, Step) and "exchange" in (step.phase or "")
            else step
            for step in pipeline.steps
        ]

    def _meet(self, work):
        """That nobody leaves ``work`` before the last has come is seen on the box's own clock, the same for all."""
        entered = time.monotonic()
        work()
        left = time.monotonic()
        all_entered, times = self._groups.gather(torch.tensor([entered, self._device.time], dtype=torch.float64)).T
        assert left >= all_entered.max(), "a rank went on before the last had come"
        self._device.time = float(times.max())
