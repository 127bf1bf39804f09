"""Several modes: a series that keeps to two or more levels is recognised, and its levels are named.

The median of two equal modes lies between them, where no sample is: it is decided by which mode happens to lead, and an
interval that lies within one of them covers nothing. So modes are looked for before a number counts as settled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from fiabench.stats.dip import dip

LEAST_COUNT = 10
"""A series, or a part of one, with fewer samples than this is not taken apart."""
LEAST_WEIGHT = 0.1
"""What fewer samples share is outliers rather than a mode."""
APART, MAYBE_APART = 4.5, 3.0
"""A gap this many times as wide as the samples beside it are spread parts two modes, or may do. Of series of ten
Gaussian or heavy-tailed (t3) samples 0.5 to 1 % show the greater, 3 % the smaller; of longer ones fewer do."""


@dataclass(frozen=True)
class Mode:
    """One level of a series, in the series' own units."""

    location: float
    """The median of its samples."""
    weight: float
    """Its part of all samples."""
    low: float
    high: float
    """Its least and its greatest sample."""


def critical_dip(count: int) -> float:
    """The dip that 5 % of uniform series of ``count`` samples exceed.

    A fit, good within 2 %, to simulated series of 10 to 400 samples (``tests/stats/test_modes.py`` repeats it). The
    uniform is the unimodal distribution that looks least so: of Gaussian series 2 % exceed it at 10 samples, 0.5 % at
    24 and next to none at 100; of heavy-tailed ones fewer.
    """
    return 0.545 / math.sqrt(count) - 0.34 / count


def find_modes(samples: np.ndarray, least: float = 0.0) -> tuple[Mode, ...]:
    """The modes of ``samples`` [n] in ascending order: one where no more can be told apart.

    Modes whose locations differ by less than ``least``, relative to the median, count as one. Where a clock has rounded
    the samples (many are equal), they are spread over its step first, lest every tick be a mode; not where the step
    itself exceeds ``least``: such a clock cannot tell.
    """
    ordered = np.sort(np.asarray(samples, dtype=float))
    distance = least * abs(float(np.median(ordered)))
    parts = _split(_unrounded(ordered, distance), distance, max(2, math.ceil(LEAST_WEIGHT * ordered.size)))
    ends = np.cumsum([0, *map(len, parts)])
    return tuple(_mode(ordered[start:end], ordered.size) for start, end in pairwise(ends.tolist()))


def may_have_modes(samples: np.ndarray, least: float = 0.0) -> bool:
    """Whether ``samples`` [n] look somewhat like two modes, as up to one in ten Gaussian series do: take more."""
    ordered = np.sort(np.asarray(samples, dtype=float))
    ordered = _unrounded(ordered, least * abs(float(np.median(ordered))))
    if ordered.size < LEAST_COUNT:
        return False
    return dip(ordered) > 0.39 / math.sqrt(ordered.size) or _widest_gap(ordered) > MAYBE_APART


def _mode(part: np.ndarray, count: int) -> Mode:
    return Mode(float(np.median(part)), part.size / count, float(part[0]), float(part[-1]))


def _split(ordered: np.ndarray, distance: float, least: int) -> list[np.ndarray]:
    count = ordered.size
    if count < max(LEAST_COUNT, 2 * least):
        return [ordered]
    if dip(ordered) <= critical_dip(count) and _widest_gap(ordered) <= APART:
        return [ordered]
    cut = _cut(ordered, least)
    low, high = ordered[:cut], ordered[cut:]
    if np.median(high) - np.median(low) < distance:
        return [ordered]
    return _split(low, distance, least) + _split(high, distance, least)


def _widest_gap(ordered: np.ndarray) -> float:
    """The widest gap between two parts, relative to the wider part's mean distance from its own median."""
    count = ordered.size
    cuts, low, high = _spreads(ordered, max(2, math.ceil(LEAST_WEIGHT * count)))
    spread = np.maximum(low / (cuts - 1), high / (count - cuts - 1))
    gaps = ordered[cuts] - ordered[cuts - 1]
    return max((gap / part if part else math.inf) for gap, part in zip(gaps, spread) if gap) if gaps.any() else 0.0


def _cut(ordered: np.ndarray, least: int) -> int:
    """Where two parts of ``least`` samples and more lie closest around their own medians."""
    cuts, low, high = _spreads(ordered, least)
    return int(cuts[np.argmin(low + high)])


def _spreads(ordered: np.ndarray, least: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each cut with ``least`` samples and more on both sides, the cut and both parts' sums of distances from their
    medians."""
    count = ordered.size
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    cuts = np.arange(least, count - least + 1)

    def spread(start: np.ndarray, end: np.ndarray) -> np.ndarray:
        below, above = (start + end) // 2, (start + end + 1) // 2
        return np.asarray((sums[end] - sums[above]) - (sums[below] - sums[start]))

    return cuts, spread(np.zeros_like(cuts), cuts), spread(cuts, np.full_like(cuts, count))


def _unrounded(ordered: np.ndarray, distance: float) -> np.ndarray:
    """Equal values spread evenly over the clock's step, where half and more of ``ordered`` are equal to another and the
    step is less than ``distance``."""
    values, counts = np.unique(ordered, return_counts=True)
    if 2 * values.size > ordered.size or values.size == 1:
        return ordered
    step = float(np.diff(values).min())
    if step >= distance:
        return ordered
    places = [(np.arange(count) + 0.5) / count - 0.5 for count in counts]
    return np.repeat(values, counts) + step * np.concatenate(places)
