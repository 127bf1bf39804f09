"""What the pages need of a run directory, so that each is read once: every metric's value, without the samples.

A digest is a run whose measurements are :class:`Kept`: everything of :mod:`fiabench.history` takes it for the run.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import numpy as np

from fiabench.cases.case import Case
from fiabench.cases.errors import InputError
from fiabench.dashboard.script import key_of
from fiabench.history.series import stack_of
from fiabench.results import words
from fiabench.results.environment import said_of
from fiabench.results.measurement import STATUSES, Measurement
from fiabench.results.metrics import METRICS
from fiabench.results.rundir import CASES, Run, read_run

COLUMNS = {name: place for place, name in enumerate(METRICS)}
"""Metric to its place in a digest's values."""
_PLACES = {name: slice(3 * place, 3 * place + 3) for name, place in COLUMNS.items()}
_BLANK = [math.nan] * (3 * len(COLUMNS))
CHUNK = 100
"""Cases whose samples share a file."""
_REASON = 2000
"""Characters of a reason that are kept: a traceback's are told by its last lines, and the run directory has all."""


class Entries(Mapping[str, dict[str, float]]):
    """A measurement's metrics, each made when it is asked for: of half a million a page asks for few."""

    __slots__ = ("_row",)

    def __init__(self, row: np.ndarray) -> None:
        self._row = row

    def __getitem__(self, name: str) -> dict[str, float]:
        value, low, high = self._row[COLUMNS[name]].tolist()
        if value != value:
            raise KeyError(name)
        return {"value": value, "low": low, "high": high}

    def __iter__(self) -> Iterator[str]:
        return (name for name, place in COLUMNS.items() if not math.isnan(self._row[place, 0]))

    def __len__(self) -> int:
        return sum(1 for _ in self)


_KINDS = {
    name: {"int": int, "str": str}.get(getattr(kind, "__forward_arg__", str(kind)), object)
    for name, kind in Case.__annotations__.items()
}
"""What the fields of a case are."""
_NONE: dict[str, Any] = {}
_NOT = (math.nan, math.nan, math.nan)


class Kept(Measurement):
    """A measurement without its samples."""

    check, samples, session, sessions = _NONE, _NONE, 0, ()  # type: ignore[assignment]  # nobody adds to them

    def __init__(self, run: str, place: int, about: dict[str, Any], line: dict[str, Any], row: np.ndarray) -> None:
        self.run = run
        """The key of its run, which the files with its samples are named by."""
        self.place = place
        """In the run."""
        self.row = row
        """[metrics, 3]: value, low, high by :data:`COLUMNS`; NaN where there is none."""
        self.id, self.case = about["id"], about["case"]
        self.status, self.reason = line["status"], line.get("reason", "")
        self.timing = line.get("timing", _NONE)
        self.metrics = cast("dict[str, Any]", Entries(row))

    def bounds(self, metric: str) -> tuple[float, float, float] | None:
        place = COLUMNS.get(metric)
        value, low, high = self.row[place].tolist() if place is not None else _NOT
        return (value, low, high) if value == value else None

    @property
    def chunk(self) -> int:
        return self.place // CHUNK


class Digest:
    """A run's header, its lines in short, and their values."""

    def __init__(self, key: str, header: dict[str, Any], lines: list[dict[str, Any]], values: np.ndarray) -> None:
        self.key, self.header, self.lines, self.values = key, header, lines, values

    def run(self, path: Path, cases: dict[str, dict[str, Any]]) -> Run:
        """As :mod:`fiabench.history` takes it; ``cases`` hold `id` and `case` by the lines' `case`."""
        kept = [
            Kept(self.key, place, cases[line["case"]], line, row)
            for place, (line, row) in enumerate(zip(self.lines, self.values))
        ]
        return Run(path, self.header, list(kept))


def read(path: Path, known: dict[str, dict[str, Any]]) -> tuple[Run, list[str]]:
    """A run directory, and what of it is passed over, in words. Raises InputError where nothing of it can be used.

    ``known`` are cases by id that need no second look; those of the run are added.
    """
    run = read_run(path)
    _check_header(path, run.header)
    notices = [f"{path}: the last line of {CASES} is cut short and is passed over"] if _cut_short(path) else []
    seen: set[tuple[str, int]] = set()
    lines = []
    for number, line in enumerate(run.lines, start=1):
        problem = _problem(line, known)
        if not problem and (line.id, line.session) in seen:
            problem = f"{line.id} is in the run already; the first one counts"
        if problem:
            notices.append(f"{path}: measurement {number} is passed over: {problem}")
            continue
        seen.add((line.id, line.session))
        for name in _odd(line.metrics):
            notices.append(f"{path}: measurement {number}: {name} is no finite number and is passed over")
            del line.metrics[name]
        lines.append(line)
    clean = Run(path, run.header, lines)
    try:
        clean.measurements  # noqa: B018  # brings sessions together, and keeps what comes of it
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError.plain(f"{path}: its sessions do not fit together ({type(error).__name__}: {error})") from error
    return clean, notices


def _cut_short(path: Path) -> bool:
    """Whether whoever wrote the run was ended within a line, or the disk was full."""
    try:
        with (path / CASES).open("rb") as file:
            if not file.seek(0, os.SEEK_END):
                return False
            file.seek(-1, os.SEEK_END)
            return file.read() != b"\n"
    except OSError:
        return False


def digest(run: Run, key: str) -> tuple[Digest, dict[str, dict[str, Any]]]:
    """The digest of a run as :func:`read` gives it, and the `id` and `case` of its lines by key."""
    measurements = run.measurements
    numbers: list[float] = []
    cases, lines = {}, []
    for line in measurements:
        numbers += _row(line.metrics) if line.measured else _BLANK
        name = key_of(line.id)
        cases[name] = {"id": line.id, "case": line.case}
        lines.append({"case": name, "status": line.status} | _said(line))
    header: dict[str, Any] = {name: run.header.get(name) for name in ("created", "finished", "environment", "options")}
    sweep = run.header.get("sweep")
    header["commit"] = _commit(run)
    told: dict[str, Any] = sweep if isinstance(sweep, dict) else {}
    projects = told.get("projects")
    header["sweep"] = {name: str(told[name]) for name in ("name", "profile") if told.get(name)}
    header["sweep"]["projects"] = [str(name) for name in projects] if isinstance(projects, dict) else []
    values = np.array(numbers, dtype=float).reshape(len(measurements), len(COLUMNS), 3)
    return Digest(key, header, lines, values), cases


def _commit(run: Run) -> str:
    """What was measured, where the run says it: a project's commit, else this engine's."""
    projects = (line.timing.get("projects") for line in run.lines)
    origins = [origin for found in projects if isinstance(found, dict) for origin in found.values()]
    commits = {str(origin["commit"]) for origin in origins if isinstance(origin, dict) and origin.get("commit")}
    if origins:
        return commits.pop() if len(commits) == 1 else ""
    return str(run.environment.get("commit") or "")


def _said(line: Measurement) -> dict[str, Any]:
    said: dict[str, Any] = {"reason": line.reason[:_REASON]} if line.reason else {}
    marks = ("emulated", "oversubscribed", "host_bound")
    timing: dict[str, Any] = {name: True for name in marks if line.timing.get(name)}
    if line.flags:
        timing["flags"] = [str(flag)[:200] for flag in line.flags[:5]]
    return said | ({"timing": timing} if timing else {})


def _row(metrics: dict[str, Any]) -> list[float]:
    """The metrics in their places; those of a newer engine have none."""
    row = _BLANK[:]
    for name, entry in metrics.items():
        place = _PLACES.get(name)
        if place is not None:
            value = entry["value"]
            row[place] = value, entry.get("low", value), entry.get("high", value)
    return row


def _odd(metrics: dict[str, Any]) -> list[str]:
    """The metrics that are no finite numbers."""
    found = []
    for name, entry in metrics.items():
        try:
            value = entry["value"]
            whole = value + entry.get("low", value) + entry.get("high", value)
            if not math.isfinite(whole):
                found.append(name)
        except (TypeError, KeyError, AttributeError, OverflowError):
            found.append(name)
    return found


def _check_header(path: Path, header: dict[str, Any]) -> None:
    """Raises InputError where the header lacks what histories go by."""
    try:
        for name in ("created", "finished"):
            if header.get(name) is not None and datetime.fromisoformat(header[name]).tzinfo is None:
                raise ValueError(f"{name} without a time zone")
        if header.get("created") is None:
            raise ValueError("no created")
        said_of(header["environment"], False)
        stack_of(header["environment"], True)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        said = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise InputError.plain(f"{path}: its run.json is none of fiabench's ({said})") from error


def _problem(line: Measurement, known: dict[str, dict[str, Any]]) -> str:
    """Why a measurement cannot be used; empty where it can."""
    if not isinstance(line.id, str) or not line.id:
        return "it has no id"
    if line.status not in STATUSES:
        return f"found status {line.status!r}"
    if not isinstance(line.reason, str):
        return "its reason is no text"
    parts = (line.case, line.timing, line.metrics, line.check, line.samples)
    if not all(isinstance(part, dict) for part in parts):
        return "found something else than fields"
    if not isinstance(line.session, int):
        return f"found session {line.session!r}"
    if known.get(line.id) != line.case:
        problem = _problem_of_case(line)
        if problem:
            return problem
        known[line.id] = line.case
    flags = line.timing.get("flags", [])
    return "" if isinstance(flags, list) else "its flags are no list"


def _problem_of_case(line: Measurement) -> str:
    try:
        case = words.described(line)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return f"its case cannot be understood ({error})"
    odd = [name for name, kind in _KINDS.items() if not isinstance(getattr(case, name), kind)]
    if odd:
        return f"found {odd[0]} {getattr(case, odd[0])!r} in its case"
    return ""
