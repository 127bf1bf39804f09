"""Levels that keep changing: what sessions leave in a series that does not say which values were measured in which.

Where that explains a series better than a few steps do, no step can be told from the next session's level, and the
series is too wild to judge. Levels last a random number of values and are independent of each other (the product
partition model of Barry and Hartigan, Journal of the American Statistical Association 88, 1993); the sum over all
partitions is a forward recursion over the values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from fiabench.stats.changes.explaining import explained
from fiabench.stats.changes.fitting import fitted, without_steps
from fiabench.stats.changes.noise import YOUNG, Family
from fiabench.stats.changes.scan import log_sum, standardised
from fiabench.stats.changes.shapes import restricted_likelihood

LASTING = 10.0
"""How many values a level lasts on average."""
SPREADS = (1.0, 2.5, 6.0)
"""Standard deviations of the levels, relative to the noise within."""
MARGIN, MARGIN_HANGING, MARGIN_OF_AGE = 9.0, 4.0, 5.0
"""Nats by which a step has to explain a series better than levels that keep changing, which explain it, too; more where
neighbours hang together beside the steps, as such levels leave them; and for each factor e that the step is older than
YOUNG values, as what stands out among several levels is most often an old one."""
MARGIN_OF_REST, REST = 0.75, -5.0
"""More for each nat, from REST on, by which levels that keep changing explain what is left without the step better than
noise does: of several levels of which most happen to lie close together the one that does not looks like a step."""
_CLEAR = 20.0
"""Nats beyond the margin from which on the rest does not matter: levels cannot explain it well where they explain the
whole series so badly."""
COST_FURTHER_STEP = 420.0
"""Nats times values, for each step but one: that there is one is what is asked, that there are several in few values
is seldom."""
_ENOUGH = 40
"""In fewer values levels that keep changing look like a step, and the other way round."""
_LONGEST = 80
"""Values of one level: more are that many more times less likely than a further level."""
_WIDTHS = (0.85, 1.0, 1.18)
"""Of the noise within, relative to what neighbours' differences say."""


def levels_explain(series: np.ndarray) -> np.ndarray:
    """How well levels that keep changing explain ``series`` [S, n], standardised: [S], in nats as :mod:`explaining`."""
    number, count = series.shape
    spread, relative = (grid.ravel() for grid in np.meshgrid(SPREADS, _WIDTHS, indexing="ij"))
    width = relative * _within(series)[:, None]
    begin, stay = -math.log(LASTING), math.log1p(-1 / LASTING)
    nothing = np.zeros((number, 1))
    sums = np.concatenate([nothing, np.cumsum(series, axis=1)], axis=1)
    squares = np.concatenate([nothing, np.cumsum(series**2, axis=1)], axis=1)
    lengths = np.arange(_LONGEST, 0, -1)[:, None, None]
    grown = 1 + lengths * spread**2
    usual = lengths * np.log(2 * math.pi * width**2) + np.log(grown)
    before = begin + (lengths - 1) * stay - 0.5 * usual
    precision = 0.5 / width**2
    pulled = spread**2 / grown * precision
    forward = np.zeros((count + 1, *width.shape))
    for end in range(1, count + 1):
        start = max(0, end - _LONGEST)
        shown = slice(_LONGEST - (end - start), _LONGEST)
        total = (sums[:, end] - sums[:, start:end].T)[..., None]
        square = (squares[:, end] - squares[:, start:end].T)[..., None]
        # In place: most of the time of a long series goes into this.
        terms = pulled[shown] * total**2
        terms -= square * precision
        terms += before[shown]
        terms += forward[start:end]
        greatest = terms.max(axis=0)
        terms -= greatest
        parts = np.exp(terms.astype(np.float32)).sum(axis=0, dtype=float)  # a third of the time, and seven digits
        forward[end] = greatest + np.log(parts)
    by_spread = forward[count].reshape(number, len(SPREADS), len(_WIDTHS)).max(axis=2)
    likelihood = log_sum(by_spread.T) - math.log(len(SPREADS))
    return restricted_likelihood(likelihood, np.array([1]), count)


def _within(series: np.ndarray) -> np.ndarray:
    """The noise within levels, from the differences of neighbours, few of which cross from one level to the next."""
    differences = np.abs(np.diff(series, axis=1))
    return np.maximum(1.4826 * np.median(differences, axis=1) / math.sqrt(2), 1e-4)


class Steps(NamedTuple):
    """What is said for the steps of a series."""

    nats: Mapping[int, float]
    """How well so many of them explain it."""
    best: int
    """The index of the best of them."""
    hanging: float
    """How far neighbours hang together once they are taken out: 0 to 1."""


def are_wild(family: Family, series: np.ndarray, steps: list[Steps]) -> np.ndarray:
    """Which of ``series`` [S, n], each explained by ``steps``, are explained nearly as well by levels that keep
    changing: then none of the steps counts. Of few values that cannot be told."""
    count = series.shape[1]
    if not steps or count < _ENOUGH:
        return np.zeros(len(series), dtype=bool)
    further = COST_FURTHER_STEP / count
    have = [max(nats - further * (number - 1) for number, nats in one.nats.items()) for one in steps]
    margin = np.array([_margin(one, count) for one in steps])
    ahead = np.array(have) - levels_explain(series)
    unsure = np.flatnonzero((ahead > margin) & (ahead < margin + _CLEAR))
    if unsure.size:
        rests = standardised(np.array([without_steps(series[place], [steps[place].best]) for place in unsure]))
        margin[unsure] += MARGIN_OF_REST * np.maximum(_ahead_of_noise(family, rests) - REST, 0.0)
    return np.asarray(ahead < margin)


def _ahead_of_noise(family: Family, rests: np.ndarray) -> np.ndarray:
    """By how many nats levels that keep changing explain ``rests`` [S, n], standardised, better than noise does; no
    more than REST where it is less."""
    levels = levels_explain(rests)
    # Gaussian noise explains less than all kinds do, takes a twentieth of the time, and is mostly enough.
    ahead = levels - np.array([float(log_sum(fitted(family, rest).nats)) for rest in rests])
    for place in np.flatnonzero(ahead > REST):
        ahead[place] = levels[place] - float(explained(family, rests[place], [[]])[0])
    return np.asarray(ahead)


def _margin(steps: Steps, count: int) -> float:
    """Nats by which they have to explain a series of ``count`` values better, whatever the rest looks like."""
    age = max(1.0, (count - steps.best) / YOUNG)
    return MARGIN + MARGIN_HANGING * steps.hanging**4 + MARGIN_OF_AGE * math.log(age)
