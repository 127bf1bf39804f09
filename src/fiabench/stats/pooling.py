"""One variance for each of many cases, steadied by what all the others show.

Three sessions tell little about how far sessions differ, but twenty cases with three sessions each tell a lot. How far
a case may trust the others depends on how alike they are, and that is estimated too: Smyth, Statistical Applications in
Genetics and Molecular Biology 3 (2004), the method of limma.
"""

from __future__ import annotations

import math
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
    """The degrees of freedom of all cases together: no variance is known better than by these."""

    def moderate(self, variance: float, freedom: float) -> tuple[float, float]:
        """The variance of one case with ``freedom`` of its own (0 for none), and the degrees of freedom behind it."""
        if math.isinf(self.freedom):
            return self.variance, self.most
        total = self.freedom + freedom
        return (self.freedom * self.variance + freedom * variance) / total, min(total, self.most)


def fit_prior(variances: Sequence[float], freedoms: Sequence[float]) -> Prior | None:
    """The prior from cases' ``variances`` with their ``freedoms``; None from fewer than :data:`LEAST_CASES`.

    Cases without a degree of freedom are passed over. The logarithms of the variances vary by what their degrees of
    freedom bring about; what they vary beyond it says how unlike the cases are.
    """
    pairs = [(variance, freedom) for variance, freedom in zip(variances, freedoms, strict=True) if freedom > 0]
    if len(pairs) < LEAST_CASES:
        return None
    from scipy.special import polygamma, psi

    s2, d = np.array(pairs).T
    most = float(d.sum())
    if not s2.any():
        return Prior(0.0, math.inf, most)
    s2 = np.maximum(s2, 1e-5 * float(np.median(s2[s2 > 0])))
    logs = np.log(s2) - psi(d / 2) + np.log(d / 2)
    beyond = float(logs.var(ddof=1) - polygamma(1, d / 2).mean())
    if beyond <= 0:
        return Prior(float(d @ s2) / most, math.inf, most)
    freedom = 2 * _inverse_trigamma(beyond)
    variance = math.exp(float(logs.mean()) + float(psi(freedom / 2)) - math.log(freedom / 2))
    return Prior(variance, freedom, most)


def _inverse_trigamma(value: float) -> float:
    """The argument at which the trigamma function is ``value``: bisection on a logarithmic scale."""
    from scipy.special import polygamma

    low, high = 1e-8, 1e8
    while high / low > 1 + 1e-9:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if polygamma(1, middle) > value else (low, middle)
    return high
