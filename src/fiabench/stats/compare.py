"""Two measurements of the same cases: is B slower than A, and how small a difference would have been seen?

What varies from session to session decides, so sessions are the units: a case's difference is that of the mean
logarithms of its sessions' medians, judged by Student's t with the variance of both sides, steadied by the other cases'
(``stats/pooling.py``), of which those whose sessions rise and fall together count as fewer. Over many cases the false
discovery rate is bounded after Benjamini and Hochberg (Journal of the Royal Statistical Society B 57, 1995).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fiabench.stats.intervals import median_interval
from fiabench.stats.pooling import fit_prior, resemblance_of
from fiabench.stats.serial import dependence
from fiabench.stats.sessions import BETWEEN, WITHIN, log_medians

NOMINAL = 0.01
"""How often a case without a change may look changed when it is the only one."""
FALSE_DISCOVERIES = 0.05
"""The part of the reported changes that may be none, over many cases."""
POWER = 0.95
RELEVANT = 0.02
"""Where a difference of this size could have been missed, nothing is said to be no difference."""
LEAST_CHANCE = 0.0001
"""Below this no chance is told: what is assumed of the noise does not hold that far out."""

SLOWER, FASTER, NO_DIFFERENCE, UNDECIDED = "slower", "faster", "no difference", "undecided"

Side = Sequence[np.ndarray]
"""One case's sessions, each an array of samples in the order taken."""
Pair = tuple[Side, Side]
"""A's and B's."""


@dataclass(frozen=True)
class Difference:
    """How B's durations differ from A's, one case."""

    ratio: float
    """B / A."""
    low: float
    high: float
    """The interval of the ratio, at 1 - NOMINAL."""
    scope: str
    """Whether the interval holds how sessions differ (``between sessions``) or not (``within session only``)."""
    sessions: tuple[int, int]
    chance: float | None
    """How often noise alone makes such a difference or a greater one; None where it cannot be told."""
    visible: float | None
    """The smallest difference, relative, that is seen in 95 of 100 such comparisons; None where it cannot be told."""
    verdict: str
    """``slower``, ``faster``, ``no difference`` or ``undecided``."""
    why: str


@dataclass(frozen=True)
class _Test:
    difference: float
    """Of the logarithms."""
    error: float
    freedom: float
    sessions: tuple[int, int]
    chance: float


def compare(pairs: Sequence[Pair], relevant: float = RELEVANT) -> list[Difference]:
    """For each pair of A's and B's sessions of a case, the difference and the verdict, judged as one family.

    ``relevant`` is the relative difference that matters: "no difference" is said only where it would have been seen.
    """
    return compare_groups([pairs], relevant)[0]


def compare_groups(groups: Sequence[Sequence[Pair]], relevant: float = RELEVANT) -> list[list[Difference]]:
    """As :func:`compare`, for groups of pairs that spread alike within but not among them, such as several metrics.

    Variances are steadied within a group, while the false discovery rate is bounded over all groups together: of
    everything that is reported as changed at most that part is not.
    """
    tests = [_tests(pairs) for pairs in groups]
    bound = chance_bound([test.chance for group in tests for test in group if test], NOMINAL, FALSE_DISCOVERIES)
    return [
        [_judged(test, bound, relevant) if test else _within_only(pair) for test, pair in zip(group, pairs)]
        for group, pairs in zip(tests, groups)
    ]


def chance_bound(chances: Sequence[float], nominal: float, false_discoveries: float) -> float:
    """Up to which chance a case counts as changed: ``nominal`` at most, and so that of all that do no more than
    ``false_discoveries`` are none. Where none does, the bound that a single one would have to meet."""
    ordered = np.sort(np.asarray(chances, dtype=float))
    if not ordered.size:
        return nominal
    bounds = np.minimum(false_discoveries * np.arange(1, ordered.size + 1) / ordered.size, nominal)
    met = np.flatnonzero(ordered <= bounds)
    return float(bounds[met[-1] if met.size else 0])


def _tests(pairs: Sequence[Pair]) -> list[_Test | None]:
    """Each pair's test; None where nothing is known of how its sessions differ."""
    logs = [(log_medians(a), log_medians(b)) for a, b in pairs]
    freedoms = [a.size + b.size - 2 for a, b in logs]
    residuals = [np.concatenate([a - a.mean(), b - b.mean()]) for a, b in logs]
    variances = [float(r @ r) / freedom if freedom else 0.0 for r, freedom in zip(residuals, freedoms)]
    prior = fit_prior(variances, freedoms, resemblance_of(residuals))
    tests: list[_Test | None] = []
    for (a, b), variance, freedom in zip(logs, variances, freedoms):
        if prior is None and not freedom:
            tests.append(None)
            continue
        known, behind = prior.moderate(variance, freedom) if prior else (variance, float(freedom))
        tests.append(_test(a, b, known, behind))
    return tests


def _test(a: np.ndarray, b: np.ndarray, variance: float, freedom: float) -> _Test:
    from scipy.special import stdtr

    difference = float(b.mean() - a.mean())
    error = math.sqrt(variance * (1 / a.size + 1 / b.size))
    if error:
        chance = 2 * float(stdtr(freedom, -abs(difference) / error))
    else:
        chance = float(difference == 0)
    return _Test(difference, error, freedom, (a.size, b.size), chance)


def _judged(test: _Test, bound: float, relevant: float) -> Difference:
    from scipy.special import stdtrit

    reach = float(stdtrit(test.freedom, 1 - NOMINAL / 2)) * test.error
    needed = float(stdtrit(test.freedom, 1 - bound / 2)) + float(stdtrit(test.freedom, POWER))
    visible = _expm1(needed * test.error)
    low, high = math.exp(test.difference - reach), _exp(test.difference + reach)
    if test.chance <= bound:
        verdict = SLOWER if test.difference > 0 else FASTER
        rare = test.chance < LEAST_CHANCE
        why = f"noise alone does so in {f'less than {LEAST_CHANCE}' if rare else f'{test.chance:.1g}'} of comparisons"
        if max(high - 1, 1 - low) < relevant:
            why += f", but by less than the {100 * relevant:.1f} % that is asked for"
    elif test.chance <= NOMINAL:
        verdict, why = UNDECIDED, "one of as many cases looks so by chance: measure this one again"
    elif visible > relevant:
        a, b = test.sessions
        verdict = UNDECIDED
        shown = f"{100 * visible:.1f} %" if visible < 1 else f"a factor of {1 + visible:.2g}"
        why = f"{a} and {b} sessions show differences of {shown} and more, {100 * relevant:.1f} % is asked for"
    else:
        verdict, why = NO_DIFFERENCE, f"{100 * visible:.1f} % and more would have been seen"
    ratio = math.exp(test.difference)
    return Difference(ratio, low, high, BETWEEN, test.sessions, test.chance, visible, verdict, why)


def _within_only(pair: Pair) -> Difference:
    """One session a side, and too few other cases to tell how sessions differ: their own intervals, no verdict."""
    logs = [log_medians(side) for side in pair]
    difference = float(logs[1][0] - logs[0][0])
    reaches = []
    for (samples, *_), log in zip(pair, logs):
        series = np.asarray(samples, dtype=float)
        interval = median_interval(series, 1 - NOMINAL, dependence(series, 1 - NOMINAL).widening)
        low = float(log[0]) - math.log(interval.low) if interval.low > 0 else math.inf
        reaches.append((low, math.log(interval.high) - float(log[0])))
    down = math.hypot(reaches[0][1], reaches[1][0])
    up = math.hypot(reaches[0][0], reaches[1][1])
    why = "one session a side: how sessions differ is not known"
    low, high = math.exp(difference - down), _exp(difference + up)
    return Difference(math.exp(difference), low, high, WITHIN, (1, 1), None, None, UNDECIDED, why)


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf


def _expm1(value: float) -> float:
    return math.expm1(value) if value < 700 else math.inf
