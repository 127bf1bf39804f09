"""How neighbouring values may hang together: covariances, with what a step looks like once they are taken out.

Nobody knows beforehand which of them a series has, so each is held against the values, with and without a linear trend,
and weighs as much as it explains (:mod:`scan`). All are free of scale: only ratios are fixed, the size of the noise is
the series' own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

AUTOREGRESSIVE = (0.3, 0.5, 0.7, 0.85, 0.95)
"""Correlations of neighbours, of noise that follows its last value."""
WANDERING = ((0.9, 0.4), (0.97, 0.4), (0.97, 1.5))
"""Slow noise beneath quick: the slow one's correlation of neighbours, and the quick one's variance relative to its."""
OFFSETS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)
"""Standard deviations of what the values of one session share, relative to the noise within."""
COST_TREND, COST_AUTOREGRESSIVE, COST_WANDERING = 1.6, 1.0, 2.0
"""In nats: by how much an explanation has to be better than independent noise to weigh as much."""
COST_OFFSETS = 2.0
"""Times the logarithm of an offset's ratio: sessions usually differ by as much as their values, seldom by far more."""
YOUNG, COST_AGE = 10.0, 4.5
"""A step older than YOUNG values costs COST_AGE nats for each factor e: it would have been told of when it was new."""
NEWEST, COST_NOT_NEWEST = 3, 0.5
"""A step older than NEWEST values costs so many nats more: the newest commits are what is asked about."""
SHORT, COST_SHORT = 50, 0.9
"""Fewer values leave it open how neighbours hang together: each step costs so many nats more."""
COST_SESSIONS = 5.0
"""For each factor e that a step is older than one session, counted in sessions, where they are known."""
COST_WITHIN, COST_FEW_SESSIONS, FAVOUR_BETWEEN = 1.2, 36.0, 1.2
"""With s sessions known, a step within one costs COST_WITHIN nats: even a small one explains much there, where noise is
small. One between two costs COST_FEW_SESSIONS / s^2, as few sessions say little of how sessions differ, less
FAVOUR_BETWEEN: so few places explain by chance what they explain more seldom."""


@dataclass(frozen=True)
class Contrasts:
    """A covariance with or without a trend: the steps with level and trend projected out, to scan with."""

    covariance: int
    trend: bool
    nuisance: np.ndarray
    """[n, 1 or 2], orthonormal: level and trend."""
    directions: np.ndarray
    """[n - 1, n], of length 1 or 0: row c - 1 is for ``step_c``."""
    lengths: np.ndarray
    """[n - 1]: of the projected steps, so that a step of size 1 moves its contrast by as much."""


@dataclass(frozen=True)
class Family:
    """Everything that n values may be explained by: C covariances, independent noise the first, with or without trend.

    ``step_c`` is 0 before index c and 1 from it on; ``step_0`` is the level.
    """

    whiten: np.ndarray
    """[C, n, n]: what makes noise of a covariance independent, with a variance of 1."""
    steps: np.ndarray
    """[C, n, n]: the columns are the whitened ``step_c``."""
    trends: np.ndarray
    """[C, n]: a whitened line from -1 to 1."""
    log_dets: np.ndarray
    """[C]: of ``whiten``."""
    costs: np.ndarray
    """[C], in nats."""
    contrasts: tuple[Contrasts, ...]
    """Each covariance without a trend, then with one."""
    place_costs: np.ndarray
    """[n - 1], in nats, for a step at index 1, 2, ...: how much less it is looked for there."""
    sessions: np.ndarray
    """[n]: the session of each value where they are known, else empty."""


@lru_cache(maxsize=4)
def unknown_sessions(count: int) -> Family:
    """For ``count`` values of which nothing is known but their order."""
    lags = np.abs(np.subtract.outer(np.arange(count), np.arange(count)))
    covariances = [(np.eye(count), 0.0)]
    covariances += [(r**lags, COST_AUTOREGRESSIVE) for r in AUTOREGRESSIVE]
    covariances += [(r**lags + part * np.eye(count), COST_WANDERING) for r, part in WANDERING]
    ages = count - np.arange(1, count)
    place_costs = COST_AGE * np.log(np.maximum(1.0, ages / YOUNG)) + COST_NOT_NEWEST * (ages > NEWEST)
    return _family(covariances, place_costs + COST_SHORT * (count < SHORT), ())


@lru_cache(maxsize=4)
def known_sessions(labels: tuple[int, ...]) -> Family:
    """For values of which it is known in which session, numbered, each was measured."""
    sessions = np.asarray(labels)
    shared = (sessions[:, None] == sessions[None, :]).astype(float)
    covariances = [(np.eye(sessions.size), 0.0)]
    for ratio in OFFSETS:
        covariances.append((np.eye(sessions.size) + ratio**2 * shared, COST_OFFSETS * math.log(max(1.0, ratio))))
    ages = np.array([np.unique(sessions[cut:]).size for cut in range(1, sessions.size)])
    between = sessions[1:] != sessions[:-1]
    few = COST_FEW_SESSIONS / np.unique(sessions).size ** 2
    of_place = np.where(between, few - FAVOUR_BETWEEN, COST_WITHIN)
    return _family(covariances, COST_SESSIONS * np.log(ages) + of_place, labels)


def _family(
    covariances: Sequence[tuple[np.ndarray, float]], place_costs: np.ndarray, labels: tuple[int, ...]
) -> Family:
    factors = [np.linalg.cholesky(matrix) for matrix, _ in covariances]
    whiten = np.array([np.linalg.inv(factor) for factor in factors])
    # A step from c on is the sum of the columns from c on.
    steps = np.cumsum(whiten[:, :, ::-1], axis=2)[:, :, ::-1]
    trends = whiten @ np.linspace(-1.0, 1.0, whiten.shape[-1])
    log_dets = np.array([-float(np.log(np.diag(factor)).sum()) for factor in factors])
    costs = np.array([cost for _, cost in covariances])
    contrasts = tuple(
        _contrasts(index, steps[index], trends[index] if trend else None)
        for index in range(len(covariances))
        for trend in (False, True)
    )
    return Family(whiten, steps, trends, log_dets, costs, contrasts, place_costs, np.asarray(labels))


def _contrasts(covariance: int, steps: np.ndarray, trend: np.ndarray | None) -> Contrasts:
    columns = [steps[:, 0]] if trend is None else [steps[:, 0], trend]
    nuisance, _ = np.linalg.qr(np.stack(columns, axis=1))
    rest = steps[:, 1:] - nuisance @ (nuisance.T @ steps[:, 1:])
    lengths = np.sqrt((rest**2).sum(axis=0))
    tellable = lengths > 1e-6
    directions = np.where(tellable, rest / np.where(tellable, lengths, 1.0), 0.0)
    return Contrasts(covariance, trend is not None, nuisance, np.ascontiguousarray(directions.T), lengths * tellable)
