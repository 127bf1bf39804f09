"""Dependence between neighbouring samples: how much wider it makes the interval of their median.

Samples that follow each other share clocks, temperature and neighbours. Where they resemble each other, n of them tell
less than n independent ones, and an interval that takes them for independent is too narrow: 24 samples whose
neighbours correlate by 0.7 are worth six.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

CORRELATIONS = np.array([0.0, *np.arange(0.5, 0.96, 0.05)])
"""What the correlation of neighbours may be: 0, or high enough to matter (0.3 widens an interval by a fifth)."""
INDEPENDENT = 0.55
"""What independence is given beforehand; the rest is spread evenly over the other correlations. More would settle
correlated noise too early, less would cost independent noise samples: 0.5 one in thirty."""
LEAST_COUNT = 8
"""Fewer samples say nothing of dependence and are taken for independent: what is believed beforehand would decide."""
DEPENDENT = 2.054
"""The lag-one correlation, in its own standard errors, that 2 % of independent series exceed."""


@dataclass(frozen=True)
class Dependence:
    """How far the samples of a series depend on each other."""

    correlation: float
    """Of neighbouring samples, by their normal scores, without the bias of short series."""
    widening: float
    """By how much the interval of the median has to be stretched; 1 and above."""
    effective: float
    """As many independent samples would tell as much."""
    detected: bool
    """Whether at most 2 % of independent series look as dependent as this one."""


def dependence(samples: np.ndarray, level: float = 0.95) -> Dependence:
    """The dependence within ``samples`` [n], in the order taken.

    The series is taken for autoregressive of order one in its normal scores, so that neither outliers nor the shape of
    the noise matter. Few samples leave the correlation open, and so the widening is what covers the median with
    ``level`` on the average over all correlations, each weighted by how well it explains the samples. Under a
    correlation r, the median's variance grows by 1 + 2 sum (1 - k/n) (2/pi) arcsin r^k (its sign process); the spread
    of the samples, from which the interval's width comes, falls short by what they move together; and it is known from
    fewer effective samples, hence Student's t. A slow part beneath independent noise is underestimated by one
    correlation alone, but detected.
    """
    series = np.asarray(samples, dtype=float)
    count = series.size
    if count < LEAST_COUNT:
        return Dependence(0.0, 1.0, float(count), False)
    scores = normal_scores(series)
    raw = lag_one(scores)
    weights = _weights(scores)
    factors, freedom = _widenings(count)
    widening = _mixture_quantile(weights, factors, freedom, level)
    correlation = min(max((raw + 1 / count) / (1 - 4 / count), -1.0), 1.0)
    detected = (raw + 1 / count) * math.sqrt(count) > DEPENDENT
    return Dependence(correlation, widening, count / widening**2, detected)


def normal_scores(samples: np.ndarray) -> np.ndarray:
    """What a Gaussian series with the same ranks would look like, [n]; equal samples share their mean rank."""
    from scipy.special import ndtri

    _, place, counts = np.unique(samples, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    return np.asarray(ndtri((ranks[place] - 0.375) / (samples.size + 0.25)))


def lag_one(scores: np.ndarray) -> float:
    """The correlation of neighbours in a series of mean zero; 0 where it is constant."""
    power = float(scores @ scores)
    return float(scores[1:] @ scores[:-1]) / power if power else 0.0


def _weights(scores: np.ndarray) -> np.ndarray:
    """How probable each of CORRELATIONS is after the scores: their likelihood with mean and variance integrated out."""
    count, r = scores.size, CORRELATIONS
    ends = scores[[0, -1]]
    squares, products = float(scores @ scores), float(scores[1:] @ scores[:-1])
    if not squares:
        return np.eye(r.size)[0]
    inner = squares - float(ends @ ends)
    total = float(scores.sum())
    innovation = 1 - r**2
    power = (squares + r**2 * inner - 2 * r * products) / innovation
    ones = (count + r**2 * (count - 2) - 2 * r * (count - 1)) / innovation
    mixed = (total + r**2 * (total - ends.sum()) - r * (2 * total - ends.sum())) / innovation
    residual = power - mixed**2 / ones
    log = -0.5 * ((count - 1) * np.log(innovation) + np.log(ones) + (count - 1) * np.log(residual))
    before = np.full(r.size, (1 - INDEPENDENT) / (r.size - 1))
    before[0] = INDEPENDENT
    weights = before * np.exp(log - log.max())
    return np.asarray(weights / weights.sum())


@lru_cache(maxsize=1024)
def _widenings(count: int) -> tuple[np.ndarray, np.ndarray]:
    """For each of CORRELATIONS the factor on the interval's width and the degrees of freedom behind it."""
    lags = np.arange(1, count)
    powers = CORRELATIONS[:, None] ** lags
    shares = 1 - lags / count
    median = 1 + 2 * (2 / math.pi * np.arcsin(powers) * shares).sum(axis=1)
    mean = 1 + 2 * (powers * shares).sum(axis=1)
    kept = 1 - (mean - 1) / (count - 1)
    return np.sqrt(median / kept), np.maximum(count / mean - 1, 1.0)


def _mixture_quantile(weights: np.ndarray, factors: np.ndarray, freedom: np.ndarray, level: float) -> float:
    """How far, in normal quantiles, the mixture of the scaled distributions reaches; the first of them is normal."""
    from scipy.special import ndtr, ndtri, stdtr

    unit = float(-ndtri((1 - level) / 2))

    def missed(widening: float) -> float:
        tails = 2 * stdtr(freedom, -unit * widening / factors)
        tails[0] = 2 * ndtr(-unit * widening)
        return float(weights @ tails)

    low, high = 1.0, 2.0
    while missed(high) > 1 - level:
        low, high = high, 2 * high
    while high - low > 1e-4 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if missed(middle) > 1 - level else (low, middle)
    return high
