"""How well a series is explained with steps at given places: the sum over every kind of noise, each less its cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fiabench.stats.changes.noise import COST_TREND, Family
from fiabench.stats.changes.scan import log_sum, restricted
from fiabench.stats.changes.shapes import COST_HEAVY_TAILED, COST_MODES, heavy_tailed, two_modes

_LIKELY = 3
"""So many covariances, with or without a trend, are tried with heavy tails beside plain independent noise: those that
explain the series best."""
_RIDGE = 1e-9


def explained(family: Family, series: np.ndarray, sets: Sequence[Sequence[int]]) -> np.ndarray:
    """For each of ``sets`` of steps, by index, how well ``series`` [n], standardised, is explained: [sets], nats."""
    whitened = family.whiten @ series
    columns = _columns(family, sets)
    costs = np.array([sum(family.place_costs[cut - 1] for cut in cuts) for cuts in sets])
    gaussian = np.array([_gaussian(family, whitened, columns, trend) for trend in (False, True)])
    chosen, trends = _likely(gaussian)
    bare = columns[chosen].copy()
    bare[..., 1] *= trends[:, None, None]
    offset = (family.log_dets - family.costs)[chosen] - COST_TREND * trends - COST_HEAVY_TAILED
    tails = heavy_tailed(whitened[chosen], bare) + offset[None, :, None]
    terms = [gaussian.reshape(-1, len(sets)), tails.reshape(-1, len(sets))]
    terms.append(two_modes(series, _with_trend(columns[0], False))[None] - COST_MODES)
    return np.asarray(log_sum(np.concatenate(terms)) - costs)


def _columns(family: Family, sets: Sequence[Sequence[int]]) -> np.ndarray:
    """The whitened level, trend and steps of each set: [covariances, sets, n, 2 + the most steps], zeros where a set
    has fewer."""
    most = max((len(cuts) for cuts in sets), default=0)
    covariances, count = family.trends.shape
    columns = np.zeros((covariances, len(sets), count, 2 + most))
    columns[..., 0] = family.steps[:, None, :, 0]
    columns[..., 1] = family.trends[:, None]
    for row, cuts in enumerate(sets):
        columns[:, row, :, 2 : 2 + len(cuts)] = family.steps[:, :, list(cuts)]
    return columns


def _with_trend(columns: np.ndarray, trend: bool) -> np.ndarray:
    if trend:
        return columns
    return np.delete(columns, 1, axis=-1)


def _gaussian(family: Family, whitened: np.ndarray, columns: np.ndarray, trend: bool) -> np.ndarray:
    """[covariances, sets]."""
    chosen = _with_trend(columns, trend)
    turned = np.swapaxes(chosen, -1, -2)
    normal = turned @ chosen + _RIDGE * np.eye(chosen.shape[-1])
    target = turned @ whitened[:, None, :, None]
    levels = np.linalg.solve(normal, target)
    residual = ((whitened[:, None] - (chosen @ levels)[..., 0]) ** 2).sum(axis=-1)
    count = whitened.shape[-1]
    freedom = count - (np.abs(chosen).max(axis=-2) > 0).sum(axis=-1)
    offset = family.log_dets - family.costs - COST_TREND * trend
    return np.asarray(restricted(residual, freedom, count) + offset[:, None])


def _likely(gaussian: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which covariances, and whether with a trend, explain any of the sets best, from [trends, covariances, sets]."""
    relative = (gaussian - gaussian.max(axis=(0, 1))).max(axis=2)
    best = np.union1d(np.argsort(-relative, axis=None)[:_LIKELY], [0])
    trends, chosen = np.unravel_index(best, relative.shape)
    return np.asarray(chosen), np.asarray(trends)
