"""The kinds of noise that a history of commits has: logarithms around 0, [series, n]."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

SESSION = 10
"""Commits measured in one session."""

Draw = Callable[[np.random.Generator, int, int], np.ndarray]


class Kind(NamedTuple):
    """One kind of noise, with what is asked of a detector on it."""

    name: str
    draw: Draw
    told: bool = False
    """Whether the detector is told which values are of one session."""
    asked: tuple[int, int, int] | None = None
    """Power in percent for +5 % at 1, 3 and 10 commits; None where abstaining is right."""


def gaussian(deviation: float) -> Draw:
    return lambda source, series, count: deviation * source.standard_normal((series, count))


def autoregressive(source: np.random.Generator, series: int, count: int) -> np.ndarray:
    """Neighbours correlate by 0.7; the stationary standard deviation is 1 %."""
    fresh = 0.01 * source.standard_normal((series, count))
    noise = fresh.copy()
    for index in range(1, count):
        noise[:, index] = 0.7 * noise[:, index - 1] + math.sqrt(1 - 0.7**2) * fresh[:, index]
    return noise


def bimodal(source: np.random.Generator, series: int, count: int) -> np.ndarray:
    """0.5 %, and 3 % more on 15 % of the values."""
    upper = source.random((series, count)) < 0.15
    return np.asarray(0.005 * source.standard_normal((series, count)) + 0.03 * upper)


def heavy_tailed(source: np.random.Generator, series: int, count: int) -> np.ndarray:
    """Student's t with three degrees of freedom, of 1 %."""
    return np.asarray(0.01 / math.sqrt(3) * source.standard_t(3, (series, count)))


def sessions(deviation: float) -> Draw:
    """Ten commits at a time share an offset; within, 0.5 %."""

    def draw(source: np.random.Generator, series: int, count: int) -> np.ndarray:
        offsets = deviation * source.standard_normal((series, -(-count // SESSION)))
        within = 0.005 * source.standard_normal((series, count))
        return np.asarray(np.repeat(offsets, SESSION, axis=1)[:, :count] + within)

    return draw


def drifting(source: np.random.Generator, series: int, count: int) -> np.ndarray:
    """2 % from the first value to the last, and 1 % of Gaussian noise."""
    return np.asarray(np.linspace(0.0, 0.02, count) + 0.01 * source.standard_normal((series, count)))


def labels(count: int) -> list[int]:
    """The session of each value."""
    return [index // SESSION for index in range(count)]


KINDS = (
    Kind("Gaussian, 1 %", gaussian(0.01), asked=(80, 98, 100)),
    Kind("Gaussian, 2 %", gaussian(0.02), asked=(12, 65, 98)),
    Kind("AR(0.7), 1 %", autoregressive, asked=(80, 85, 95)),
    Kind("bimodal", bimodal, asked=(40, 95, 100)),
    Kind("heavy-tailed t3, 1 %", heavy_tailed, asked=(50, 95, 100)),
    Kind("drift of 2 %", drifting, asked=(55, 95, 98)),
    Kind("sessions of 1 %, told", sessions(0.01), told=True, asked=(40, 40, 80)),
    Kind("sessions of 3 %, told", sessions(0.03), told=True),
    Kind("sessions of 1 %, not told", sessions(0.01)),
    Kind("sessions of 3 %, not told", sessions(0.03)),
)
