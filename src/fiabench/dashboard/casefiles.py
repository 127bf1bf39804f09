"""What the page loads of one case when somebody asks for it: its whole history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fiabench.dashboard.digest import COLUMNS
from fiabench.dashboard.events import Event
from fiabench.dashboard.model import Model, kept
from fiabench.dashboard.script import key_of, packed, take
from fiabench.history.acceptance import STATUS
from fiabench.history.series import Series
from fiabench.results.words import essence

_REASON = 300
_FLAGS = 3


def name_of(series: Series) -> str:
    """What its files are called by."""
    return key_of(series.machine, series.id)


class History:
    """A series' numbers in one array, from which its files are made."""

    def __init__(self, series: Series) -> None:
        self.series = series
        self.kept = [kept(point) for point in series.points]
        self.values = np.full((len(series.points), len(COLUMNS), 3), np.nan)
        """[points, metrics, 3]"""
        for place, found in enumerate(self.kept):
            if found is not None:
                self.values[place] = found.row
        value, low, high = np.moveaxis(self.values, 2, 0)
        nowhere = np.isnan(value)
        there, bare = ~nowhere.all(axis=0), (nowhere | (value == low) & (value == high)).all(axis=0)
        self.metrics = [name for name, place in COLUMNS.items() if there[place]]
        self.bare = {name for name, place in COLUMNS.items() if bare[place]}
        """Metrics without intervals: their bounds are the values themselves."""


def script(model: Model, history: History, events: Sequence[Event]) -> str:
    """The script file."""
    series = history.series
    runs: dict[str, int] = {}
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
                for place, found in enumerate(history.kept)
                if found is not None and found.flags
            },
            "fingerprint": next((point.stack for point in series.points if point.stack), {}),
            "stack": [[place, point.changes] for place, point in enumerate(series.points) if point.changes],
            "metrics": {name: _packed(history, name) for name in history.metrics},
            "run": [-1 if found is None else runs.setdefault(found.run, len(runs)) for found in history.kept],
            "place": [-1 if found is None else found.place for found in history.kept],
            "chunk": [-1 if found is None else found.chunk for found in history.kept],
            "runs": list(runs),
            "events": [_event(event) for event in events],
        },
    )


def _packed(history: History, metric: str) -> dict[str, str]:
    value, low, high = history.values[:, COLUMNS[metric]].T
    return {"v": packed(value)} | ({} if metric in history.bare else {"l": packed(low), "h": packed(high)})


def _event(event: Event) -> dict[str, Any]:
    change = event.change
    size = {} if change is None else {"change": change.magnitude, "score": round(float(change.score), 2)}
    return {
        "state": event.state,
        "metric": "" if event.metric == STATUS else event.metric,
        "at": event.at,
        "or": event.series.or_since(event.first, event.at),
        "until": event.until,
        "whose": event.whose,
        "said": event.said,
        **size,
    }
