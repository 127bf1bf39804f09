"""Series of samples whose truth is known: kinds of noise around a level of 1."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SPREAD = 0.01
"""Standard deviation of the noise, relative, unless a kind says otherwise."""
WINDOW = 30
"""Samples over which a drift is given, and in which a step falls: what a steady measurement takes at 1 % noise."""

Source = np.random.Generator


@dataclass(frozen=True)
class Kind:
    """A kind of noise."""

    name: str
    about: str
    draw: Callable[[Source, int], np.ndarray]
    """Relative deviations [n] from the truth, which is their distribution's median: 0."""
    level: Callable[[int], np.ndarray] | None = None
    """What of them [n] is a change of level, where there is one; the truth is then the level at the start."""


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


def drifting(name: str, size: float) -> Kind:
    """Rises by ``size`` in each WINDOW samples."""

    def level(count: int) -> np.ndarray:
        return size * np.arange(count) / WINDOW

    return Kind(name, f"{name[6:]} in {WINDOW} samples", lambda source, n: gaussian(source, n) + level(n), level)


def step(source: Source, count: int, size: float) -> tuple[np.ndarray, int]:
    """Throttling: ``size`` slower from one sample of the window on, and which one."""
    at = int(source.integers(5, WINDOW - 4))
    return gaussian(source, count) + size * (np.arange(count) >= at), at


def slow_rank(source: Source, ranks: int, count: int, size: float) -> tuple[np.ndarray, int]:
    """[ranks, n] around 1, one rank ``size`` slower, and which one."""
    slow = int(source.integers(ranks))
    durations = 1 + SPREAD * source.standard_normal((ranks, count))
    durations[slow] *= 1 + size
    return durations, slow


def sessions(source: Source, count: int, level: float, between: float, samples: int = 24) -> list[np.ndarray]:
    """``count`` fresh processes with ``samples`` each, whose own levels spread by ``between``."""
    offsets = between * source.standard_normal((count, 1))
    return list(level * np.exp(offsets + SPREAD * source.standard_normal((count, samples))))


def _median_of_modes(weight: float, gap: float, spread: float) -> float:
    from scipy.special import ndtr

    low, high = -9 * spread, gap + 9 * spread
    while high - low > 1e-12:
        middle = (low + high) / 2
        below = (1 - weight) * ndtr(middle / spread) + weight * ndtr((middle - gap) / spread)
        low, high = (middle, high) if below < 0.5 else (low, middle)
    return high


NARROW = 0.1
"""Spread of each mode in parts of the gap between them."""
SETTLING = (
    Kind("gaussian", "Gaussian, 1 %", gaussian),
    Kind("t3", "Student's t with 3 degrees of freedom, 1 %", heavy_tailed),
    Kind("skewed", "exponential, 1 %", skewed),
    Kind("modes 70/30, 1 %", "two modes 1 % apart, 70 and 30 %", modes(0.3, 0.01, NARROW * 0.01)),
    Kind("modes 70/30, 2 %", "two modes 2 % apart, 70 and 30 %", modes(0.3, 0.02, NARROW * 0.02)),
)
"""Kinds of which the median can be known."""
EQUAL_MODES = (
    Kind("modes 50/50, 1 %", "two equal modes 1 % apart, each a tenth as wide", modes(0.5, 0.01, NARROW * 0.01)),
    Kind("modes 50/50, 2 %", "two equal modes 2 % apart, each a tenth as wide", modes(0.5, 0.02, NARROW * 0.02)),
    Kind("modes 50/50, wide", "two equal modes 2 % apart, each a fifth as wide", modes(0.5, 0.02, 0.2 * 0.02)),
)
DEPENDENT = (
    Kind("ar 0.3", "neighbours correlate by 0.3", autoregressive(0.3)),
    Kind("ar 0.5", "neighbours correlate by 0.5", autoregressive(0.5)),
    Kind("ar 0.7", "neighbours correlate by 0.7", autoregressive(0.7)),
    Kind("ar 0.9", "neighbours correlate by 0.9", autoregressive(0.9)),
)
DRIFTING = tuple(drifting(f"drift {size:.0%}", size) for size in (0.02, 0.05, 0.1))
