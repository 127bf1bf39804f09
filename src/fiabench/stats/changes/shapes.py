"""Noise that is not Gaussian: heavy tails, a long upper tail, and two modes, each fitted with and without steps.

Their likelihoods are scaled as the restricted Gaussian one of :mod:`scan`, so that they can be added up with it.
"""

from __future__ import annotations

import math

import numpy as np

HEAVY_TAILED = ((3.0, 1.0), (4.0, 3.0))
"""Student's t: degrees of freedom, and by how much it reaches further up than down."""
COST_HEAVY_TAILED, COST_MODES = 0.7, 3.0
"""In nats, against Gaussian noise."""
_FITS, _MODE_FITS = 7, 12
_FEWEST_IN_MODE = 2
_RIDGE = 1e-9
"""Keeps columns of zeros, which stand for no step, from making the equations singular."""
_LEAST_VARIANCE = 1e-10
_GAUSSIAN = 0.5 * math.log(2 * math.pi) + 0.5
"""What a Gaussian's log-likelihood lacks, per value, of minus the logarithm of its standard deviation."""


def heavy_tailed(values: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """How well ``columns`` explain ``values`` where the rest is Student's t: [tails, models, sets].

    ``values`` [models, n] are whitened, ``columns`` [models, sets, n, p] as well. Weights are found by iteration
    (Lange, Little and Taylor, Journal of the American Statistical Association 84, 1989).
    """
    freedom = np.array([tail for tail, _ in HEAVY_TAILED])[:, None, None, None]
    skew = np.array([upper for _, upper in HEAVY_TAILED])[:, None, None, None]
    count = values.shape[-1]
    weights = np.ones((len(HEAVY_TAILED), *columns.shape[:-1]))
    ridge = _RIDGE * np.eye(columns.shape[-1])
    variance = scaled = np.zeros(1)
    for fit in range(_FITS):
        weighted = columns[None] * weights[..., None]
        normal = np.swapaxes(weighted, -1, -2) @ columns[None] + ridge
        target = (weighted * values[None, :, None, :, None]).sum(axis=-2)
        levels = np.linalg.solve(normal, target[..., None])
        residual = values[None, :, None, :] - (columns[None] @ levels)[..., 0]
        widths = np.where(residual > 0, skew, 1.0)
        scaled = (residual / widths) ** 2
        if fit == 0:
            variance = (1.4826 * np.median(np.sqrt(scaled), axis=-1, keepdims=True)) ** 2 + _LEAST_VARIANCE
        else:
            variance = (weights * residual**2).mean(axis=-1, keepdims=True) + _LEAST_VARIANCE
        weights = (freedom + 1) / (freedom + scaled / variance) / widths**2
    shape = _student_constant(freedom) + np.log(2 / (1 + skew))
    terms = (freedom + 1) / 2 * np.log1p(scaled / variance / freedom)
    likelihood = count * shape[..., 0] - terms.sum(axis=-1) - count / 2 * np.log(variance[..., 0])
    fitted = (np.abs(columns).max(axis=-2) > 0).sum(axis=-1)[None]
    return restricted_likelihood(likelihood, fitted, count)


def two_modes(values: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """How well ``columns`` [sets, n, p] explain ``values`` [n] where the rest has two Gaussian modes alike: [sets].

    By expectation and maximisation, from the split of the residuals into two groups that lie closest around their
    means.
    """
    count = values.size
    normal = np.swapaxes(columns, -1, -2) @ columns + _RIDGE * np.eye(columns.shape[-1])
    solving = np.linalg.solve(normal, np.swapaxes(columns, -1, -2))
    flat = values - (columns @ (solving @ values)[..., None])[..., 0]
    gap, part, variance = _two_groups(flat)
    upper = _membership(flat + (gap * part)[:, None], gap, part, variance)[0]
    likelihood = np.zeros(len(columns))
    least = _FEWEST_IN_MODE / (2 * count)
    for _ in range(_MODE_FITS):
        part = np.clip(upper.mean(axis=-1), least, 1 - least)
        single = values - gap[:, None] * upper
        lower = values - (columns @ (solving @ single[..., None]))[..., 0]
        gap = (upper * lower).sum(axis=-1) / np.maximum(upper.sum(axis=-1), 1e-12)
        variance = ((1 - upper) * lower**2 + upper * (lower - gap[:, None]) ** 2).mean(axis=-1) + _LEAST_VARIANCE
        upper, likelihood = _membership(lower, gap, part, variance)
    fitted = (np.abs(columns).max(axis=-2) > 0).sum(axis=-1)
    return restricted_likelihood(likelihood, fitted, count)


def _membership(
    lower: np.ndarray, gap: np.ndarray, part: np.ndarray, variance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """With which probability each value is of the upper mode, and the log-likelihood of all; ``lower`` are distances
    from the lower mode."""
    count, width = lower.shape[-1], 2 * variance[:, None]
    below = np.log1p(-part)[:, None] - lower**2 / width
    above = np.log(part)[:, None] - (lower - gap[:, None]) ** 2 / width
    either = np.logaddexp(below, above)
    likelihood = either.sum(axis=-1) - count / 2 * np.log(2 * math.pi * variance)
    return np.exp(above - either), likelihood


def _two_groups(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of ``values`` [sets, n]: the distance of the two closest groups, the upper one's part, the variance within."""
    count = values.shape[-1]
    ordered = np.sort(values, axis=-1)
    sizes = np.arange(1, count)
    sums, squares = np.cumsum(ordered, axis=-1), np.cumsum(ordered**2, axis=-1)
    below = squares[:, :-1] - sums[:, :-1] ** 2 / sizes
    above = squares[:, -1:] - squares[:, :-1] - (sums[:, -1:] - sums[:, :-1]) ** 2 / (count - sizes)
    within = below + above
    within[:, : _FEWEST_IN_MODE - 1] = np.inf
    within[:, count - _FEWEST_IN_MODE :] = np.inf
    best = within.argmin(axis=-1)
    rows = np.arange(len(values))
    size = sizes[best]
    gap = (sums[:, -1] - sums[rows, best]) / (count - size) - sums[rows, best] / size
    return gap, (count - size) / count, within[rows, best] / count + _LEAST_VARIANCE


def _student_constant(freedom: np.ndarray) -> np.ndarray:
    gammas = [math.lgamma((nu + 1) / 2) - math.lgamma(nu / 2) for nu in freedom.ravel()]
    return np.asarray(np.reshape(gammas, freedom.shape) - 0.5 * np.log(freedom * math.pi))


def restricted_likelihood(likelihood: np.ndarray, fitted: np.ndarray, count: int) -> np.ndarray:
    """A log-likelihood as the restricted one of :func:`scan.restricted`, which counts only what is left over from the
    ``fitted`` levels."""
    freedom = count - fitted
    return np.asarray(freedom / count * (likelihood + count * _GAUSSIAN) - freedom / 2 * np.log(count / freedom))
