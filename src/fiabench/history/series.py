"""A case over the commits of a history, as the run directories tell it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fiabench.cases.case import Case
from fiabench.history.ranking import rank
from fiabench.history.repository import Ancestry, Commit, Repository
from fiabench.history.store import HASH, Attempt, Store
from fiabench.results import words
from fiabench.results.environment import said_of
from fiabench.results.measurement import LEFT_OUT, MEASURED, Measurement

UNORDERED = "the repository of its commits is not here, so that nobody knows their order"
NOTHING = "failed"
"""The status of a commit that left no line for the case."""
_NAMED = 5
_SHORT = 10
"""Digits of a hash that are shown."""
UNKNOWN = "(in no repository here)"
_STACK = (
    "device", "device_name", "device_count", "driver", "cann", "cuda", "cpu", "cores", "system", "python", "operator",
)  # fmt: skip
"""Facts of `run.json` that belong to the box, beside the versions and the variables."""
_BREAK = timedelta(minutes=30)
"""What lies at least between two sittings: asv takes seconds from one commit to the next, a checkout minutes."""


class Value(NamedTuple):
    """Of one commit. The bounds are the value itself where there is no interval."""

    value: float
    low: float
    high: float


class Measured(NamedTuple):
    """What a run says of a case."""

    measurement: Measurement
    stack: dict[str, str]
    """What it ran on: fact to value, `torch` to `2.5.1`."""
    sitting: int
    """Which of the machine's sittings the run is of: runs that followed each other without a break, counted from 0."""
    ran: str
    """See :attr:`Point.ran`."""
    quick: bool = False
    """See :attr:`Attempt.quick`."""


class Point(NamedTuple):
    """A case at one commit, as the newest run that has it measured it; :mod:`ranking` has the exceptions."""

    commit: Commit
    status: str
    reason: str
    measurement: Measurement | None
    stack: dict[str, str]
    """What it ran on: fact to value, `torch` to `2.5.1`; empty where nothing ran."""
    changes: list[tuple[str, str, str]]
    """Of the stack since the point before: fact, value before, value now."""
    ran: str = ""
    """What it ran on and what it must not be taken for: `on CPU (...): emulated operator, not NPU figures`; empty where
    nothing ran."""
    sitting: int = 0
    """See :class:`Measured`; 0 where nothing ran."""
    elsewhere: tuple[Measured, ...] = ()
    """What other runs say that had another stack, one of each."""
    skipped: int = 0
    """Commits of the repository between the point before and this one, at which the case was not measured."""

    @property
    def measured(self) -> bool:
        return self.status in MEASURED

    def value(self, metric: str) -> Value | None:
        """A metric with its interval; None where it was not measured."""
        return value_of(self.measurement, metric) if self.measurement else None


def value_of(measurement: Measurement, metric: str) -> Value | None:
    """A metric with its interval; None where it was not measured."""
    found = measurement.bounds(metric) if measurement.measured else None
    return None if found is None else Value(*found)


@dataclass
class Series:
    """A case on one machine, oldest commit first."""

    machine: str
    id: str
    case: Case
    points: list[Point] = field(default_factory=list)
    unordered: bool = False
    """Whether no repository here has any of its commits: they stand as they were measured, and nothing follows from
    that."""
    gone: tuple[str, ...] = ()
    """Commits that were measured and are left out, as the repository does not have them."""

    @cached_property
    def ran(self) -> list[str]:
        """What its points ran on, each once; of those that were measured, if any was."""
        measured = [point.ran for point in self.points if point.measured]
        return list(dict.fromkeys(measured or filter(None, (point.ran for point in self.points))))

    def measured(self, metric: str) -> tuple[list[int], np.ndarray]:
        """The points that have a metric, by index, and its value, low and high at each: [of them, 3]."""
        places, rows = [], []
        for place, point in enumerate(self.points):
            found = point.measurement.bounds(metric) if point.measurement and point.measured else None
            if found is not None:
                places.append(place)
                rows.append(found)
        return places, np.array(rows, dtype=float).reshape(len(rows), 3)

    def endings(self) -> Iterator[tuple[int, int]]:
        """Stretches of commits that fail alike: the first and the last, by index."""
        start = 0
        kinds = (("", "") if point.measured else words.kind_of(point.status, point.reason) for point in self.points)
        for (status, _), alike in groupby(() if self.unordered else kinds):
            end = start + len(list(alike))
            if status not in ("", *LEFT_OUT):
                yield start, end - 1
            start = end

    def unmeasured(self, first: int, at: int) -> int:
        """At how many commits the case was not measured, each of which may have made what came with one of the points
        from ``first`` to ``at``."""
        return sum(point.skipped for point in self.points[first : at + 1])

    def or_since(self, first: int, at: int) -> str:
        """Which commits but the one of ``at`` may have made what came with one of the points from ``first`` on."""
        since, count = f", or since {self.points[first].commit.short}" if first < at else "", self.unmeasured(first, at)
        if not count:
            return since
        commits = "commit that was" if count == 1 else f"{count} commits that were"
        if since:
            return f"{since}, or at one of the {commits} not measured among them"
        return f", or at {'the' if count == 1 else 'one of the'} {commits} not measured before it"


def read_series(store: Store, attempts: list[Attempt], wanted: Callable[[str, Case], bool]) -> list[Series]:
    """The history of each case that is ``wanted`` (by id and case) on each machine; ``attempts`` are the store's."""
    repository = store.repository()
    commits, there = _ordered(repository, attempts)
    ancestry = repository.ancestry([*there]) if repository else Ancestry({})
    cases = _cases(attempts, wanted)
    found = []
    failures = _failures(attempts)
    for machine in dict.fromkeys(attempt.machine for attempt in attempts):
        by_commit: dict[str, list[Attempt]] = {}
        for attempt in attempts:
            if attempt.machine == machine:
                by_commit.setdefault(attempt.commit, []).append(attempt)
        own = [commit for commit in commits if commit.hash in by_commit]
        sittings = _sittings(attempt for attempts in by_commit.values() for attempt in attempts)
        stacks: list[dict[str, str]] = []
        lines = {name: _lines(attempts, sittings, store.outside, stacks) for name, attempts in by_commit.items()}
        for name, case in cases.items():
            if any(name in of_commit for of_commit in lines.values()):
                series = Series(machine, name, case)
                _place_points(series, list(_points(name, machine, own, lines, failures)), there, ancestry)
                found.append(series)
    return found


def _place_points(series: Series, points: list[Point], known: set[str], ancestry: Ancestry) -> None:
    """Gives ``series`` those of ``points`` whose order is known; all where the repository has none of them.

    What is called otherwise than by a hash is a run without a commit, which stands where it was measured: last.
    """
    unknown = {name for point in points if (name := point.commit.hash) not in known and HASH.fullmatch(name)}
    if any(point.commit.hash in known for point in points):
        series.gone = tuple(sorted(unknown))
        series.points = [point for point in points if point.commit.hash not in unknown]
    else:
        series.unordered = len(unknown) > 1
        series.points = points
    ordered = [point for point in series.points if point.commit.hash in known]
    own = {point.commit.hash for point in ordered}
    for place, (before, now) in enumerate(pairwise(ordered), start=1):
        if skipped := ancestry.between(before.commit.hash, now.commit.hash) - own:
            series.points[place] = now._replace(skipped=len(skipped))


def order_notices(found: Iterable[Series]) -> list[str]:
    """What keeps commits from being put in order, in words."""
    said = []
    everything = list(found)
    if gone := list(dict.fromkeys(name for series in everything for name in series.gone)):
        named = ", ".join(name[:_SHORT] for name in gone[:_NAMED]) + (", ..." if len(gone) > _NAMED else "")
        said.append(f"{len(gone)} of the measured commits are not in the repository, and left out: {named}")
    machines = dict.fromkeys(series.machine for series in everything if series.unordered)
    return said + [f"{machine}: nothing is judged: {UNORDERED}" for machine in machines]


def _points(
    case: str,
    machine: str,
    commits: list[Commit],
    lines: dict[str, dict[str, list[Measured]]],
    failures: dict[tuple[str, str], list[_Failure]],
) -> Iterator[Point]:
    """Of a case, by id; a commit at which nobody tried to measure it has none."""
    before: dict[str, str] = {}
    for commit in commits:
        if measured := lines[commit.hash].get(case):
            *elsewhere, (measurement, stack, sitting, ran, _) = measured
            changes = differences(before, stack) if before else []
            status, reason = measurement.status, measurement.reason
            yield Point(commit, status, reason, measurement, stack, changes, ran, sitting, tuple(elsewhere))
            before = stack or before
        else:
            failed = failures.get((machine, commit.hash), ())
            reason = next((one.reason for one in failed if one.cases is None or case in one.cases), "")
            if reason:
                yield Point(commit, NOTHING, reason, None, {}, [], "")


class _Failure(NamedTuple):
    """What kept a run from measuring some case."""

    reason: str
    cases: frozenset[str] | None
    """The ids of what it was to measure; None where nobody knows, or where nothing can be measured at the commit."""


def _failures(attempts: Iterable[Attempt]) -> dict[tuple[str, str], list[_Failure]]:
    """By machine and commit, the newest first."""
    measured: dict[str, set[str]] = {}
    for attempt in attempts:
        if attempt.run and attempt.asked:
            measured.setdefault(_request(attempt), set()).update(line.id for line in attempt.run.lines)
    found: dict[tuple[str, str], list[_Failure]] = {}
    for attempt in attempts:
        if attempt.reason:
            # Notes from before they named the cases: the same request was fulfilled at another commit.
            cases = attempt.asked.get("cases") or measured.get(_request(attempt))
            failure = _Failure(attempt.reason, frozenset(cases) if cases else None)
            found.setdefault((attempt.machine, attempt.commit), []).insert(0, failure)
    return found


def _request(attempt: Attempt) -> str:
    """What asv asked for, of whatever commit."""
    return str([attempt.asked.get(name) for name in ("digest", "group", "filters")])


def _lines(
    attempts: list[Attempt], sittings: dict[Path, int], outside: bool, stacks: list[dict[str, str]]
) -> dict[str, list[Measured]]:
    """Of each case, by id, a measurement on each stack, the one that counts last.

    ``stacks`` are those of the machine so far, lest each commit have a copy of the same.
    """
    found: dict[str, list[Measured]] = {}
    for attempt in attempts:
        if attempt.run:
            found_stack, sitting = stack_of(attempt.run.environment, outside), sittings[attempt.path]
            stack = next((known for known in reversed(stacks) if known == found_stack), found_stack)
            if stack is found_stack:
                stacks.append(stack)
            ran = {emulated: said_of(attempt.run.environment, emulated) for emulated in (False, True)}
            for measurement in attempt.run.measurements:
                said = ran[bool(measurement.timing.get("emulated"))]
                measured = Measured(measurement, stack, sitting, said, attempt.quick)
                others = found.get(measurement.id)
                found[measurement.id] = _with(others, measured) if others else [measured]
    return found


def _with(others: list[Measured], new: Measured) -> list[Measured]:
    """Each stack has its best, by :func:`rank`. Of the stacks the newest counts, unless it had a quick run alone."""
    same = next((other for other in others if other.stack == new.stack), None)
    if same and rank([new.measurement], new.quick) < rank([same.measurement], same.quick):
        return others
    return sorted([*(other for other in others if other is not same), new], key=lambda one: not one.quick)


def _sittings(attempts: Iterable[Attempt]) -> dict[Path, int]:
    """Which sitting of their machine the runs of ``attempts`` are of, by the runs' paths.

    What a box is like for an hour, and not the next day, the commits of a sitting have in common.
    """
    found: dict[Path, int] = {}
    ended: datetime | None = None
    number = 0
    runs = [attempt.run for attempt in attempts if attempt.run]
    for run in sorted(runs, key=lambda run: run.header["created"]):
        begun = datetime.fromisoformat(run.header["created"])
        if ended and begun - ended > _BREAK:
            number += 1
        found[run.path] = number
        finished = run.header.get("finished")
        ended = max(filter(None, (ended, begun, datetime.fromisoformat(finished) if finished else None)))
    return found


def _cases(attempts: Iterable[Attempt], wanted: Callable[[str, Case], bool]) -> dict[str, Case]:
    cases: dict[str, Case] = {}
    for attempt in attempts:
        for line in attempt.run.lines if attempt.run else ():
            if line.id not in cases:
                cases[line.id] = words.described(line)
    return {name: case for name, case in sorted(cases.items(), key=_place) if wanted(name, case)}


def _place(named: tuple[str, Case]) -> tuple[Any, ...]:
    case = named[1]
    return case.op, case.seq_len_q, case.seq_len_kv, case.tp, case.ulysses, named[0]


def _ordered(repository: Repository | None, attempts: list[Attempt]) -> tuple[list[Commit], set[str]]:
    """The commits of ``attempts``, oldest first, those that no repository here has last, as they were measured; and the
    hashes of the others."""
    times: dict[str, str] = {}
    for attempt in attempts:
        times.setdefault(attempt.commit, attempt.run.header["created"] if attempt.run else "")
    there = repository.known(list(times)) if repository else []
    gone = sorted(set(times).difference(commit.hash for commit in there), key=lambda name: (times[name], name))
    return [*there, *(Commit(name, 0, "", UNKNOWN) for name in gone)], {commit.hash for commit in there}


def stack_of(environment: dict[str, Any], engine: bool) -> dict[str, str]:
    """What of a run's fingerprint is the box's, and the software's that is not under test: fact to value.

    ``engine`` is whether fiabench's own commit is such a fact, and not what is under test.
    """
    facts = {name: environment.get(name) for name in _STACK} | environment.get("versions", {})
    facts |= environment.get("variables", {})
    commit = str(environment.get("commit") or "")
    facts["fiabench"] = f"{environment['fiabench']} {commit[:_SHORT]}".strip() if engine else None
    return {name: str(value) for name, value in facts.items() if value is not None}


def differences(before: dict[str, str], now: dict[str, str]) -> list[tuple[str, str, str]]:
    """Fact, value before, value now; `none` for what is not there."""
    if before is now or before == now:
        return []  # as nearly always
    names = dict.fromkeys([*before, *now])
    return [(name, before.get(name, "none"), now.get(name, "none")) for name in names
            if before.get(name) != now.get(name)]  # fmt: skip
