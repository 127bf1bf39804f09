"""How large a step is, where it may have begun, and how small a one would have been seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fiabench.stats.changes.fitting import Fit, fitted, without_steps
from fiabench.stats.changes.given import Given
from fiabench.stats.changes.noise import Family
from fiabench.stats.changes.scan import log_sum, scan, standardised

LIKELY = 2.0
"""Nats that a place may be worse than the best one and still be where the step began: about 95 %."""
_REACH = 1.96
_OWN_ERRORS = 3.0
"""Standard errors by the values' own intervals that a step has to exceed: else sampling alone may have made it."""
_LASTING = 10
"""A change is called visible if it is seen after so many values, or a third of the series where that is less."""
POWER = 1.645
"""Standard deviations that a visible change lies above what is needed: it is seen in 95 of 100 series."""
_GREATEST = 700.0
"""Its exponential is a number still."""
_SIZES = np.geomspace(0.3, 300, 100)
"""Sizes tried, in standard deviations of the noise."""


class Size(NamedTuple):
    """Of one step, in logarithms."""

    size: float
    low: float
    high: float
    first: int
    """The earliest index that it may have come with, among the values that were measured."""

    def certain(self, errors: np.ndarray, index: int, others: Sequence[int]) -> bool:
        """Whether the values' own intervals leave room for there being no step."""
        begin, end = _around(errors.size, index, others)
        before, after = errors[begin:index], errors[index:end]
        error = math.sqrt(float((before**2).mean()) / before.size + float((after**2).mean()) / after.size)
        return abs(self.size) > _OWN_ERRORS * error


def grown(size: float) -> float:
    """A size in logarithms as a part of what was: +0.05 is 5 % more. Beyond any number it stays the greatest."""
    return math.expm1(min(size, _GREATEST))


def sure_from(errors: np.ndarray) -> float:
    """The smallest lasting step, in logarithms, for which values with such standard deviations of their own leave no
    other explanation."""
    after = lasting(errors.size)
    error = math.sqrt(float((errors**2).mean()) * (1 / after + 1 / (errors.size - after)))
    return _OWN_ERRORS * error


def lasting(count: int) -> int:
    """After how many of so many values a change is called visible."""
    return min(_LASTING, count // 3)


def described(family: Family, one: Given, index: int, others: Sequence[int], gains: np.ndarray) -> Size:
    """The step at ``index`` beside ``others``; ``gains`` [n - 1] are those of a scan without any."""
    begin, end = _around(one.logs.size, index, others)
    size = float(np.median(one.logs[index:end])) - float(np.median(one.logs[begin:index]))
    lengths = np.array([contrasts.lengths[index - 1] for contrasts in family.contrasts])
    rest = without_steps(one.logs, [*others, index])
    reach = _REACH * math.sqrt(fitted(family, rest - rest.mean()).mean_over(lengths))
    if others:
        alone = standardised(without_steps(one.logs, others))
        gains = scan(family, alone[:, None]).gains[:, 0]
    anywhere = gains + family.place_costs
    first = index
    while first - 1 > begin and anywhere[first - 2] >= anywhere[index - 1] - LIKELY:
        first -= 1
    return Size(size, size - reach, size + reach, first)


def _around(count: int, index: int, others: Sequence[int]) -> tuple[int, int]:
    """The values between the other steps around ``index``."""
    begin = max((cut for cut in others if cut < index), default=0)
    end = min((cut for cut in others if cut > index), default=count)
    return begin, end


def visible_change(family: Family, fit: Fit, needed: float) -> float:
    """The smallest lasting increase, in logarithms, that would most likely have been flagged for its ``needed`` nats
    in a series of which, without its steps, the covariances make ``fit``."""
    if not fit.residual.min():
        return 0.0  # without its steps the series is always the same
    count = family.place_costs.size + 1
    place = count - lasting(count)
    lengths = np.array([contrasts.lengths[place - 1] for contrasts in family.contrasts])
    sizes = _SIZES * math.sqrt(fit.mean_over(np.ones(lengths.size)))
    grown = fit.residual + (sizes[:, None] * lengths) ** 2
    null = fit.nats - fit.freedom / 2 * np.log(grown / fit.residual)
    gains = log_sum(fit.nats) - log_sum(null.T) - family.place_costs[place - 1]
    seen = int(np.argmax(gains >= needed)) if gains[-1] >= needed else sizes.size - 1
    return float(sizes[seen]) + POWER * math.sqrt(fit.mean_over(lengths))
