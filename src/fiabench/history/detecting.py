"""What changed in the cases of a history: levels, each with its commits, its size and whose fault it is.

:mod:`fiabench.stats.changes` judges numbers; here they get their commits. All cases and metrics are judged together, so
that of all that is called changed little is noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

import numpy as np

from fiabench.history.blame import Fault, blame
from fiabench.history.on_cores import on_every_core
from fiabench.history.series import UNORDERED, Series
from fiabench.results.metrics import METRICS
from fiabench.stats import changes as detector


class Reference(NamedTuple):
    """A case that the commits have no part in."""

    case: str
    """Its id."""
    values: Mapping[tuple[str, str], float]
    """What it took, by machine and commit."""


@dataclass(frozen=True)
class LevelChange:
    """A metric of a case changed for good. Places are those of the series' points."""

    before: int
    """The last point that was measured before it."""
    first: int
    """The first point that it may have come with; :meth:`Series.unmeasured` knows of commits before it."""
    at: int
    """The point by which it is there."""
    magnitude: float
    """Relative: +0.05 is 5 % more."""
    low: float
    high: float
    """The interval of the magnitude at 95 %."""
    score: float
    """Greater is surer; flagged from :data:`fiabench.stats.changes.THRESHOLD` on."""
    flagged: bool
    """Whether noise does not explain it. What is not flagged is worth a measurement in pairs, and no more."""
    suspect: bool
    """Whether it is among the newest commits, so that it may yet turn out to be of one run alone."""
    fault: Fault


@dataclass(frozen=True)
class Judged:
    """One metric of a case on one machine."""

    series: Series
    metric: str
    values: list[float | None]
    """One of each point; None where it was not measured."""
    changes: tuple[LevelChange, ...]
    """Flagged, in both directions, oldest first."""
    suspects: tuple[LevelChange, ...]
    """Steps at the newest commits that are not flagged."""
    abstains: str
    """Why it is not judged; empty where it is."""
    visible: float | None
    """The smallest lasting increase that would most likely have been flagged; None where it is not judged."""

    def worse(self, change: LevelChange) -> bool:
        return (change.magnitude < 0) == METRICS[self.metric].more_is_better

    def level(self, place: int) -> float:
        """The median between the flagged changes around ``place``, which was measured."""
        starts = [change.at for change in self.changes]
        begin = max((start for start in starts if start <= place), default=0)
        end = min((start for start in starts if start > place), default=len(self.values))
        return median(value for value in self.values[begin:end] if value is not None)

    def level_at_most(self, place: int) -> float:
        """The level at the last point up to ``place`` that was measured, or else at the first."""
        there = [index for index, value in enumerate(self.values) if value is not None]
        return self.level(max((index for index in there if index <= place), default=there[0]))

    @property
    def newest(self) -> int:
        """The last place that was measured."""
        return max(place for place, value in enumerate(self.values) if value is not None)


def detect_changes(
    found: Iterable[Series],
    metrics: Sequence[str],
    reference: Reference | None = None,
    known: detector.Known | None = None,
) -> list[Judged]:
    """Each of ``metrics`` that a series has, in their order, all judged together.

    ``reference`` is taken out of other cases' durations; of sizes, which no mood of the box moves, it is not. What is
    ``known`` from an earlier time is not judged again, and what is new is added to it.
    """
    every = ((series, metric, *series.measured(metric)) for series in found for metric in metrics)
    asked = [one for one in every if one[2]]
    histories = [_history(*one, reference) for one in asked]
    judgeable = [history for history in histories if not isinstance(history, str)]
    answers = iter(detector.detect_all(judgeable, known, on_every_core))
    return [
        _left_out(*one, history) if isinstance(history, str) else _judged(*one, next(answers))
        for one, history in zip(asked, histories)
    ]


def _history(
    series: Series, metric: str, places: list[int], bounds: np.ndarray, reference: Reference | None
) -> detector.History | str:
    """What the detector gets of the points at ``places``; or why it gets nothing.

    Of few and wild samples an interval may reach below zero; it then reaches as far down as up, as a factor.
    """
    if series.unordered:
        return UNORDERED
    values, low, high = bounds.T
    odd = values[~((values > 0) & (values < math.inf))]
    if odd.size:
        return f"found {odd[0]:g} among the values: changes are judged of numbers above 0, as a part of them"
    points = [series.points[place] for place in places]
    moody = METRICS[metric].unit == "s"
    if moody and reference is not None and series.id == reference.case:
        return "is the reference itself: what moves it is taken for the box's mood"
    intervals = np.stack([np.where(low > 0, low, values**2 / high), high], axis=1)
    own = ((intervals[:, 0] < values) & (values < high)).any()
    beside = None
    if moody and reference is not None:
        beside = [reference.values.get((series.machine, point.commit.hash), math.nan) for point in points]
    return detector.History(
        values,
        # A size is the same whenever it is measured, as if all were of one session.
        sessions=[point.sitting if moody else 0 for point in points],
        intervals=intervals if own else None,
        reference=None if beside is None else np.array(beside),
    )


def _judged(series: Series, metric: str, places: list[int], bounds: np.ndarray, answer: detector.Detection) -> Judged:
    flagged = {change.index for change in answer.flags}
    suspects = [change for change in answer.suspects if change.index not in flagged]
    return Judged(
        series,
        metric,
        _numbers(series, places, bounds),
        tuple(_placed(series, metric, change, places, True) for change in answer.flags),
        tuple(_placed(series, metric, change, places, False) for change in suspects),
        answer.abstains,
        answer.visible,
    )


def _left_out(series: Series, metric: str, places: list[int], bounds: np.ndarray, why: str) -> Judged:
    return Judged(series, metric, _numbers(series, places, bounds), (), (), why, None)


def _numbers(series: Series, places: list[int], bounds: np.ndarray) -> list[float | None]:
    numbers: list[float | None] = [None] * len(series.points)
    for place, value in zip(places, bounds[:, 0].tolist()):
        numbers[place] = value
    return numbers


def _placed(series: Series, metric: str, change: detector.Change, places: Sequence[int], flagged: bool) -> LevelChange:
    """A change with the places of its points; nobody measured those between two of ``places``."""
    before, at = places[max(change.first - 1, 0)], places[change.index]
    return LevelChange(
        before,
        before + 1,
        at,
        float(change.magnitude),
        float(change.low),
        float(change.high),
        float(change.score),
        flagged,
        bool(change.suspect),
        blame(series.points[before], series.points[at], metric),
    )


def reference_of(found: Sequence[Series], metric: str) -> Reference:
    """The series of one case, one on each machine, as a reference."""
    values = ((series.machine, point.commit.hash, point.value(metric)) for series in found for point in series.points)
    known = {(machine, commit): value.value for machine, commit, value in values if value is not None}
    return Reference(found[0].id, known)
