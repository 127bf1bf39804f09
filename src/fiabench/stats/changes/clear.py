"""Steps of short series that are clear beyond any noise: all of them at once, early ones and those that are undone.

A forward search finds one step after the other and judges each by what it adds, for which a dozen values are too few,
and a level that comes back hides from it. Here the best division into levels is taken as a whole, by least squares, and
each level has to earn more than the steps that slow noise makes: so much that hardly a series of any kind of noise has
one, and that only steps of many times the noise have it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from fiabench.stats.changes.described import Size
from fiabench.stats.changes.found import THRESHOLD, Change, Detection
from fiabench.stats.changes.given import Given

LONGEST = 48
"""Longer series have values enough for a step to be judged by itself."""
_MOST = 5
"""Steps that are looked for."""
_EXACT = 1e-9
"""Of the sum of squares: with less than this left, nothing is."""
_COUNTS = (8, 12, 16, 24, 32, 48)
_PRICES = (10.4, 12.4, 14.7, 18.2, 21.0, 26.0)
"""Nats that a step has to gain among so many values: about 1 % of simulated series without a step have one that gains
more where neighbours are correlated at 0.7, far fewer with the other kinds of noise of docs/detector.md. Slow noise has
the more levels the longer it is watched. The levels of sessions alone are told from steps by nothing but their
identity."""
_COMPATIBLE = 2.0
"""Nats: where a step can be moved for less, it may have begun there too (95 %)."""
_QUANTILE = 2.0
"""Standard errors of an interval at 95 %."""
_NEAR = 2
"""Steps so few values apart are one."""
_SPIKE, _VALUES_TO_SPIKE = 4.0, 12
"""A value that is above both its neighbours by as many times what neighbours differ by, in the median, is one run that
something disturbed; so many values have one at most."""
_ALONE = 0.99
"""The highest score of what cannot be told from one run, or from a session, that is off."""
_LASTING = 10
_POWER = 1.645
"""See `visible_change` in described.py."""


@dataclass(frozen=True)
class ClearStep:
    """A step among levels that are all there at once."""

    index: int
    first: int
    """The earliest index that it may have begun at."""
    size: float
    """In logarithms."""
    error: float
    """Of the size: half the width of its interval."""
    score: float
    """What it gains over its price: clear from 1 on."""


def price(count: int) -> float:
    """Nats that a step among ``count`` values has to gain."""
    return float(np.interp(count, _COUNTS, _PRICES))


def clear_steps(logs: np.ndarray) -> list[ClearStep]:
    """The steps of ``logs`` [n], n up to LONGEST, oldest first, and of the newest value a step where it stands out.

    Levels hold for two values or more, of which one run that went wrong does not make one. Only the first may be one
    value, where it is the lowest: what disturbs a run makes it slower, and where one is far above both its neighbours
    it is left out. A newest value alone scores less than 1.
    """
    kept = _without_spikes(logs)
    steps = _clear_steps(logs[kept])
    # What was left out before a step may have come with it.
    return [replace(step, index=int(kept[step.index]), first=int(kept[step.first - 1]) + 1) for step in steps]


def _without_spikes(logs: np.ndarray) -> np.ndarray:
    """The indices of the values without those that are far above both their neighbours; the newest may be a step."""
    apart = np.diff(logs)
    usual = max(float(np.median(np.abs(apart))), _EXACT * float(np.ptp(logs)))
    if not usual:
        return np.arange(logs.size)
    above = np.round(np.minimum(apart[:-1], -apart[1:]) / usual, 6)  # a factor on all of them must not decide
    far = np.flatnonzero(above > _SPIKE)
    most = logs.size // _VALUES_TO_SPIKE
    return np.delete(np.arange(logs.size), 1 + far[np.argsort(-above[far], kind="stable")[:most]])


def _clear_steps(logs: np.ndarray) -> list[ClearStep]:
    costs = _costs(logs)
    total = float(costs[0, -1])
    if not total:
        return []
    floor = _EXACT * total
    cuts = _best_cuts(logs, costs, floor)
    steps = [_step(logs, costs, cuts, place, floor) for place in range(len(cuts))]
    return [*steps, *_newest(logs, costs, cuts, floor)]


def _costs(logs: np.ndarray) -> np.ndarray:
    """[n, n + 1]: at i, j the sum of squares of the values from i up to j around their mean; infinite where i >= j."""
    values = logs - logs.mean()
    sums, squares = (np.concatenate([[0.0], np.cumsum(one)]) for one in (values, values**2))
    begins, ends = np.arange(logs.size)[:, None], np.arange(logs.size + 1)[None, :]
    lengths = ends - begins
    there = lengths > 0
    parts = squares[None, :] - squares[:-1, None] - (sums[None, :] - sums[:-1, None]) ** 2 / np.where(there, lengths, 1)
    exact = np.maximum(parts, 0.0)
    exact[exact < _EXACT**2 * squares[-1]] = 0.0  # what rounding left
    return np.where(there, exact, np.inf)


def _best_cuts(logs: np.ndarray, costs: np.ndarray, floor: float) -> list[int]:
    """Where the levels begin that explain the most for their price."""
    count = logs.size
    allowed = costs.copy()
    begins, ends = np.arange(count)[:, None], np.arange(count + 1)[None, :]
    allowed[ends - begins < 2] = np.inf
    best = allowed[0].copy()
    """Of the values up to each end, in so many levels."""
    if logs[0] < logs[1:].min():
        best[1] = 0.0
    values, came_from = [best[count]], []
    for _ in range(min(_MOST, count // 2)):
        candidates = best[:count, None] + allowed
        came_from.append(candidates.argmin(axis=0))
        best = candidates.min(axis=0)
        values.append(best[count])
    gains = [-0.5 * count * math.log(max(value, floor)) if math.isfinite(value) else -math.inf for value in values]
    most = max(range(len(gains)), key=lambda steps: gains[steps] - steps * price(count))
    cuts, end = [], count
    for step in range(most - 1, -1, -1):
        end = int(came_from[step][end])
        cuts.append(end)
    return cuts[::-1]


def _step(logs: np.ndarray, costs: np.ndarray, cuts: Sequence[int], place: int, floor: float) -> ClearStep:
    """The step at ``cuts[place]`` among the others."""
    ends = [0, *cuts, logs.size]
    begin, cut, end = ends[place : place + 3]
    left = sum(float(costs[i, j]) for i, j in pairwise(ends))
    apart = float(costs[begin, cut] + costs[cut, end])

    def nats(instead: float) -> float:
        return 0.5 * logs.size * math.log(max(left - apart + instead, floor) / max(left, floor))

    first = cut
    while first - 1 > begin and nats(float(costs[begin, first - 1] + costs[first - 1, end])) < _COMPATIBLE:
        first -= 1
    freedom = max(logs.size - len(cuts) - 1, 1)
    spread = math.sqrt(left / freedom * (1 / (cut - begin) + 1 / (end - cut)))
    size = float(logs[cut:end].mean() - logs[begin:cut].mean())
    return ClearStep(cut, first, size, _QUANTILE * spread, nats(float(costs[begin, end])) / price(logs.size))


def _newest(logs: np.ndarray, costs: np.ndarray, cuts: Sequence[int], floor: float) -> list[ClearStep]:
    """The newest value as a level of its own, where the one before it is not of one value then."""
    last = logs.size - 1
    if cuts and cuts[-1] > last - 2:
        return []
    found = _step(logs, costs, [*cuts, last], len(cuts), floor)
    return [replace(found, first=last, score=min(found.score, _ALONE))]


def with_clear_steps(found: Detection, one: Given, fresh: int, worth: float) -> Detection:
    """``found`` of ``one`` with the clear steps, which stand in the place of those that were found beside them.

    Steps with no more than ``fresh`` values after them are suspects, from a score of ``worth`` on.
    """
    if found.abstains or not np.ptp(one.logs):
        return found
    steps = clear_steps(one.logs)
    changes = [_change(one, step, steps, fresh) for step in steps]
    new = [change for change in changes if change.score >= worth]
    flagged = [change.index for change in found.flags]
    # What is less than clear says nothing where something is flagged.
    new = [change for change in new if change.score >= THRESHOLD or not _near(one, change.index, flagged)]
    indices = [change.index for change in new]
    kept = [change for change in found.candidates if not _near(one, change.index, indices)]
    candidates = tuple(sorted([*kept, *new], key=lambda change: change.index))
    clear_from = math.expm1(min(_visible(one.logs, steps), 700.0))
    return Detection(
        tuple(change for change in candidates if change.score >= THRESHOLD),
        candidates,
        tuple(change for change in candidates if change.suspect and change.score >= worth),
        "",
        clear_from if found.visible is None else min(found.visible, clear_from),
    )


def _near(one: Given, index: int, others: Sequence[int]) -> bool:
    place = int(np.searchsorted(one.places, index))
    return any(abs(place - int(np.searchsorted(one.places, other))) <= _NEAR for other in others)


def _change(one: Given, step: ClearStep, steps: Sequence[ClearStep], fresh: int) -> Change:
    size = Size(step.size, step.size - step.error, step.size + step.error, step.first)
    others = [other.index for other in steps if other.index != step.index and other.score >= THRESHOLD]
    kept = step.score >= THRESHOLD and size.certain(one.errors, step.index, others) and not _between(one, step.index)
    return Change(
        index=int(one.places[step.index]),
        magnitude=math.expm1(size.size),
        score=float(step.score if kept else min(step.score, _ALONE)),
        low=math.expm1(size.low),
        high=math.expm1(size.high),
        suspect=bool(one.logs.size - step.index <= fresh),
        first=int(one.places[step.first - 1]) + 1,
    )


def _between(one: Given, index: int) -> bool:
    """Whether another session of several values begins at ``index``, or one ends."""
    if not one.sessions or one.sessions[index - 1] == one.sessions[index]:
        return False
    return max(one.sessions.count(one.sessions[index - 1]), one.sessions.count(one.sessions[index])) > 1


def _visible(logs: np.ndarray, steps: Sequence[ClearStep]) -> float:
    """The smallest lasting increase, in logarithms, that would most likely be clear, given the steps that are."""
    rest = logs.copy()
    for step in steps:
        if step.score >= THRESHOLD:
            rest[step.index :] -= step.size
    rest = rest[_without_spikes(logs)]
    count = logs.size
    after = min(_LASTING, count // 3)
    squares = float(((rest - rest.mean()) ** 2).sum())
    per_value = 1 / after + 1 / (count - after)
    needed = math.sqrt(squares * math.expm1(2 * price(count) / count) * per_value)
    return needed + _POWER * math.sqrt(squares / (count - 1) * per_value)
