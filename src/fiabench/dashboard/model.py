"""A history as the pages show it: its cases over the commits, judged as `history gate` judges them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from fiabench.cases.case import Case
from fiabench.cases.errors import InputError
from fiabench.dashboard import beside
from fiabench.dashboard.digest import Kept
from fiabench.dashboard.judgements import Judgements
from fiabench.dashboard.keeping import Keeper, Progress
from fiabench.history import acceptance
from fiabench.history.acceptance import Acceptances
from fiabench.history.detecting import Judged, detect_changes
from fiabench.history.gating import Gate, gate
from fiabench.history.repository import Commit
from fiabench.history.series import Point, Series, order_notices, read_series
from fiabench.history.store import Attempt, Store
from fiabench.results import words
from fiabench.results.naming import label, varying

JUDGED = ("total", "peak_memory")
"""Metrics that changes are looked for in, as `history gate` does; of the others the pages show how they moved along."""
_COMMENT = re.compile(r"^\s*//.*$", re.MULTILINE)


class Asked(NamedTuple):
    """What is to be shown."""

    store: Store
    runs: Sequence[Path] = ()
    """Run directories beside those of the store."""
    metrics: Sequence[str] = JUDGED
    place: Path | None = None
    """What commands have to be told by `--store`; None for the checkout's own."""


@dataclass
class Model:
    """All that the pages are made of."""

    store: Store
    repository: str
    """Where the commits are; empty where that is not here."""
    series: list[Series]
    judged: list[Judged]
    answer: Gate
    acceptances: Acceptances
    of_history: set[tuple[str, str]]
    """Machine and commit of what the store has, and no run beside it."""
    attempts: list[Attempt] = field(default_factory=list)
    place: Path | None = None
    """See :class:`Asked`."""
    link: str = ""
    """What a commit's page is addressed by, up to its hash; empty where none is known."""
    notices: list[str] = field(default_factory=list)

    @cached_property
    def commits(self) -> list[Commit]:
        """Of all series, in their order."""
        longest: dict[str, Commit] = {}
        for series in sorted(self.series, key=lambda series: -len(series.points)):
            if all(point.commit.hash in longest for point in series.points):
                continue
            longest = _merged(longest, series.points)
        return list(longest.values())

    @cached_property
    def places(self) -> dict[str, int]:
        """Of the commits, by hash."""
        return {commit.hash: place for place, commit in enumerate(self.commits)}

    @cached_property
    def names(self) -> list[str]:
        """Of the commits, in their order: what each is called and addressed by, and no other."""
        shorts = Counter(commit.short for commit in self.commits)
        return [commit.short if shorts[commit.short] == 1 else commit.hash for commit in self.commits]

    @property
    def name(self) -> str:
        return self.store.name

    @cached_property
    def labels(self) -> dict[str, str]:
        """A few words for each case, by id."""
        cases = {series.id: series.case for series in self.series}
        beside = varying(list(cases.values()))
        return {name: label(case, beside) for name, case in cases.items()}

    @cached_property
    def machines(self) -> list[str]:
        return list(dict.fromkeys(series.machine for series in self.series))

    @cached_property
    def newest_place(self) -> dict[str, int]:
        """By machine the place of the newest commit that left something of any case."""
        found: dict[str, int] = {}
        for series in self.series:
            place = self.places[series.points[-1].commit.hash]
            found[series.machine] = max(place, found.get(series.machine, 0))
        return found

    def at_newest(self, series: Series) -> Point | None:
        """What the machine's newest commit has of the case; None where it has nothing."""
        point = series.points[-1]
        return point if self.places[point.commit.hash] == self.newest_place[series.machine] else None

    @cached_property
    def stacks(self) -> dict[str, list[Point]]:
        """By machine a point of each commit, oldest first, with what the newest run there ran on."""
        found: dict[str, dict[int, Point]] = {}
        for series in self.series:
            of_machine = found.setdefault(series.machine, {})
            for point in series.points:
                place = self.places[point.commit.hash]
                if point.stack and (place not in of_machine or point.sitting > of_machine[place].sitting):
                    of_machine[place] = point
        return {machine: [points[place] for place in sorted(points)] for machine, points in found.items()}

    @cached_property
    def newest(self) -> dict[str, list[Attempt]]:
        """By machine the attempts at its newest commit that left something, oldest first."""
        places = self.places
        found: dict[str, list[Attempt]] = {}
        for attempt in self.attempts:
            if attempt.run and attempt.run.lines and attempt.commit in places:
                there = found.setdefault(attempt.machine, [])
                if there and places[attempt.commit] > places[there[0].commit]:
                    there.clear()
                if not there or attempt.commit == there[0].commit:
                    there.append(attempt)
        return found

    @cached_property
    def lengths(self) -> words.Lengths:
        return words.Lengths.of([series.case for series in self.series])


def _merged(there: dict[str, Commit], points: Sequence[Point]) -> dict[str, Commit]:
    """``there`` with those of ``points`` that it lacks, each before the next one that it has."""
    order = list(there)
    place = {name: number for number, name in enumerate(order)}
    before: dict[int, list[Commit]] = {}
    waiting: list[Commit] = []
    for point in points:
        if point.commit.hash in place:
            if waiting:
                before.setdefault(place[point.commit.hash], []).extend(waiting)
                waiting = []
        else:
            waiting.append(point.commit)
    merged: dict[str, Commit] = {}
    for number, name in enumerate(order):
        merged |= {commit.hash: commit for commit in before.get(number, [])}
        merged[name] = there[name]
    return merged | {commit.hash: commit for commit in waiting}


def build(asked: Asked, keeper: Keeper, each: Progress) -> Model:
    """Reads what is new and judges all; ``each`` hears how far it is. A run that cannot be read is passed over with a
    notice."""
    store = asked.store
    keeper.read_ahead([*(store.run_directories() if store.exists() else ()), *asked.runs], each)
    attempts, unreadable = store.attempts(read=keeper.read) if store.exists() else ([], [])
    runs = []
    there = {attempt.path for attempt in attempts}
    for path in dict.fromkeys(path for path in asked.runs if path not in there):
        try:
            runs.append((path, keeper.read(path)))
        except InputError as error:
            unreadable.append(str(error))
    of_history = {(attempt.machine, attempt.commit) for attempt in attempts}
    besides, named = beside.placed(attempts, runs)
    attempts += besides
    series = read_series(store, attempts, lambda name, case: True)
    beside.name(series, named)
    judgements = Judgements(keeper.folder)
    judged = detect_changes(series, asked.metrics, known=judgements)
    judgements.close()
    notices = [*unreadable, *keeper.notices, *order_notices(series)]
    try:
        entries = acceptance.read_entries(store.configuration.with_name(acceptance.FILE))
    except InputError as error:
        notices.append(str(error))
        entries = []
    repository = store.repository()
    place = str(repository.path) if repository else ""
    acceptances = Acceptances(entries, repository)
    answer = gate(series, judged, acceptances)
    return Model(
        store, place, series, judged, answer, acceptances, of_history, attempts, asked.place,
        _link(store.configuration), notices,
    )  # fmt: skip


def _link(configuration: Path) -> str:
    """asv's `show_commit_url`, where it is an address of the web."""
    try:
        found = json.loads(_COMMENT.sub("", configuration.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return ""  # links are a convenience: a page without them is whole
    link = found.get("show_commit_url", "") if isinstance(found, dict) else ""
    return link if isinstance(link, str) and re.match(r"https?://[^\s\"'<>]+$", link) else ""


def kept(point: Point) -> Kept | None:
    """The measurement of a point that :func:`build` made."""
    found = point.measurement
    return found if isinstance(found, Kept) else None


def facts(case: Case, lengths: words.Lengths) -> dict[str, str | int]:
    """What cases are filtered by."""
    length = case.exchange_bytes if case.measure == "exchange" else lengths.length(case)
    return {"seq": length, "shard": case.head_shard, "dtype": case.dtype, "op": case.op}
