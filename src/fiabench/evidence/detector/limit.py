"""How much tests that are made for one kind of noise see of a step: a detector for all kinds is held against them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.stats import t as students

from fiabench.evidence.detector.kinds import SESSION

FALSE_ALARMS = 0.01


def limits(source: np.random.Generator, ratio: float, count: int, ages: tuple[int, ...], series: int) -> list[float]:
    """Power for each of ``ages``, of a step up by ``ratio`` standard deviations in ``count`` values.

    The test is that of the greatest likelihood ratio: it knows the noise, but neither the level nor the place nor the
    size of the step. At most FALSE_ALARMS of series without a step are flagged.
    """
    cuts = np.arange(1, count)
    information = cuts * (count - cuts) / count

    def statistics(noise: np.ndarray) -> np.ndarray:
        sums = np.cumsum(noise - noise.mean(axis=1, keepdims=True), axis=1)[:, :-1]
        return np.asarray(-sums / np.sqrt(information))

    return _powers(source, statistics, ratio, count, ages, count, series)


def beside_a_drift(
    source: np.random.Generator, ratio: float, count: int, ages: tuple[int, ...], near: int, series: int
) -> list[float]:
    """As :func:`limits`, of a test that takes no straight line for a step and does not know the size of the noise.

    A step is seen where the test finds it, ``near`` values off at most. All places are alike to it: one that looks for
    new steps first sees more of them, and less of the others.
    """
    nuisance, _ = np.linalg.qr(np.stack([np.ones(count), np.linspace(-1.0, 1.0, count)], axis=1))
    steps = np.tri(count)[:, 1:]  # the columns are steps at 1, 2, ...
    steps = steps - nuisance @ (nuisance.T @ steps)
    steps /= np.linalg.norm(steps, axis=0)
    freedom = count - nuisance.shape[1] - 1

    def statistics(values: np.ndarray) -> np.ndarray:
        residual = values - (values @ nuisance) @ nuisance.T
        projected = residual @ steps
        left = (residual**2).sum(axis=1, keepdims=True) - projected**2
        return np.asarray(projected / np.sqrt(left / freedom))

    return _powers(source, statistics, ratio, count, ages, near, series)


def _powers(
    source: np.random.Generator,
    statistics: Callable[[np.ndarray], np.ndarray],
    ratio: float,
    count: int,
    ages: tuple[int, ...],
    near: int,
    series: int,
) -> list[float]:
    """For each of ``ages`` how often the greatest of ``statistics``, [series, count - 1], one for a step at 1, 2, ...,
    is beyond what FALSE_ALARMS of series without a step have, and ``near`` the step."""
    plain = statistics(source.standard_normal((series, count)))
    threshold = float(np.quantile(plain.max(axis=1), 1 - FALSE_ALARMS))
    seen = []
    for age in ages:
        values = source.standard_normal((series, count))
        values[:, count - age :] += ratio
        found = statistics(values)
        there = np.abs(found.argmax(axis=1) + 1 - (count - age)) <= near
        seen.append(float((there & (found.max(axis=1) > threshold)).mean()))
    return seen


def of_the_newest_session(
    source: np.random.Generator, between: float, within: float, step: float, count: int, series: int
) -> float:
    """Power of the t test of whether the newest session is of the same level as those before, when the step begins
    with it: all that a test without a scale can know, and all false alarms spent on this one place."""
    sessions = count // SESSION
    deviation = math.hypot(between, within / math.sqrt(SESSION))
    means = deviation * source.standard_normal((series, sessions))
    means[:, -1] += step
    before = means[:, :-1]
    spread = before.std(axis=1, ddof=1) * math.sqrt(1 + 1 / before.shape[1])
    threshold = students.ppf(1 - FALSE_ALARMS, before.shape[1] - 1)
    return float(((means[:, -1] - before.mean(axis=1)) / spread > threshold).mean())
