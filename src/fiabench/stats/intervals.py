"""Medians and their confidence intervals, free of assumptions about the distribution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

QUANTILES = (0.05, 0.25, 0.75, 0.95)


@dataclass(frozen=True)
class Summary:
    """The median of a series with its interval; units are the series' own."""

    median: float
    low: float
    high: float
    level: float
    """The coverage that the interval really has: below the nominal one where samples are few."""
    quantiles: dict[str, float]
    count: int

    @property
    def half_width(self) -> float:
        """Half the interval's width, relative to the median; infinite for a median of zero."""
        return (self.high - self.low) / (2 * abs(self.median)) if self.median else float("inf")


def interval_ranks(count: int, level: float = 0.95) -> tuple[int, float]:
    """How many order statistics to leave out at each end so that the rest covers the median.

    The number of samples below the median is Binomial(count, 1/2); leaving k out at each end covers
    the median with probability 1 - 2 * P(X <= k). Returns the greatest k that keeps ``level`` (0 where
    even the whole range falls short of it) and the coverage really reached.
    """

    from scipy.special import bdtr  # takes longer to import than all that only plans or shows

    def coverage(drop: int) -> float:
        return float(1 - 2 * bdtr(drop, count, 0.5))

    drop = 0
    while 2 * (drop + 1) < count and coverage(drop + 1) >= level:
        drop += 1
    return drop, coverage(drop)


def summarise(samples: Sequence[float] | np.ndarray, level: float = 0.95) -> Summary:
    """Median, order-statistic interval and quantiles of ``samples``; ValueError where there are none."""
    ordered = np.sort(np.asarray(samples, dtype=float))
    if not ordered.size:
        raise ValueError("no samples to summarise")
    drop, reached = interval_ranks(ordered.size, level)
    quantiles = dict(zip((f"{q:g}" for q in QUANTILES), np.quantile(ordered, QUANTILES).tolist(), strict=True))
    return Summary(
        median=float(np.median(ordered)),
        low=float(ordered[drop]),
        high=float(ordered[-1 - drop]),
        level=reached,
        quantiles=quantiles,
        count=int(ordered.size),
    )
