"""Outliers: labelled so that a reader sees them, never dropped."""

from __future__ import annotations

import numpy as np

MILD, SEVERE = 3.5, 7.0
"""Distances from the median in robust standard deviations. Of Gaussian noise 0.05 % lies beyond the nearer one."""
LABELS = {-2: "severe low", -1: "low", 0: "", 1: "high", 2: "severe high"}


def label_outliers(samples: np.ndarray) -> np.ndarray:
    """For each of ``samples`` [n] a key of LABELS: 0, or how far out it lies, negative for low ones.

    Robust standard deviation: 1.4826 times the median distance from the median (Iglewicz and Hoaglin, 1993); where half
    of the samples are equal, 1.2533 times the mean distance. Fewer than five samples have no outliers.
    """
    series = np.asarray(samples, dtype=float)
    if series.size < 5:
        return np.zeros(series.size, dtype=int)
    deviations = series - np.median(series)
    distances = np.abs(deviations)
    scale = 1.4826 * float(np.median(distances)) or 1.2533 * float(distances.mean())
    if not scale:
        return np.zeros(series.size, dtype=int)
    degree = (distances > MILD * scale).astype(int) + (distances > SEVERE * scale)
    return np.asarray(np.sign(deviations).astype(int) * degree)
