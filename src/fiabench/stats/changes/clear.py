"""Steps that are clear beyond any noise: all of them at once, early ones and those that are undone.

A forward search finds one step after the other and judges each by what it adds, for which a dozen values are too few.
A level that comes back hides from it, and so do several steps, which slow noise or a drift explains as well as one or
two of them do. Here the best division into levels is taken as a whole, by least squares, and each level has to earn
more than the steps that slow noise makes: so much that hardly a series of any kind of noise has one, and that only
steps of many times the noise have it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from fiabench.stats.changes.described import POWER, Size, grown, lasting, sure_from
from fiabench.stats.changes.found import THRESHOLD, Change, Detection
from fiabench.stats.changes.given import Given

_SHORT = 48
"""Longer series have values enough for a step to be judged by itself; what is clear in them is only added."""
_MOST = 8
"""Steps that are looked for."""
_EXACT = 1e-9
"""Of the sum of squares: with less than this left, nothing is."""
_COUNTS = (8, 12, 16, 24, 32, 48, 60, 100, 200, 320)
_PRICES = (10.4, 12.4, 14.7, 18.2, 21.0, 26.0, 38.0, 49.0, 69.0, 87.0)
"""Nats that a step has to gain among so many values: about 1 % of simulated series without a step have one that gains
more where neighbours are correlated at 0.7, far fewer with the other kinds of noise of docs/detector.md. Slow noise has
the more levels the longer it is watched. The levels of sessions alone are told from steps by nothing but their
identity. Beyond _SHORT values hardly any has one, as another search has had its say."""
_TOGETHER = 0.85
"""Of its price, that each of several steps has to gain together with the others in a longer series: what is left beside
one of them is large, and the gain of all of them less than the sum of what each gains beside the others."""
_HOLDS = 5
"""Values that a level of a longer series holds for at least: among so many, two disturbed runs may be neighbours."""
_OF_A_LINE = 0.3
"""Of its price, that a step has to gain over a straight line through the levels beside it: a drift has steps, too."""
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
    """The steps of ``logs`` [n], oldest first, and of a short series' newest value a step where it stands out.

    In a short series levels hold for two values or more, of which one run that went wrong does not make one. Only the
    first may be one value, where it is the lowest: what disturbs a run makes it slower, and where one is far above both
    its neighbours it is left out. A newest value alone scores less than 1.
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
    same = _EXACT * float(np.ptp(logs))
    # What comes again is one of the values that a series on a grid takes, and nothing that disturbed a run.
    far = np.array([i for i in np.flatnonzero(above > _SPIKE) if (abs(logs - logs[i + 1]) <= same).sum() == 1], int)
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
    return steps if logs.size > _SHORT else [*steps, *_newest(logs, costs, cuts, floor)]


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
    allowed[ends - begins < (_HOLDS if count > _SHORT else 2)] = np.inf
    best = allowed[0].copy()
    """Of the values up to each end, in so many levels."""
    if logs[0] < logs[1:].min() and count <= _SHORT:
        best[1] = 0.0
    values, came_from = [best[count]], []
    for _ in range(min(_MOST, count // 2)):
        candidates = best[:count, None] + allowed
        came_from.append(candidates.argmin(axis=0))
        best = candidates.min(axis=0)
        values.append(best[count])
    gains = [-0.5 * count * math.log(max(value, floor)) if math.isfinite(value) else -math.inf for value in values]
    each = price(count) * (_TOGETHER if count > _SHORT else 1.0)
    most = max(range(len(gains)), key=lambda steps: gains[steps] - steps * each)
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
    gain = min(nats(float(costs[begin, end])), nats(_beside_a_line(logs[begin:end])) / _OF_A_LINE)
    return ClearStep(cut, first, size, _QUANTILE * spread, gain / price(logs.size))


def _beside_a_line(values: np.ndarray) -> float:
    """The sum of squares of ``values`` around the straight line that fits them best."""
    time = np.arange(values.size) - (values.size - 1) / 2
    apart = values - values.mean()
    return max(0.0, float(apart @ apart - (time @ apart) ** 2 / (time @ time)))


def _newest(logs: np.ndarray, costs: np.ndarray, cuts: Sequence[int], floor: float) -> list[ClearStep]:
    """The newest value as a level of its own, where the one before it is not of one value then."""
    last = logs.size - 1
    if cuts and cuts[-1] > last - 2:
        return []
    found = _step(logs, costs, [*cuts, last], len(cuts), floor)
    return [replace(found, first=last, score=min(found.score, _ALONE))]


def with_clear_steps(found: Detection, one: Given, fresh: int, worth: float, too_wild: str) -> Detection:
    """``found`` of ``one`` with the clear steps. In a short series they stand in the place of those that were found
    beside them; in a longer one they are added to what is flagged.

    Steps with no more than ``fresh`` values after them are suspects, from a score of ``worth`` on. ``too_wild`` is why
    a series is not judged whose levels are clear, and may be those of sessions that nobody told.
    """
    short = one.logs.size <= _SHORT
    if found.abstains or not (short or _may_be_clear(one.logs)):
        return found
    steps = clear_steps(one.logs)
    changes = [_change(one, step, steps, fresh) for step in steps]
    flagged = [change.index for change in found.flags]
    if short:
        # What is less than clear says nothing where something is flagged.
        new = [change for change in changes if change.score >= THRESHOLD or not _near(one, change.index, flagged)]
        new = [change for change in new if change.score >= worth]
        if not one.sessions and sum(change.score >= THRESHOLD for change in new) > 1:
            return Detection((), found.candidates, (), too_wild, None)
    else:
        new = [change for change in changes if change.score >= THRESHOLD and not _near(one, change.index, flagged)]
        if not new:
            return found
        if not one.sessions:
            return found if flagged else Detection((), found.candidates, (), too_wild, None)
    indices = [change.index for change in new]
    kept = [change for change in found.candidates if not _near(one, change.index, indices)]
    candidates = tuple(sorted([*kept, *new], key=lambda change: change.index))
    clear_from = grown(max(_visible(one.logs, steps), sure_from(one.errors)))
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
    kept = step.score >= THRESHOLD and size.certain(one.errors, step.index, others) and not _between(one, step)
    return Change(
        index=int(one.places[step.index]),
        magnitude=grown(size.size),
        score=float(step.score if kept else min(step.score, _ALONE)),
        low=grown(size.low),
        high=grown(size.high),
        suspect=bool(one.logs.size - step.index <= fresh),
        first=int(one.places[step.first - 1]) + 1,
    )


def _between(one: Given, step: ClearStep) -> bool:
    """Whether another session of several values begins where the step may have begun, or one ends."""
    for index in range(step.first, step.index + 1) if one.sessions else ():
        before, after = one.sessions[index - 1], one.sessions[index]
        if before != after and max(one.sessions.count(before), one.sessions.count(after)) > 1:
            return True
    return False


def _may_be_clear(logs: np.ndarray) -> bool:
    """Whether levels can explain so much of a longer series that a step is clear: quickly told, for hardly any is so.

    What neighbours differ by, but for the largest differences, is what levels leave.
    """
    apart = np.sort(np.diff(logs) ** 2)[:-_MOST].mean() / 2
    left = max(float(apart), _EXACT * float(logs.var()))
    return float(logs.var()) > left * math.exp(price(logs.size) / logs.size)


def _visible(logs: np.ndarray, steps: Sequence[ClearStep]) -> float:
    """The smallest lasting increase, in logarithms, that would most likely be clear, given the steps that are."""
    rest = logs.copy()
    for step in steps:
        if step.score >= THRESHOLD:
            rest[step.index :] -= step.size
    rest = rest[_without_spikes(logs)]
    count = logs.size
    after = lasting(count)
    squares = float(((rest - rest.mean()) ** 2).sum())
    per_value = 1 / after + 1 / (count - after)
    needed = math.sqrt(squares * math.expm1(2 * price(count) / count) * per_value)
    return needed + POWER * math.sqrt(squares / (count - 1) * per_value)
