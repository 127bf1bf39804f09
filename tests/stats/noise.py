"""Series of relative deviations [n] from a truth of 0, their distribution's median."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.special import ndtr

from fiabench.evidence.noise import SPREAD, Source


def gaussian(source: Source, count: int, spread: float = SPREAD) -> np.ndarray:
    return spread * source.standard_normal(count)


def heavy_tailed(source: Source, count: int) -> np.ndarray:
    """Student's t with three degrees of freedom."""
    return SPREAD / math.sqrt(3) * source.standard_t(3, count)


def skewed(source: Source, count: int) -> np.ndarray:
    """Exponential: never much faster, now and then much slower."""
    return SPREAD * (source.exponential(size=count) - math.log(2))


def modes(weight: float, gap: float, spread: float) -> Callable[[Source, int], np.ndarray]:
    """Two modes, the upper one ``gap`` above the lower and with ``weight``, each Gaussian with ``spread``."""
    median = _median_of_modes(weight, gap, spread)

    def draw(source: Source, count: int) -> np.ndarray:
        upper = source.random(count) < weight
        return np.asarray(gap * upper + spread * source.standard_normal(count) - median)

    return draw


def autoregressive(correlation: float) -> Callable[[Source, int], np.ndarray]:
    """Each sample follows the one before; the spread of all is SPREAD."""

    def draw(source: Source, count: int) -> np.ndarray:
        fresh = math.sqrt(1 - correlation**2) * source.standard_normal(count)
        fresh[0] = source.standard_normal()
        for index in range(1, count):
            fresh[index] += correlation * fresh[index - 1]
        return SPREAD * fresh

    return draw


def _median_of_modes(weight: float, gap: float, spread: float) -> float:
    low, high = -9 * spread, gap + 9 * spread
    while high - low > 1e-12:
        middle = (low + high) / 2
        below = (1 - weight) * ndtr(middle / spread) + weight * ndtr((middle - gap) / spread)
        low, high = (middle, high) if below < 0.5 else (low, middle)
    return high
