"""Slow ranks: one that takes longer than the others in iteration after iteration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fiabench.stats.intervals import median_interval

ALARM = 0.01
"""The part of groups of equal ranks in which one looks slow."""
LEAST = 0.025
"""A rank that is slower by less than this, relative to the others, is not worth a word."""


@dataclass(frozen=True)
class SlowRank:
    """A rank that is slower than the others."""

    rank: int
    excess: float
    """The median of its duration over the other ranks' median in the same iteration, less 1."""
    low: float
    high: float
    """The interval of the excess, at a level that takes the number of ranks into account."""


def slow_ranks(durations: np.ndarray, least: float = LEAST) -> tuple[SlowRank, ...]:
    """The slow ranks in ``durations`` [ranks, iterations], slowest first; none where there are no two ranks.

    Ranks are compared within an iteration, so that what slows all of them cancels. Meant for what a rank does alone: in
    an exchange the others wait for the slow one, and it is they who take longer.
    """
    ranks, iterations = durations.shape
    if ranks < 2 or iterations < 3:
        return ()
    level = 1 - 2 * ALARM / ranks
    found = []
    for rank in range(ranks):
        others = np.median(np.delete(durations, rank, axis=0), axis=0)
        interval = median_interval(durations[rank] / others - 1, level)
        if interval.value >= least and interval.low > 0:
            found.append(SlowRank(rank, interval.value, interval.low, interval.high))
    return tuple(sorted(found, key=lambda slow: -slow.excess))
