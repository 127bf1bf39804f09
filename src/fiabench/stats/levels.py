"""Changes of level within a series: a drift from its first to its last sample, and a step such as throttling makes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fiabench.stats.serial import lag_one, normal_scores

ALARM, DOUBT = 0.002, 0.005
"""The part of steady series in which each of the two tests sees a change, and in which it has its doubts."""
LEAST_COUNT = 8
LEAST_SIDE = 3
"""A step is looked for where as many samples at least lie before and after it."""
CLIP = 4.0
"""Scores reach as far as this many robust standard deviations: beyond it an outlier weighs no more."""


@dataclass(frozen=True)
class Change:
    """A change of level that the noise does not explain."""

    kind: str
    """``drift`` or ``step``."""
    size: float
    """From the first sample to the last, or from before the step to after it; relative to the series' median."""
    at: int
    """The first sample after the step; for a drift the first of all."""
    chance: float
    """How often a steady series looks like this one, or more so."""


def find_changes(samples: np.ndarray, tolerance: float = 0.0, alarm: float = ALARM) -> tuple[Change, ...]:
    """Drift and step of ``samples`` [n], if any, the one that noise explains least first; those below ``tolerance``,
    relative to the median, are passed over. ``alarm`` is the part of steady series in which either may be seen."""
    found = (find_drift(samples, alarm), find_step(samples, alarm))
    changes = [change for change in found if change and abs(change.size) >= tolerance]
    return tuple(sorted(changes, key=lambda change: change.chance))


def find_drift(samples: np.ndarray, alarm: float = ALARM) -> Change | None:
    """A drift of ``samples`` [n] in the order taken, or None; its size is Theil and Sen's (the median of all slopes).

    Spearman's correlation of the samples with their order, so that no shape of noise is assumed.
    """
    series = np.asarray(samples, dtype=float)
    count = series.size
    if count < LEAST_COUNT or series.min() == series.max():
        return None
    from scipy.special import stdtr

    scores = normal_scores(series)
    time = np.arange(count) - (count - 1) / 2
    slope = float(time @ scores) / float(time @ time)
    correlation = slope * math.sqrt(float(time @ time) / float(scores @ scores))
    statistic = abs(correlation) * math.sqrt((count - 2) / max(1 - correlation**2, 1e-12))
    statistic /= _inflation(scores - slope * time)
    chance = 2 * float(stdtr(count - 2, -statistic))
    if chance >= alarm:
        return None
    size = _theil_sen(series) * (count - 1) / abs(float(np.median(series)))
    return Change("drift", size, 0, chance)


def find_step(samples: np.ndarray, alarm: float = ALARM) -> Change | None:
    """The step in ``samples`` [n] that splits them best, in the order taken, or None where noise would do the same.

    The greatest standardised difference of two parts over all places of the cut, of deviations from the median that are
    clipped so that single outliers make no step; how often noise reaches it: James, James and Siegmund, Biometrika 74
    (1987), equation for the maximum of a standardised Gaussian bridge in discrete time.
    """
    series = np.asarray(samples, dtype=float)
    count = series.size
    if count < LEAST_COUNT:
        return None
    scores = _clipped(series)
    variance = float(scores @ scores) / (count - 1)
    if not variance:
        return None
    cuts = np.arange(LEAST_SIDE, count - LEAST_SIDE + 1)
    sums = np.abs(np.cumsum(scores)[cuts - 1])
    statistics = sums / np.sqrt(variance * cuts * (count - cuts) / count)
    best = int(statistics.argmax())
    at = int(cuts[best])
    parts = (scores[:at], scores[at:])
    residual = np.concatenate([part - part.mean() for part in parts])
    chance = _chance(float(statistics[best]) / _inflation(residual), count)
    if chance >= alarm:
        return None
    size = (np.median(series[at:]) - np.median(series[:at])) / abs(float(np.median(series)))
    return Change("step", float(size), at, chance)


def _clipped(series: np.ndarray) -> np.ndarray:
    """Deviations from the median in robust standard deviations, clipped, with mean zero."""
    deviations = series - np.median(series)
    scale = 1.4826 * float(np.median(np.abs(deviations))) or float(np.abs(deviations).mean()) or 1.0
    clipped = np.clip(deviations / scale, -CLIP, CLIP)
    return np.asarray(clipped - clipped.mean())


def _inflation(residual: np.ndarray) -> float:
    """By how much dependence, where the residual shows any, spreads sums of neighbouring samples (1 without)."""
    count = residual.size
    raw = lag_one(residual)
    if (raw + 1 / count) * math.sqrt(count) < 1.645:
        return 1.0
    correlation = min((raw + 1 / count) / max(1 - 4 / count, 0.5), 0.95)
    return math.sqrt((1 + correlation) / (1 - correlation))


def _theil_sen(series: np.ndarray) -> float:
    """The median slope between any two samples, a sample; long series are thinned, evenly."""
    index = np.unique(np.linspace(0, series.size - 1, min(series.size, 200)).astype(int))
    first, second = np.triu_indices(index.size, k=1)
    return float(np.median((series[index][second] - series[index][first]) / (index[second] - index[first])))


@lru_cache(maxsize=1024)
def _overshoot(count: int) -> tuple[float, float]:
    """The bounds of the integral in :func:`_chance`, before they are multiplied by the statistic."""
    return math.sqrt(1 / (count - LEAST_SIDE) - 1 / count), math.sqrt(1 / LEAST_SIDE - 1 / count)


def _chance(statistic: float, count: int) -> float:
    """How often the greatest of the standardised differences of a steady series reaches ``statistic``, either way."""
    from scipy.special import ndtr

    if statistic < 1:
        return 1.0
    low, high = _overshoot(count)
    x = np.geomspace(statistic * low, statistic * high, 200)
    y = x + statistic**2 / (count * x)
    density = np.exp(-(y**2) / 8) / math.sqrt(2 * math.pi)
    discreteness = (2 / y) * (ndtr(y / 2) - 0.5) / (y / 2 * ndtr(y / 2) + density)
    area = float((discreteness[1:] + discreteness[:-1]) @ np.diff(np.log(x))) / 2
    return min(1.0, 2 * statistic * math.exp(-(statistic**2) / 2) / math.sqrt(2 * math.pi) * area)
