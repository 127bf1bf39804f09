"""Where a series over commits changes: what a reader should look at. A suspicion, which pairs confirm or not.

A change from one measured commit to the next counts where it is more than LEAST, more than the commits usually differ
by, and where the two intervals do not overlap. One session a commit says nothing of how sessions differ; how
neighbouring commits usually differ does, because most change nothing. A number without an interval (peak memory) has
that alone to go by, and is not judged where there are too few neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

LEAST = 0.05
"""Relative; below it a single session a commit is not to be believed on any box."""
_TIMES = 4.0
"""Robust standard deviations of the neighbours' differences that a change has to exceed. Of histories of 20 commits
that change nothing one in 25 has such a one (simulated, Gaussian noise of 1 to 20 %)."""
_FEWEST = 4
"""Differences from which on their spread says something: of fewer a change would itself be most of it."""
_ROBUST = 1.4826
"""Standard deviations of a Gaussian in its median absolute deviation."""


class Value(NamedTuple):
    """Of one commit; greater than zero. The bounds are the value itself where there is no interval."""

    value: float
    low: float
    high: float


class Step(NamedTuple):
    """A change that stands out."""

    at: int
    """Of the first value after it."""
    ratio: float
    """Of that value to the one before."""
    alone: bool
    """Whether the next value is back where the one before was."""


def find_steps(values: Sequence[Value | None]) -> list[Step]:
    """Where ``values``, in the order of the commits, change. None stands for a commit that was not measured."""
    there = [(index, value) for index, value in enumerate(values) if value is not None and value.value > 0]
    logs = np.log([value.value for _, value in there])
    differences = np.diff(logs)
    threshold = max(math.log1p(LEAST), _usual(differences))
    found: list[Step] = []
    few = differences.size < _FEWEST
    back = False
    for place, difference in enumerate(differences):
        if back:
            back = False
            continue
        (_, before), (index, after) = there[place], there[place + 1]
        apart = after.low > before.high or after.high < before.low
        if few and before.low == before.high:
            continue
        if abs(difference) <= threshold or not apart:
            continue
        following = differences[place + 1] if place + 1 < len(differences) else 0.0
        back = abs(difference + following) <= threshold < abs(following)
        found.append(Step(index, math.exp(difference), bool(back)))
    return found


def _usual(differences: np.ndarray) -> float:
    """What a difference has to exceed to be more than usual; 0 where there are too few to tell."""
    if differences.size < _FEWEST:
        return 0.0
    middle = float(np.median(differences))
    return _TIMES * _ROBUST * float(np.median(np.abs(differences - middle)))
