"""Finds the steps in a series: for now by a plain scan for one Gaussian step."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fiabench.stats.changes.found import THRESHOLD, Change, Detection, History

LEAST_COUNT = 8


def detect(
    values: Sequence[float] | np.ndarray,
    *,
    sessions: Sequence[object] | np.ndarray | None = None,
    intervals: Sequence[Sequence[float]] | np.ndarray | None = None,
    reference: Sequence[float] | np.ndarray | None = None,
) -> Detection:
    """The changes of one series; see :class:`History` for what each argument is."""
    return detect_all([History(values, sessions, intervals, reference)])[0]


def detect_all(histories: Sequence[History]) -> list[Detection]:
    """The changes of every series, of which over all together few are false."""
    return [_detect(history) for history in histories]


def _detect(history: History) -> Detection:
    values = np.asarray(history.values, dtype=float)
    there = np.flatnonzero(np.isfinite(values))
    if there.size < LEAST_COUNT:
        return Detection((), (), (), f"{there.size} values: at least {LEAST_COUNT} are needed", None)
    logs = np.log(values[there])
    count = logs.size
    cuts = np.arange(1, count)
    sums = np.cumsum(logs)
    before, after = sums[:-1] / cuts, (sums[-1] - sums[:-1]) / (count - cuts)
    gaps = after - before
    weights = cuts * (count - cuts) / count
    total = float(((logs - logs.mean()) ** 2).sum())
    left = np.maximum(total - gaps**2 * weights, 0.0)
    floor = 1e-12 * max(total, 1e-300)
    gains = count / 2 * np.log((total + floor) / (left + floor))
    best = int(gains.argmax())
    sd = math.sqrt(float(left[best]) / (count - 2))
    reach = 2 * sd / math.sqrt(float(weights[best]))
    score = float(gains[best]) / 7
    gap = float(gaps[best])
    index = int(there[best + 1])
    change = Change(
        index, math.expm1(gap), score, math.expm1(gap - reach), math.expm1(gap + reach),
        count - cuts[best] < 3, int(there[best]) + 1,
    )  # fmt: skip
    flags = (change,) if score >= THRESHOLD else ()
    return Detection(flags, (change,), flags if change.suspect else (), "", math.expm1(4 * sd))
