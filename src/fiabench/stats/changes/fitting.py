"""What the covariances of a family make of a series once its steps are taken out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fiabench.stats.changes.noise import Family
from fiabench.stats.changes.scan import cost_of, log_sum, restricted


class Fit(NamedTuple):
    """One entry of each of the family's contrasts."""

    residual: np.ndarray
    """The whitened sum of squares."""
    freedom: np.ndarray
    nats: np.ndarray
    """What each explains."""

    @property
    def weights(self) -> np.ndarray:
        """Of all 1."""
        return np.asarray(np.exp(self.nats - log_sum(self.nats)))

    def independent(self, family: Family) -> float:
        """The weight of independent noise, the first covariance."""
        which = np.array([contrasts.covariance for contrasts in family.contrasts])
        return float(self.weights[which == 0].sum())

    def mean_over(self, lengths: np.ndarray) -> float:
        """The variance of the noise, or with the ``lengths`` of a step's contrasts that of the step's size."""
        return float(self.weights @ (self.residual / self.freedom / np.maximum(lengths, 1e-3) ** 2))


def fitted(family: Family, series: np.ndarray) -> Fit:
    """What each covariance makes of ``series`` [n], without steps."""
    count = series.size
    whitened = family.whiten @ series
    nuisance = [contrasts.nuisance.T @ whitened[contrasts.covariance] for contrasts in family.contrasts]
    squares = (whitened**2).sum(axis=1)
    which = [contrasts.covariance for contrasts in family.contrasts]
    residual = np.maximum(squares[which] - np.array([float(part @ part) for part in nuisance]), 0.0)
    freedom = np.array([count - part.size for part in nuisance])
    costs = np.array([cost_of(family, contrasts) for contrasts in family.contrasts])
    nats = family.log_dets[which] - costs + restricted(residual, freedom, count)
    return Fit(residual, freedom, nats)


def of_scan(family: Family, null: np.ndarray, count: int) -> Fit:
    """The same from what a scan says of a standardised series without steps, :attr:`Scan.null`."""
    which = [contrasts.covariance for contrasts in family.contrasts]
    freedom = np.array([count - contrasts.nuisance.shape[1] for contrasts in family.contrasts])
    costs = np.array([cost_of(family, contrasts) for contrasts in family.contrasts])
    residual = freedom * np.exp((family.log_dets[which] - costs - null) * 2 / freedom)
    return Fit(residual, freedom, null)


def without_steps(series: np.ndarray, cuts: Sequence[int]) -> np.ndarray:
    """``series`` [n] with steps at ``cuts`` of the best sizes taken out."""
    if not cuts:
        return series
    columns = np.stack([np.ones(series.size), *(np.arange(series.size) >= cut for cut in cuts)], axis=1)
    levels, *_ = np.linalg.lstsq(columns, series, rcond=None)
    levels[0] = 0.0
    return np.asarray(series - columns @ levels)
