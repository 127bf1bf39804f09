"""The history of each case as CSV. A table that only grew since it was written is only written on."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fiabench.dashboard.casefiles import History, name_of
from fiabench.dashboard.digest import COLUMNS, Kept
from fiabench.dashboard.keeping import write_whole
from fiabench.history.repository import Commit
from fiabench.history.series import Point
from fiabench.results.cells import marks
from fiabench.results.metrics import METRICS

_FORMAT = 2
"""Of the tables: another number, and all are written anew."""
_INDEX = "tables.json"
_QUOTED = re.compile(r'[",\n\r]')


class Written(NamedTuple):
    """What is known of a table."""

    lines: int
    size: int
    """In bytes: a file of another size was cut short or is somebody else's."""
    mark: str
    """Of its head and where each line came from, in order."""


class Tables:
    """The tables in ``folder``, which whoever removes it loses only time by."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            there = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
            self._known = {name: Written(*written) for name, written in there.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            self._known = {}  # nothing yet, or cut short: every table is written anew

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.csv"

    def write(self, history: History) -> Written:
        """Writes what the table lacks, be it all of it, as another process may do: :meth:`close` notes it."""
        points, name = history.series.points, name_of(history.series)
        path, known = self.path(name), self._known.get(name)
        head, sources = _head(history), list(map(_source, points, history.kept))
        mark = hashlib.sha256(f"{_FORMAT}\0{head}\0{history.series.machine}\0{history.series.id}".encode())
        begin = known.lines if known is not None and known.lines <= len(points) else 0
        mark.update("".join(sources[:begin]).encode("utf-8", "surrogatepass"))
        there = known is not None and mark.hexdigest() == known.mark and path.exists()
        mark.update("".join(sources[begin:]).encode("utf-8", "surrogatepass"))
        if known is None or not there or path.stat().st_size != known.size:
            begin = 0
        self.folder.mkdir(parents=True, exist_ok=True)
        with path.open("a" if begin else "w", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines([*([] if begin else [head]), *_lines(history, begin)])
        return Written(len(points), path.stat().st_size, mark.hexdigest())

    def close(self, written: Mapping[str, Written]) -> None:
        """Notes what is there, and removes the tables of cases that are gone."""
        if written != self._known:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(self.folder / _INDEX, json.dumps(written))
        for path in self.folder.glob("*.csv"):
            if path.stem not in written:
                path.unlink()


def _head(history: History) -> str:
    names = []
    for name in history.metrics:
        names.append(f"{name} [{METRICS[name].unit}]")
        if name not in history.bare:
            names += [f"{name} low", f"{name} high"]
    return _cells("commit", "date", "subject", "machine", "case", "ran", "status", "marks", "reason", *names) + "\n"


def _source(point: Point, found: Kept | None) -> str:
    """What a line is told by, shorter than the line: a run's measurement, or why there is none."""
    of_commit = point.commit.hash
    return f"{of_commit} {found.run} {found.place}\n" if found is not None else f"{of_commit} {point.reason}\n"


def _lines(history: History, begin: int) -> Iterator[str]:
    """A line a commit, from the point ``begin`` on; beside a metric its interval, where it has one."""
    series = history.series
    parts = [history.values[begin:, COLUMNS[name], : 1 if name in history.bare else 3] for name in history.metrics]
    numbers = np.hstack(parts) if parts else np.empty((len(series.points) - begin, 0))
    form = "".join([",%.7g"] * numbers.shape[1])
    beside = _cells(safe(series.machine), safe(series.id))
    for point, found, row in zip(series.points[begin:], history.kept[begin:], numbers.tolist()):
        after = _cells(point.ran, point.status, marks(found) if found else "", safe(point.reason))
        yield f"{_of_commit(point.commit)},{beside},{after}{(form % tuple(row)).replace('nan', '')}\n"


@lru_cache(maxsize=10_000)
def _of_commit(commit: Commit) -> str:
    """Its cells: the same in every case's table."""
    return _cells(commit.hash, commit.date, safe(commit.subject))


@lru_cache(maxsize=10_000)
def _cells(*cells: str) -> str:
    """As csv has them; most need no quotes."""
    return ",".join('"' + cell.replace('"', '""') + '"' if _QUOTED.search(cell) else cell for cell in cells)


def safe(text: str) -> str:
    """Text that a spreadsheet takes for no formula: a commit's subject is anybody's."""
    flat = " ".join(text.split())
    return f"'{flat}" if flat[:1] in tuple("=+-@") else flat
