"""What the page loads of one case when somebody asks for it, and the same as CSV: its whole history."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from fiabench.dashboard.digest import COLUMNS
from fiabench.dashboard.events import Event
from fiabench.dashboard.model import Model, kept
from fiabench.dashboard.script import key_of, packed, take
from fiabench.history.acceptance import STATUS
from fiabench.history.repository import Commit
from fiabench.history.series import Series
from fiabench.results.metrics import METRICS
from fiabench.results.words import essence

_REASON = 300
_FLAGS = 3
_QUOTED = re.compile(r'[",\n\r]')


def name_of(series: Series) -> str:
    """What its files are called by."""
    return key_of(series.machine, series.id)


class History:
    """A series' numbers in one array, from which its files are made."""

    def __init__(self, series: Series) -> None:
        self.series = series
        rows = [found.row if (found := kept(point)) is not None else None for point in series.points]
        empty = np.full((len(COLUMNS), 3), np.nan)
        self.values = np.stack([empty if row is None else row for row in rows])
        """[points, metrics, 3]"""
        there = ~np.isnan(self.values[:, :, 0]).all(axis=0)
        self.metrics = [name for name, place in COLUMNS.items() if there[place]]


def script(model: Model, history: History, events: Sequence[Event]) -> str:
    """The script file."""
    series = history.series
    runs: dict[str, int] = {}
    taken = [kept(point) for point in series.points]
    return take(
        f"cases/{name_of(series)}",
        {
            "machine": series.machine,
            "id": series.id,
            "label": model.labels[series.id],
            "case": {name: value for name, value in series.case.as_dict().items() if value not in ("", (), [])},
            "ran": series.ran,
            "at": [model.places[point.commit.hash] for point in series.points],
            "status": [point.status for point in series.points],
            "reasons": {
                str(place): " ".join(essence(point.reason).split())[:_REASON]
                for place, point in enumerate(series.points)
                if point.reason
            },
            "flags": {
                str(place): found.flags[:_FLAGS]
                for place, found in enumerate(taken)
                if found is not None and found.flags
            },
            "fingerprint": next((point.stack for point in series.points if point.stack), {}),
            "stack": [[place, point.changes] for place, point in enumerate(series.points) if point.changes],
            "metrics": {name: _packed(history.values[:, COLUMNS[name]]) for name in history.metrics},
            "run": [-1 if found is None else runs.setdefault(found.run, len(runs)) for found in taken],
            "place": [-1 if found is None else found.place for found in taken],
            "chunk": [-1 if found is None else found.chunk for found in taken],
            "runs": list(runs),
            "events": [_event(event) for event in events],
        },
    )


def _packed(values: np.ndarray) -> dict[str, str]:
    """The bounds are left out where they are the values themselves."""
    value, low, high = values.T
    if _is_bare(values):
        return {"v": packed(value)}
    return {"v": packed(value), "l": packed(low), "h": packed(high)}


def _is_bare(values: np.ndarray) -> bool:
    """Whether a metric, [points, 3], has no intervals."""
    return bool(np.array_equal(values[:, 0], values[:, 1], equal_nan=True)
                and np.array_equal(values[:, 0], values[:, 2], equal_nan=True))  # fmt: skip


def _event(event: Event) -> dict[str, Any]:
    change = event.change
    size = {} if change is None else {"change": change.magnitude, "score": round(float(change.score), 2)}
    return {
        "state": event.state,
        "metric": "" if event.metric == STATUS else event.metric,
        "first": event.first,
        "at": event.at,
        "until": event.until,
        "whose": event.whose,
        "said": event.said,
        **size,
    }


def table(history: History) -> str:
    """The history as CSV: a line a commit; beside a metric its interval, where it has one."""
    series = history.series
    columns, names = [], []
    for name in history.metrics:
        place, unit = COLUMNS[name], METRICS[name].unit
        columns.append(history.values[:, place, :1])
        names.append(f"{name} [{unit}]")
        if not _is_bare(history.values[:, place]):
            columns.append(history.values[:, place, 1:])
            names += [f"{name} low", f"{name} high"]
    numbers = np.hstack(columns) if columns else np.empty((len(series.points), 0))
    form = ",".join(["%.6g"] * numbers.shape[1])
    beside = _cells(safe(series.machine), safe(series.id))
    lines = [_cells("commit", "date", "subject", "machine", "case", "ran", "status", "reason", *names)]
    for point, row in zip(series.points, numbers.tolist()):
        after = _cells(point.ran, point.status, safe(point.reason))
        shown = (form % tuple(row)).replace("nan", "")
        lines.append(f"{_of_commit(point.commit)},{beside},{after}{',' if names else ''}{shown}")
    return "\n".join(lines) + "\n"


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
