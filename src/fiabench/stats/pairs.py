"""Is one side of pairs slower than the other? Judged after every pair, for as long as it takes, with the error kept.

A pair's difference is the logarithm of the second side's duration over the first's. Someone who looks after every pair
and stops as soon as a test says 5 % is wrong far more often than that, so the evidence is an e-process: a number that
without a difference exceeds 1 / a with a chance of at most a, however often it is looked at (Ville's inequality). It is
a weighted mean of two, which is one again:

- the t test's likelihood ratio against effects spread normally around none, with the unknown spread integrated out by
  its invariant prior (Rouder and others, Psychonomic Bulletin & Review 16, 2009; as an e-process in Perez-Ortiz and
  others, Annals of Statistics 52, 2024, and Wang and Ramdas, arXiv 2310.03722), the sooner to settle what is plain;
- bets on the signs of the differences (:mod:`fiabench.stats.signs`), which outliers do not silence: a box whose
  neighbour halves the speed for some seconds makes one difference in thirty twenty times as large as the others.

The values that it does not speak against at 1 / a are an interval that holds the truth at every look with 1 - a. Over
several cases e-values are bounded after Benjamini and Hochberg, which for e-values holds whatever the cases have in
common (Wang and Ramdas, JRSS B 84, 2022).

All that is exact for independent Gaussian differences and errs on the safe side with heavier tails. Where neighbouring
differences resemble each other, there are fewer of them than it seems; they are counted as such.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fiabench.stats import signs

NOMINAL = 0.01
"""How often a case without a change may be called changed, over all looks."""
MISSED = 0.05
"""How often a change of the relevant size may be called none, over all looks."""
LEAST = 4
"""Fewer differences are not judged: their spread is hardly known."""
EFFECT = 2.0
"""Over effects of this variance, in those of a difference, the evidence is spread. Anything between 1 and 4 needs about
as many pairs; 2 suits slowdowns of one to three times what the pairs scatter."""
ENOUGH = 8
"""Fewer differences say nothing of whether neighbours resemble each other, and are taken for independent."""
MOST_ALIKE = 0.95
"""Neighbouring differences are not taken to be correlated more than this: a steady difference would look so."""
BY_SIGN = 0.15
"""How much of the evidence is that of the signs. Half of it would find more of what outliers hide, and plain
differences, which the t test finds, a round later."""
POWER_QUANTILE = 1.645
"""Of the normal distribution: what is this many errors beyond the interval's reach is seen 95 times of 100."""


@dataclass(frozen=True)
class Interval:
    """An interval for the mean difference that holds at every look, in logarithms."""

    value: float
    low: float
    high: float
    visible: float
    """The smallest difference that so many pairs settle in 95 of 100 cases; infinite where they settle none."""


_OUTLYING = 3.0
"""Beyond this many usual sizes a difference resembles its neighbours no more than one of that size."""
_USUAL = 0.676
"""The usual size of Gaussian noise, in standard deviations."""
_GRID = 33
_PRECISION = 1e-5
"""Values that are tried at a time for where an interval ends, until it is known to this part of its width."""


@dataclass(frozen=True)
class _Sums:
    """What differences say of their mean."""

    count: float
    """As many independent differences would tell as much."""
    mean: float
    squares: float
    """The sum of squared deviations from the mean."""


def _sums(series: np.ndarray) -> _Sums:
    if not np.ptp(series):
        return _Sums(float(series.size), float(series[0]), 0.0)
    deviations = series - series.mean()
    return _Sums(series.size * _independent(series), float(series.mean()), float(deviations @ deviations))


def _independent(series: np.ndarray) -> float:
    """How many of the differences are independent, from 0 to 1, by how neighbours resemble each other."""
    if series.size < ENOUGH:
        return 1.0
    deviations = series - np.median(series)
    most = _OUTLYING * signs.usual_size(deviations)[-1]
    deviations = np.clip(deviations, -most, most)
    deviations -= deviations.mean()
    # Correlations are estimated too low by 1 / n.
    resemblance = float(deviations[1:] @ deviations[:-1]) / float(deviations @ deviations) + 1 / series.size
    resemblance = min(max(resemblance, 0.0), MOST_ALIKE)
    return (1 - resemblance) / (1 + resemblance)


def log_evidence(differences: Sequence[float] | np.ndarray, against: float = 0.0) -> float:
    """The logarithm of the e-value of ``differences`` [n] against a mean of ``against``; 0 of fewer than LEAST."""
    return float(_evidence(np.asarray(differences, dtype=float), np.array([against]))[0])


def _evidence(series: np.ndarray, against: np.ndarray) -> np.ndarray:
    """As :func:`log_evidence`, against each of several means [m]."""
    if series.size < LEAST:
        return np.zeros(against.size)
    sums = _sums(series)
    by_sign = signs.log_evidence(series, against, sums.count / series.size)
    found: np.ndarray = np.logaddexp(math.log1p(-BY_SIGN) + _by_size(sums, against), math.log(BY_SIGN) + by_sign)
    return found


def _by_size(sums: _Sums, against: np.ndarray) -> np.ndarray:
    """The logarithm of the t test's e-value."""
    distance = sums.count * (sums.mean - against) ** 2
    spread = 1 + sums.count * EFFECT
    if not sums.squares:  # all alike: the limit
        return np.where(distance, 0.5 * (sums.count - 1), -0.5) * math.log(spread)
    ratio = distance / sums.squares
    return 0.5 * (sums.count * (np.log1p(ratio) - np.log1p(ratio / spread)) - math.log(spread))


def centre(differences: Sequence[float] | np.ndarray) -> float:
    """What ``differences`` [n] lie around: the median of the means of any two, which outliers hardly move.

    After Hodges and Lehmann, Annals of Mathematical Statistics 34, 1963.
    """
    series = np.asarray(differences, dtype=float)
    first, second = np.triu_indices(series.size)
    return float(np.median((series[first] + series[second]) / 2))


def interval(differences: Sequence[float] | np.ndarray, error: float) -> Interval:
    """The centre of ``differences`` with what it may be at any look but for ``error`` of series; ValueError where there
    is none. Few differences leave it without bounds."""
    if not len(differences):
        raise ValueError("no differences to judge")
    series = np.asarray(differences, dtype=float)
    value = centre(series)
    sums = _sums(series)
    reach = _reach(sums, (1 - BY_SIGN) * error)
    if series.size < LEAST or not math.isfinite(reach):
        return Interval(value, -math.inf, math.inf, math.inf)
    if not reach:
        return Interval(value, value, value, 0.0)
    # Against all beyond the t test speaks by itself.
    ends = (sums.mean - reach, sums.mean + reach)
    low, high = (min(value, _end(series, value, ends[0], error)), max(value, _end(series, value, ends[1], error)))
    usual = float(signs.usual_size(series - value)[-1]) / _USUAL
    deviation = min(usual, math.sqrt(sums.squares / (series.size - 1))) / math.sqrt(sums.count)
    return Interval(value, low, high, (high - low) / 2 + POWER_QUANTILE * deviation)


def _reach(sums: _Sums, error: float) -> float:
    """How far from the mean the t test speaks against a value; infinite where it never does."""
    spread = 1 + sums.count * EFFECT
    exponent = (2 * math.log(1 / error) + math.log(spread)) / sums.count
    if exponent >= math.log(spread):
        return math.inf
    factor = math.exp(exponent)
    return math.sqrt((factor - 1) / (1 - factor / spread) * sums.squares / sums.count)


def _end(series: np.ndarray, inner: float, outer: float, error: float) -> float:
    """The value farthest from ``inner``, towards ``outer``, that the evidence does not speak against at 1 / error."""
    least = _PRECISION * abs(outer - inner)
    while abs(outer - inner) > least:
        tried = np.linspace(inner, outer, _GRID)
        accepted = np.flatnonzero(_evidence(series, tried) < math.log(1 / error))
        last = int(accepted[-1]) if accepted.size else 0
        if last == _GRID - 1:
            return outer
        inner, outer = float(tried[last]), float(tried[last + 1])
    return inner


class Evidence:
    """The differences of one case as they come, and the strongest evidence so far against each value of interest."""

    def __init__(self, against: float = 0.0) -> None:
        self.differences: list[float] = []
        self._against = against
        self._strongest = 0.0

    def add(self, difference: float) -> None:
        self.differences.append(difference)
        self._strongest = max(self._strongest, log_evidence(self.differences, self._against))

    @property
    def chance(self) -> float:
        """How often at most such evidence comes up, at any look, where the difference is the one spoken against."""
        return math.exp(-self._strongest)

    @property
    def above(self) -> bool:
        """Whether the differences lie above the value that the evidence is against."""
        return centre(self.differences) > self._against

    def within(self, reach: float, error: float = MISSED) -> bool:
        """Whether the difference is settled to be less than ``reach`` to either side of none."""
        if not self.differences or abs(centre(self.differences)) >= reach:
            return False
        found = _evidence(np.array(self.differences), np.array([-reach, reach]))
        return bool(found.min() >= math.log(1 / error))

    def beyond(self, reach: float, error: float = MISSED) -> bool:
        """Whether the difference is settled to be more than ``reach`` to one side of none."""
        if not self.differences:
            return False
        found = centre(self.differences)
        return abs(found) > reach and log_evidence(self.differences, math.copysign(reach, found)) >= math.log(1 / error)
