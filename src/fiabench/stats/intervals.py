"""Medians and their confidence intervals, free of assumptions about the distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

QUANTILES = (0.05, 0.25, 0.75, 0.95)
NORMAL_THEORY = 6
"""Below this many samples no pair of order statistics covers the median with 95 %: Gaussian noise is assumed."""


@dataclass(frozen=True)
class Summary:
    """The median of a series with its interval; units are the series' own."""

    median: float
    low: float
    high: float
    level: float
    """With which the interval covers the median; of fewer than six samples for Gaussian noise only."""
    quantiles: dict[str, float]
    count: int


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


@dataclass(frozen=True)
class Interval:
    """An interval around a value, in the series' own units."""

    value: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the interval's width, relative to the value; infinite for a value of zero."""
        return (self.high - self.low) / (2 * abs(self.value)) if self.value else float("inf")


def median_interval(samples: Sequence[float] | np.ndarray, level: float = 0.95, widening: float = 1.0) -> Interval:
    """The median with an interval that covers it with ``level`` and not with more, so that few samples are not wasted.

    Two order statistics cover the median only with the levels that the binomial has (89.1 or 97.9 % of ten samples);
    between them the ends are interpolated after Hettmansperger and Sheather (Statistics & Probability Letters 4, 1986),
    which holds within a few tenths of a percent for symmetric, skewed and heavy-tailed noise alike. With fewer than
    six samples no order statistics reach 95 %, and the interval is Student's, for Gaussian noise, scaled by what the
    median is less certain than the mean. ``widening`` stretches both arms (see ``stats/serial.py``).
    ValueError where there are no samples; one sample alone has an interval without bounds.
    """
    ordered = np.sort(np.asarray(samples, dtype=float))
    count = ordered.size
    if not count:
        raise ValueError("no samples to summarise")
    median = float(np.median(ordered))
    if count == 1:
        return Interval(median, -math.inf, math.inf)
    arm = _arm(count, level)
    if arm is None:
        reach = _student(count - 1, level) * math.sqrt(math.pi / 2 / count) * float(ordered.std(ddof=1))
        low, high = median - reach, median + reach
    else:
        centre = (count - 1) / 2
        low, high = np.interp([centre - arm, centre + arm], np.arange(count), ordered).tolist()
    return Interval(median, median - widening * (median - low), median + widening * (high - median))


def summarise(samples: Sequence[float] | np.ndarray, level: float = 0.95, widening: float = 1.0) -> Summary:
    """Median, interval (see :func:`median_interval`) and quantiles of ``samples``; ValueError where there are none.

    One sample alone has itself for an interval, which covers nothing: its level is 0.
    """
    series = np.asarray(samples, dtype=float)
    interval = median_interval(series, level, widening)
    quantiles = dict(zip((f"{q:g}" for q in QUANTILES), np.quantile(series, QUANTILES).tolist(), strict=True))
    bounded = math.isfinite(interval.low)
    return Summary(
        median=interval.value,
        low=interval.low if bounded else interval.value,
        high=interval.high if bounded else interval.value,
        level=level if bounded else 0.0,
        quantiles=quantiles,
        count=int(series.size),
    )


@lru_cache(maxsize=4096)
def _arm(count: int, level: float) -> float | None:
    """How many ranks the interval reaches to either side of the centre; None where the samples are too few."""
    drop, wide = interval_ranks(count, level)
    if wide < level or count < NORMAL_THEORY:
        return None
    from scipy.special import bdtr

    narrow = float(1 - 2 * bdtr(drop + 1, count, 0.5))
    inside = drop + 1
    part = (wide - level) / (wide - narrow)
    between = (count - inside) * part / (inside + (count - 2 * inside) * part)
    return (count + 1) / 2 - inside - between


def _student(freedom: float, level: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + level) / 2))
