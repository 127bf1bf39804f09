"""Changes that somebody looked at and accepted: a YAML file of entries, kept in git where a review sees it.

An entry speaks of the change that the commit came with, in every case whose id has `case` in it. What it accepts leaves
the gate, stays visible, and the level after it is the one that later commits are held against.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fiabench.cases.errors import InputError, Problem, describe, nearest
from fiabench.cases.source import Document, read
from fiabench.history.repository import Repository
from fiabench.history.series import Series
from fiabench.results.metrics import METRICS

FILE = "accepted.yaml"
STATUS = "status"
"""In the place of a metric: that the case fails."""
_REQUIRED = ("case", "commit", "metric", "reason")
_KEYS = (*_REQUIRED, "change", "machine")
_HASH = re.compile(r"[0-9a-f]{40}")
_PART = ".part"
_HEAD = """\
# Changes of performance that were looked at and accepted: `tools/history.py gate` does not fail for them, and holds
# later commits against the level after them. `tools/history.py accept` adds to it.
"""


@dataclass(frozen=True)
class Entry:
    """One accepted change."""

    case: str
    """A part of the ids that are meant, as `show` takes it."""
    commit: str
    """The whole hash."""
    metric: str
    """Or STATUS."""
    reason: str
    change: str = ""
    """What it was when it was accepted, in words."""
    machine: str = ""
    """On which; on all where it is empty."""

    def __str__(self) -> str:
        return f"{self.case} {self.metric} at {self.commit[:10]}"

    def speaks_of(self, series: Series, metric: str) -> bool:
        return metric == self.metric and self.case in series.id and self.machine in ("", series.machine)


def read_entries(path: Path) -> list[Entry]:
    """The entries of the file; none where it is missing or empty. Raises InputError with each problem's line."""
    if not path.exists() or (path.is_file() and not path.read_bytes().strip()):
        return []
    document = read(path)
    return _entries(document)


def _entries(document: Document) -> list[Entry]:
    problems = list(document.problems)
    data = document.data if document.data is not None else []
    if not isinstance(data, list):
        raise InputError([document.problem((), describe(data), "a list of accepted changes, `- case: ...` each")])
    for place, found in enumerate(data):
        problems += _problems(document, place, found)
    if problems:
        raise InputError(problems)
    return [Entry(**found) for found in data]


def _problems(document: Document, place: int, found: Any) -> Iterable[Problem]:
    if not isinstance(found, dict):
        yield document.problem((place,), describe(found), f"a mapping of {', '.join(_REQUIRED)}")
        return
    for key in found:
        if key not in _KEYS:
            yield document.problem(
                (place, key), f"the unknown key {key}", ", ".join(_KEYS), nearest(key, _KEYS), of_key=True
            )
    for key in _REQUIRED:
        if key not in found:
            yield document.problem((place,), f"no {key}", f"the key {key}, which is required")
    for key in _KEYS:
        if key in found and not (isinstance(found[key], str) and (found[key].strip() or key in ("change", "machine"))):
            yield document.problem((place, key), describe(found[key]), "text")
    commit, metric = found.get("commit"), found.get("metric")
    if isinstance(commit, str) and not _HASH.fullmatch(commit):
        yield document.problem((place, "commit"), describe(commit), "a whole hash, 40 digits")
    if isinstance(metric, str) and metric not in (STATUS, *METRICS):
        known = [STATUS, *METRICS]
        yield document.problem((place, "metric"), describe(metric), ", ".join(known), nearest(metric, known))


def add_entries(path: Path, entries: Sequence[Entry]) -> None:
    """Adds to the end of the file, whose other lines stay as they are; it is there whole or as it was before.

    Raises InputError where the file cannot be written or added to.
    """
    there = read_entries(path)
    text = path.read_text(encoding="utf-8") if path.exists() else _HEAD
    text += "" if not text or text.endswith("\n") else "\n"
    for entry in entries:
        given = {key: value for key in _KEYS if (value := getattr(entry, key))}
        text += "\n" + yaml.safe_dump([given], sort_keys=False, allow_unicode=True, width=110)
    target = path.resolve()
    draft = target.with_name(target.name + _PART)
    try:
        with draft.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if _understood(draft) != [*there, *entries]:
            raise InputError.plain(
                f"{path}: found a list in a form that nothing can be added to; allowed: an entry a line break apart, "
                "each beginning with `- ` at the start of its line"
            )
        draft.replace(target)
    except OSError as error:
        raise InputError.plain(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()


def _understood(path: Path) -> list[Entry]:
    try:
        return read_entries(path)
    except InputError:
        return []


class Acceptances:
    """Entries, and where in a series their commits are."""

    def __init__(self, entries: Sequence[Entry], repository: Repository | None) -> None:
        self.entries = entries
        self._repository = repository
        self._orders: dict[tuple[str, ...], dict[str, int]] = {}

    def match(self, series: Series, metric: str, ranges: Sequence[tuple[int, int]]) -> dict[int, list[Entry]]:
        """Which of ``ranges`` (the first and the last place that a change may have come with) are accepted.

        By place in ``ranges``. An entry takes the one whose range has its commit in it, or else ends or begins at the
        next point, as later values may move a change by one. Entries of one place speak of one change; those of two
        take one each while there is one.
        """
        waiting: dict[int, list[Entry]] = {}
        for entry in self.entries:
            if entry.speaks_of(series, metric) and (place := self.place(series, entry.commit)) is not None:
                waiting.setdefault(place, []).append(entry)
        found: dict[int, list[Entry]] = {}
        for reach, shared in ((0, False), (1, False), (1, True)):
            for place in list(waiting):
                apart = {
                    number: max(first - place, place - last, 0)
                    for number, (first, last) in enumerate(ranges)
                    if shared or number not in found
                }
                number = min(apart, key=lambda number: apart[number], default=None)
                if number is not None and apart[number] <= reach:
                    found.setdefault(number, []).extend(waiting.pop(place))
        return found

    def within(self, series: Series, entry: Entry) -> bool:
        """Whether the series has points on both sides of the entry's change, so that it would show there."""
        return (self.place(series, entry.commit) or 0) > 0

    def place(self, series: Series, commit: str) -> int | None:
        """The first point of the series that has ``commit`` in its past or is it; None where there is none."""
        return next((place for place, apart in enumerate(self._apart(series, commit)) if apart >= 0), None)

    def place_at_most(self, series: Series, commit: str) -> int | None:
        """The last point of the series that is ``commit`` or in its past; None where there is none."""
        past = [place for place, apart in enumerate(self._apart(series, commit)) if apart <= 0]
        return max(past, default=None)

    def _apart(self, series: Series, commit: str) -> list[float]:
        """Above 0 for each point of the series that lies after ``commit``, 0 at it, below before it; not a number where
        that is not known."""
        hashes = tuple(point.commit.hash for point in series.points)
        order = self._order((*hashes, commit)) if commit not in hashes else dict(zip(hashes, range(len(hashes))))
        return [order.get(name, math.nan) - order.get(commit, math.nan) for name in hashes]

    def _order(self, hashes: tuple[str, ...]) -> dict[str, int]:
        if hashes not in self._orders:
            known = self._repository.known(hashes) if self._repository else []
            self._orders[hashes] = {commit.hash: place for place, commit in enumerate(known)}
        return self._orders[hashes]
