"""What happened in a history, ranked: changes of level and failures, what is made of each, and where it came from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from fiabench.dashboard.model import Model
from fiabench.history import gating
from fiabench.history.acceptance import STATUS
from fiabench.history.blame import BOX, blame
from fiabench.history.detecting import Judged, LevelChange
from fiabench.history.gating import Finding
from fiabench.history.series import Point, Series
from fiabench.results.measurement import LEFT_OUT
from fiabench.results.words import essence

FAILING, REGRESSED, SUSPECT, UNDECIDED, OF_BOX, ACCEPTED, IMPROVED, OVER = (
    "failing", "regressed", "suspect", "undecided", "the box's", "accepted", "improved", "over",
)  # fmt: skip
"""What an event is, in the order of the list: what stands and is the code's first, what is over last."""
NOT_MEASURED, UNCHANGED, NOT_JUDGED = "not measured", "unchanged", "not judged"
"""What else a case may be."""
RANK = (FAILING, REGRESSED, SUSPECT, UNDECIDED, OF_BOX, ACCEPTED, IMPROVED, OVER)
PARTS = ("kernel", "all_to_all", "wait")
"""Metrics that tell where in an attention a change is."""
_REASON = 400
_OUTCOMES = {gating.ALARM: REGRESSED, gating.SUSPECT: SUSPECT, gating.UNDECIDED: UNDECIDED, gating.OF_BOX: OF_BOX}


@dataclass(frozen=True)
class Event:
    """One case and metric that changed at a commit. Places are those of the series' points."""

    state: str
    series: Series
    metric: str
    """Or STATUS: it failed."""
    before: int | None
    """The last measured point before it; None where it fails from the first commit on."""
    first: int
    at: int
    until: int | None
    """The point from which on it is over, or another failure."""
    whose: str
    why: str
    change: LevelChange | None = None
    said: str = ""
    """A failure's status and reason, or why somebody accepted it."""
    parts: tuple[tuple[str, float, float], ...] = ()
    """Of a duration: part, and its level before and after, in seconds."""

    @property
    def effect(self) -> float:
        """In logarithms, of either sign; a failure outweighs everything."""
        return math.inf if self.change is None else math.log1p(self.change.magnitude)

    @property
    def place(self) -> Point:
        """The point that it is there by."""
        return self.series.points[self.at]


@dataclass(frozen=True)
class Group:
    """The events of one commit on one machine that are made the same of."""

    state: str
    machine: str
    events: tuple[Event, ...]

    @property
    def lead(self) -> Event:
        """The event with the greatest effect."""
        return self.events[0]


@dataclass(frozen=True)
class Verdict:
    """The line on top: how many cases are what."""

    counts: dict[str, int]
    total: int
    since: Point | None
    """The oldest commit that something standing came with."""


def events(model: Model) -> list[Event]:
    """All of them, most pressing first."""
    findings = {id(found.change): found for found in model.answer.findings if found.change}
    accepted = {id(change): entry.reason for _, change, entry in model.answer.accepted if change}
    excused = {id(of): entry.reason for of, change, entry in model.answer.accepted if not change}
    found = [
        _of_level(judged, change, findings.get(id(change)), accepted.get(id(change)))
        for judged in model.judged
        for change in (*judged.changes, *judged.suspects)
    ]
    for series in model.series:
        found += _failures(series, excused.get(id(series)))
    there = [event for event in found if event]
    return sorted(there, key=lambda event: (RANK.index(event.state), -abs(event.effect)))


def _of_level(judged: Judged, change: LevelChange, finding: Finding | None, accepted: str | None) -> Event | None:
    """None for what is not sure and no finding: a step that nobody has to look at."""
    until = None
    if accepted is not None:
        state = ACCEPTED
    elif finding is not None:
        state = _OUTCOMES.get(finding.outcome, OVER)
    elif not change.flagged:
        return None
    else:
        until = _taken_back(judged, change)
        state = OVER if until is not None else OF_BOX if change.fault.whose == BOX else IMPROVED
    return Event(
        state, judged.series, judged.metric, change.before, change.first, change.at, until,
        change.fault.whose, change.fault.why, change, accepted or "", _parts(judged, change),
    )  # fmt: skip


def _taken_back(judged: Judged, change: LevelChange) -> int | None:
    """By which later change half of it is gone, in logarithms."""
    before, rise = judged.level(change.before), math.log1p(change.magnitude)
    for later in judged.changes:
        if later.at > change.at and math.log(judged.level(later.at) / before) / rise <= 0.5:
            return later.at
    return None


def _parts(judged: Judged, change: LevelChange) -> tuple[tuple[str, float, float], ...]:
    """The level of each part of a duration before and after, over the same commits."""
    if judged.metric != "total":
        return ()
    points = judged.series.points
    others = [other.at for other in judged.changes if other is not change]
    begin = max((other for other in others if other <= change.before), default=0)
    end = min((other for other in others if other > change.at), default=len(points))
    found = []
    for name in PARTS:
        before = _values(points[begin : change.before + 1], name)
        after = _values(points[change.at : end], name)
        if before and after:
            found.append((name, median(before), median(after)))
    return tuple(found)


def _values(points: Sequence[Point], metric: str) -> list[float]:
    return [value.value for point in points if (value := point.value(metric))]


def _failures(series: Series, excused: str | None) -> Iterator[Event]:
    points = series.points
    for first, last in series.endings():
        before = max((place for place in range(first) if points[place].measured), default=None)
        fault = blame(points[before], points[first], STATUS) if before is not None else None
        # A failure that another one follows is not over: nothing has been measured since.
        over = any(point.measured or point.status in LEFT_OUT for point in points[last + 1 :])
        state = OVER if over else ACCEPTED if excused is not None else FAILING
        if state == FAILING and fault and fault.whose == BOX:
            state = OF_BOX
        reason = " ".join(essence(points[first].reason).split())[:_REASON]
        said = f"{points[first].status.replace('_', ' ')}: {reason}" if reason else points[first].status
        yield Event(
            state, series, STATUS, before, first, first, last + 1 if last + 1 < len(points) else None,
            fault.whose if fault else "", fault.why if fault else "", None, excused or said,
        )  # fmt: skip


def groups(found: Sequence[Event]) -> list[Group]:
    """Events of one commit together, in the order of the most pressing of each."""
    by_commit: dict[tuple[str, str, str], list[Event]] = {}
    for event in found:
        by_commit.setdefault((event.state, event.series.machine, event.place.commit.hash), []).append(event)
    made = [Group(state, machine, tuple(own)) for (state, machine, _), own in by_commit.items()]
    return sorted(made, key=lambda group: (RANK.index(group.state), -abs(group.lead.effect), -len(group.events)))


def by_series(found: Sequence[Event]) -> dict[int, list[Event]]:
    """The events of each series, by its identity."""
    own: dict[int, list[Event]] = {}
    for event in found:
        own.setdefault(id(event.series), []).append(event)
    return own


def state_of(newest: Point | None, own: Sequence[Event], judged: Sequence[Judged]) -> str:
    """The one word for a case: the most pressing of its events that stand. ``newest`` is what it is at the machine's
    newest commit, None where nobody measured it there."""
    standing = [event.state for event in own if event.state != OVER]
    if standing:
        return min(standing, key=RANK.index)
    if newest is None or not newest.measured:
        return NOT_MEASURED
    return NOT_JUDGED if judged and all(one.abstains for one in judged) else UNCHANGED


def states(model: Model, found: Sequence[Event]) -> dict[int, str]:
    """:func:`state_of` of each series, by its identity. One that the machine's newest commit does not have is not
    measured there."""
    own = by_series(found)
    judged: dict[int, list[Judged]] = {}
    for one in model.judged:
        judged.setdefault(id(one.series), []).append(one)
    return {
        id(series): state_of(model.at_newest(series), own.get(id(series), []), judged.get(id(series), []))
        for series in model.series
    }


def verdict(model: Model, found: Sequence[Event], of_series: dict[int, str]) -> Verdict:
    standing = [event.place for event in found if event.state in (FAILING, REGRESSED, SUSPECT, UNDECIDED)]
    since = min(standing, key=lambda point: model.places[point.commit.hash], default=None)
    return Verdict(dict(Counter(of_series.values())), len(model.series), since)
