"""A first look at every place: how much better values are explained with one step there, whatever the covariance.

The noise is taken for Gaussian here. What a covariance explains is measured by its restricted likelihood with the best
size of noise; those of all covariances are summed, each less its cost, so that none has to be chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fiabench.stats.changes.noise import COST_TREND, Contrasts, Family

LEAST_RESIDUAL = 1e-10
"""Of the sum of squares: a step that leaves no residual at all explains it no better than one that leaves this."""


class Scan(NamedTuple):
    """Of S series of n values, each with mean 0 and standard deviation 1."""

    gains: np.ndarray
    """[n - 1, S], nats: what a step at index 1, 2, ... explains beyond the noise."""
    upward: np.ndarray
    """[n - 1, S]: whether that step is one up."""
    null: np.ndarray
    """[contrasts, S], nats: what each explains without a step."""


def standardised(logs: np.ndarray) -> np.ndarray:
    """``logs`` [..., n] with mean 0 and standard deviation 1; where they do not vary, 0."""
    centred = logs - logs.mean(axis=-1, keepdims=True)
    spread = centred.std(axis=-1, keepdims=True)
    return np.asarray(centred / np.where(spread > 0, spread, 1.0))


def scan(family: Family, series: np.ndarray, among: Sequence[Contrasts] = ()) -> Scan:
    """Looks at ``series`` [n, S], standardised, ``among`` some of the family's contrasts or all."""
    count = len(series)
    whitened = family.whiten @ series
    null, stepped, upward = [], [], []
    for contrasts in among or family.contrasts:
        values = whitened[contrasts.covariance]
        nuisance = contrasts.nuisance.T @ values
        residual = (values**2).sum(axis=0) - (nuisance**2).sum(axis=0)
        projections = contrasts.directions @ values
        freedom = count - contrasts.nuisance.shape[1]
        offset = family.log_dets[contrasts.covariance] - cost_of(family, contrasts)
        null.append(offset + restricted(residual, freedom, count))
        left = np.maximum(residual - projections**2, 0.0)
        stepped.append(offset + restricted(left, freedom - 1, count) - family.place_costs[:, None])
        upward.append(projections > 0)
    without, having = np.array(null), np.array(stepped)
    best = having.argmax(axis=0)[None]
    ups = np.take_along_axis(np.array(upward), best, axis=0)[0]
    return Scan(log_sum(having) - log_sum(without), ups, without)


def cost_of(family: Family, contrasts: Contrasts) -> float:
    """In nats."""
    return float(family.costs[contrasts.covariance]) + COST_TREND * contrasts.trend


def restricted(residual: np.ndarray, freedom: np.ndarray | int, count: int) -> np.ndarray:
    """The logarithm of the restricted likelihood, but for a constant, from a ``residual`` sum of squares."""
    return np.asarray(-freedom / 2 * np.log((residual + LEAST_RESIDUAL * count) / freedom))


def log_sum(terms: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
    """The logarithm of the sum of exponentials over the first axis."""
    stacked = np.asarray(terms)
    greatest = stacked.max(axis=0)
    return np.asarray(greatest + np.log(np.exp(stacked - greatest).sum(axis=0)))
