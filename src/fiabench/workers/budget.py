"""A run's time, shared out among its cases by their estimates, so that each gets something."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

START_SECONDS = 5.0
"""What starting a group of ranks takes, nearly all of it importing torch."""
_WARMUP_SHARE = 0.25
"""The part of what a case may sample in that warming up may take."""


class Cost(NamedTuple):
    """What a case is estimated to take, in seconds."""

    fixed: float
    """Before it is sampled: its group's start, its first calls."""
    sampling: float
    """Warming up and sampling, which can be cut short."""


class Budget:
    """``seconds`` from now on."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._costs: Sequence[Cost] = ()
        self._ahead: list[Cost] = []

    @property
    def left(self) -> float:
        """Seconds that are left; negative where more were used."""
        return self._end - time.monotonic()

    def expect(self, costs: Sequence[Cost]) -> None:
        """Takes note of what is ahead."""
        self._costs = costs
        sums = accumulate(
            reversed(costs), lambda one, other: Cost(one.fixed + other.fixed, one.sampling + other.sampling)
        )
        self._ahead = [*sums][::-1]

    def share(self, place: int) -> float:
        """Seconds for which the case at ``place`` of what was expected may be sampled: all ahead get theirs alike.

        Negative where not even what is fixed can be paid for.
        """
        ahead = self._ahead[place]
        spare = self.left - ahead.fixed
        return spare * self._costs[place].sampling / ahead.sampling if ahead.sampling else spare


def limited(stopping: dict[str, Any], seconds: float) -> dict[str, Any]:
    """``stopping`` with its caps lowered, so that warming up and sampling together take at most ``seconds``."""
    warmup = min(stopping["warmup_max_seconds"], _WARMUP_SHARE * max(0.0, seconds))
    sampling = min(stopping["max_seconds"], max(0.0, seconds) - warmup)
    return stopping | {"warmup_max_seconds": warmup, "max_seconds": sampling}
