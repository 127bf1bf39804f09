"""Hartigan's dip: how far a series is from the nearest distribution with one mode."""

from __future__ import annotations

import numpy as np


def dip(samples: np.ndarray) -> float:
    """The least possible distance between the empirical distribution of ``samples`` [n] and a unimodal one.

    The distance is the greatest difference of the two distribution functions: from 1 / (2 n), which every series has,
    to 1/4. Hartigan and Hartigan, Annals of Statistics 13 (1985): a unimodal distribution function is convex up to
    its mode and concave after it, so the greatest convex minorant of the samples and their least concave majorant are
    held against each other, on a modal interval that shrinks until it holds nothing worse than lies outside.
    """
    x, counts = np.unique(np.asarray(samples, dtype=float), return_counts=True)
    above = np.cumsum(counts) / counts.sum()
    below = above - counts / counts.sum()
    first, last, worst = 0, x.size - 1, 1 / float(counts.sum())
    while last > first:
        inside = slice(first, last + 1)
        grid, lower, upper = x[inside], below[inside], above[inside]
        minorant = _hull(grid, lower)
        majorant = _hull(grid, -upper)
        convex = np.interp(grid, grid[minorant], lower[minorant])
        concave = np.interp(grid, grid[majorant], upper[majorant])
        at_minorant = concave[minorant] - lower[minorant]
        at_majorant = upper[majorant] - convex[majorant]
        gap = max(at_minorant.max(), at_majorant.max())
        if gap <= worst:
            break
        if at_minorant.max() >= at_majorant.max():
            left = minorant[at_minorant.argmax()]
            right = majorant[np.searchsorted(majorant, left)]
        else:
            right = majorant[at_majorant.argmax()]
            left = minorant[np.searchsorted(minorant, right, side="right") - 1]
        outside_left = (upper - convex)[:left].max(initial=0)
        outside_right = (concave - lower)[right + 1 :].max(initial=0)
        worst = max(worst, outside_left, outside_right)
        if gap <= worst or (left == 0 and right == last - first):
            break
        first, last = first + left, first + right
    return float(worst / 2)


def _hull(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Indices of the lower convex hull of the points (x, y), x ascending."""
    points = list(zip(x.tolist(), y.tolist()))
    kept: list[int] = []
    for index, (x2, y2) in enumerate(points):
        while len(kept) > 1:
            (x0, y0), (x1, y1) = points[kept[-2]], points[kept[-1]]
            if (y1 - y0) * (x2 - x1) < (y2 - y1) * (x1 - x0):
                break
            kept.pop()
        kept.append(index)
    return np.array(kept)
