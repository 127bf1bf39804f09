"""Readings of a device's sensors, taken no oftener than they are worth. Imports no torch."""

from __future__ import annotations

import time
from collections.abc import Callable

RETRY_SECONDS = 30.0
"""After a reading that failed: a tool that hangs or is overrun must not be asked beside every sample."""

Readings = dict[str, float]
"""`clock_mhz`, `temperature_c`, `power_w`: those that are known."""


class SensorsMissing(Exception):
    """Why nothing can be read."""


class Sensors:
    """Keeps what ``read`` gave for ``seconds``; ``clock`` gives the time in seconds."""

    def __init__(
        self, read: Callable[[], Readings], seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.missing = ""
        """Why the last reading gave nothing; empty where it gave something."""
        self._read = read
        self._seconds = seconds
        self._clock = clock
        self._due = float("-inf")
        self._last: Readings = {}

    def __call__(self) -> Readings:
        """The readings of now or of a moment ago; {} where there are none, and :attr:`missing` says why."""
        if self._clock() >= self._due:
            try:
                self._last, self.missing = self._read(), ""
            except SensorsMissing as reason:
                self._last, self.missing = {}, str(reason)
            self._due = self._clock() + (RETRY_SECONDS if self.missing else self._seconds)
        return dict(self._last)
