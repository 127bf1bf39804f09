"""One variance for each of many cases, steadied by what all the others show.

Three sessions tell little about how far sessions differ, but twenty cases with three sessions each tell a lot. How far
a case may trust the others depends on how alike they are, and that is estimated too: Smyth, Statistical Applications in
Genetics and Molecular Biology 3 (2004), the method of limma.

Cases of one session share its process, its clocks and its neighbours. What moves all of them at once is seen once and
not once a case, so the more alike the sessions of several cases fall, the fewer cases they are worth.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEAST_CASES = 5
"""Fewer cases than this are not pooled: how alike they are could not be told."""


@dataclass(frozen=True)
class Prior:
    """What is known of a case's variance before its own sessions are looked at."""

    variance: float
    freedom: float
    """As many degrees of freedom as the others are worth; infinite where all cases are alike."""
    most: float
    """The degrees of freedom that all cases together are worth: no variance is known better than by these."""

    def moderate(self, variance: float, freedom: float) -> tuple[float, float]:
        """The variance of one case with ``freedom`` of its own (0 for none), and the degrees of freedom behind it."""
        if math.isinf(self.freedom):
            return self.variance, self.most
        total = self.freedom + freedom
        return (self.freedom * self.variance + freedom * variance) / total, min(total, self.most)


def fit_prior(variances: Sequence[float], freedoms: Sequence[float], resemblance: float = 0.0) -> Prior | None:
    """The prior from cases' ``variances`` with their ``freedoms``; None from fewer than :data:`LEAST_CASES`.

    ``resemblance`` is the correlation of cases' sessions, as :func:`resemblance_of` finds it: the mean of n variances
    that are so correlated is known as well as that of n / (1 + (n - 1) resemblance^2) independent ones. Cases without a
    degree of freedom are passed over. The logarithms of the variances vary by what their degrees of freedom bring
    about; what they vary beyond it says how unlike the cases are.
    """
    pairs = [(variance, freedom) for variance, freedom in zip(variances, freedoms, strict=True) if freedom > 0]
    if len(pairs) < LEAST_CASES:
        return None
    from scipy.special import polygamma, psi

    s2, d = np.array(pairs).T
    most = float(d.sum()) / (1 + (len(pairs) - 1) * resemblance**2)
    if not s2.any():
        return Prior(0.0, math.inf, most)
    s2 = np.maximum(s2, 1e-5 * float(np.median(s2[s2 > 0])))
    logs = np.log(s2) - psi(d / 2) + np.log(d / 2)
    beyond = float(logs.var(ddof=1) - polygamma(1, d / 2).mean())
    if beyond <= 0:
        return Prior(float(d @ s2) / float(d.sum()), math.inf, most)
    freedom = 2 * _inverse_trigamma(beyond)
    variance = math.exp(float(logs.mean()) + float(psi(freedom / 2)) - math.log(freedom / 2))
    return Prior(variance, freedom, most)


def resemblance_of(residuals: Sequence[np.ndarray]) -> float:
    """How far cases' sessions rise and fall together, from 0 to 1: the mean correlation of pairs of cases.

    ``residuals`` are each case's sessions less their mean, in the order of the sessions. Cases with fewer sessions than
    most have cannot be laid beside the others and are passed over, as are those that do not vary.
    """
    sizes = Counter(residual.size for residual in residuals if residual.any())
    if not sizes:
        return 0.0
    (size, count), *_ = sizes.most_common(1)
    if count < 2:
        return 0.0
    directions = np.array([r / np.linalg.norm(r) for r in residuals if r.size == size and r.any()])
    together = float((directions.sum(axis=0) ** 2).sum())
    return max(0.0, (together - count) / (count * (count - 1)))


def _inverse_trigamma(value: float) -> float:
    """The argument at which the trigamma function is ``value``: bisection on a logarithmic scale."""
    from scipy.special import polygamma

    low, high = 1e-8, 1e8
    while high / low > 1 + 1e-9:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if polygamma(1, middle) > value else (low, middle)
    return high
