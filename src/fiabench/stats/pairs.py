"""Is one side of pairs slower than the other? Judged after every pair, for as long as it takes, with the error kept.

A pair's difference is the logarithm of the second side's duration over the first's. Someone who looks after every pair
and stops as soon as a test says 5 % is wrong far more often than that, so the evidence is an e-process: a number that
without a difference exceeds 1 / a with a chance of at most a, however often it is looked at (Ville's inequality). It is
the t test's likelihood ratio against effects spread normally around none, with the unknown spread integrated out by
its invariant prior (Rouder and others, Psychonomic Bulletin & Review 16, 2009; as an e-process in Perez-Ortiz and
others, Annals of Statistics 52, 2024, and Wang and Ramdas, arXiv 2310.03722). The values that it does not speak against
at 1 / a are an interval that holds the truth at every look with 1 - a. Over several cases e-values are bounded after
Benjamini and Hochberg, which for e-values holds whatever the cases have in common (Wang and Ramdas, JRSS B 84, 2022).

All that is exact for independent Gaussian differences and errs on the safe side with heavier tails. Where neighbouring
differences resemble each other, there are fewer of them than it seems; they are counted as such.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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


@dataclass(frozen=True)
class _Sums:
    """What differences say of their mean."""

    count: float
    """As many independent differences would tell as much."""
    mean: float
    squares: float
    """The sum of squared deviations from the mean."""


def _sums(differences: Sequence[float] | np.ndarray) -> _Sums:
    series = np.asarray(differences, dtype=float)
    if not np.ptp(series):
        return _Sums(float(series.size), float(series[0]), 0.0)
    deviations = series - series.mean()
    squares = float(deviations @ deviations)
    resemblance = 0.0
    if series.size >= ENOUGH:  # correlations are estimated too low by 1 / n
        resemblance = float(deviations[1:] @ deviations[:-1]) / squares + 1 / series.size
        resemblance = min(max(resemblance, 0.0), MOST_ALIKE)
    return _Sums(series.size * (1 - resemblance) / (1 + resemblance), float(series.mean()), squares)


def log_evidence(differences: Sequence[float] | np.ndarray, against: float = 0.0) -> float:
    """The logarithm of the e-value of ``differences`` [n] against a mean of ``against``; 0 of fewer than LEAST."""
    if len(differences) < LEAST:
        return 0.0
    sums = _sums(differences)
    distance = sums.count * (sums.mean - against) ** 2
    if not distance:
        return -0.5 * math.log1p(sums.count * EFFECT)
    spread = 1 + sums.count * EFFECT
    if not sums.squares:  # all alike: the limit
        return 0.5 * (sums.count - 1) * math.log(spread)
    ratio = distance / sums.squares
    return 0.5 * (sums.count * (math.log1p(ratio) - math.log1p(ratio / spread)) - math.log(spread))


def interval(differences: Sequence[float] | np.ndarray, error: float) -> Interval:
    """The mean difference with what it may be at any look but for ``error`` of series; ValueError where there is none.

    Few differences leave it without bounds.
    """
    if not len(differences):
        raise ValueError("no differences to judge")
    mean = float(np.mean(differences))
    if len(differences) < LEAST:
        return Interval(mean, -math.inf, math.inf, math.inf)
    sums = _sums(differences)
    spread = 1 + sums.count * EFFECT
    exponent = (2 * math.log(1 / error) + math.log(spread)) / sums.count
    if exponent >= math.log(spread):
        return Interval(mean, -math.inf, math.inf, math.inf)
    factor = math.exp(exponent)
    reach = math.sqrt((factor - 1) / (1 - factor / spread) * sums.squares / sums.count)
    deviation = math.sqrt(sums.squares / (len(differences) - 1) / sums.count)
    return Interval(mean, mean - reach, mean + reach, reach + POWER_QUANTILE * deviation)


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
        """Whether the mean lies above the value that the evidence is against."""
        return float(np.mean(self.differences)) > self._against

    def within(self, reach: float, error: float = MISSED) -> bool:
        """Whether the difference is settled to be less than ``reach`` to either side of none."""
        if not self.differences:
            return False
        found = interval(self.differences, error)
        return -reach < found.low and found.high < reach

    def beyond(self, reach: float, error: float = MISSED) -> bool:
        """Whether the difference is settled to be more than ``reach`` to one side of none."""
        if not self.differences:
            return False
        found = interval(self.differences, error)
        return found.low > reach or found.high < -reach
