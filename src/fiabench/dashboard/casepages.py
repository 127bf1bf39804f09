"""A case's page for those whose browser runs no scripts: its last commits as a table."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from fiabench.dashboard.casefiles import History, name_of
from fiabench.dashboard.changes import SIGNS, commit_link, named_effect
from fiabench.dashboard.digest import COLUMNS
from fiabench.dashboard.events import Event
from fiabench.dashboard.markup import csv_link, marks_key, page, table, text
from fiabench.dashboard.model import Model
from fiabench.history.repository import Commit
from fiabench.history.series import Point
from fiabench.results import cells, units
from fiabench.results.metrics import METRICS
from fiabench.results.words import essence

LAST = 100
"""Commits in the table; the CSV has all."""
SHOWN = ("total", "kernel", "all_to_all", "wait", "peak_memory")
_REASON = 200


def case_page(model: Model, history: History, events: Sequence[Event]) -> str:
    series = history.series
    key = name_of(series)
    metrics = [name for name in SHOWN if name in history.metrics]
    changed = {event.at: f"{SIGNS[event.state]} {event.state}: {named_effect(event) or event.said}" for event in events}
    start = max(0, len(series.points) - LAST)
    rows = [
        _row(model, point, values, metrics, changed.get(start + place, ""), cells.marks(found) if found else "")
        for place, (point, found, values) in enumerate(
            zip(series.points[start:], history.kept[start:], history.values[start:].tolist())
        )
    ]
    marked = cells.meanings([found for found in history.kept[start:] if found], "with charts and samples")
    count = len(series.points)
    said = f"the last {LAST} of {count} commits" if count > LAST else f"{count} commits"
    head = ["commit", "date", "subject", *(METRICS[name].label for name in metrics), "status", "what changed"]
    title = f"{model.labels[series.id]} on {series.machine}"
    ran = "".join(f'<p class="ran">{text(said)}</p>' for said in series.ran)
    body = (
        f'<header><h1>{text(title)}</h1>{ran}<p><a href="../index.html">all cases</a> · '
        f'<a href="../index.html#view=case&amp;case={key}">with charts and samples</a></p></header><main id="main">'
        f"<p><code>{text(series.id)}</code></p>{csv_link(f'{key}.csv', 'all commits of this case')}"
        f"{table(head, reversed(rows), f'{said}, the newest first')}{marks_key(marked)}</main>"
    )
    return page(f"{title} - {model.name}", body, "../")


def _row(
    model: Model, point: Point, values: list[list[float]], metrics: Sequence[str], changed: str, marks: str
) -> str:
    commit = point.commit
    numbers = "".join(f"<td>{_number(values[COLUMNS[name]], METRICS[name].unit, marks)}</td>" for name in metrics)
    status = point.status.replace("_", " ")
    if point.reason:
        status += f": {' '.join(essence(point.reason).split())[:_REASON]}"
    if point.changes:
        turned = ", ".join(f"{name} {old} -> {new}" for name, old, new in point.changes)
        changed = " · ".join(filter(None, [changed, f"stack: {turned}"]))
    return f"<tr>{_of_commit(model.link, commit)}{numbers}<td>{text(status)}</td><td>{text(changed)}</td></tr>"


@lru_cache(maxsize=10_000)
def _of_commit(link: str, commit: Commit) -> str:
    """Its cells: the same on every case's page."""
    named = commit_link(link, commit._replace(subject=""))
    return f'<th scope="row">{named}</th><td>{text(commit.date)}</td><td>{text(commit.subject)}</td>'


def _number(found: list[float], unit: str, marks: str) -> str:
    value, low, high = found
    if value != value:
        return ""
    spread = f" {units.spread(low, high, value)}" if high > low and value else ""
    return f"{units.human(value, unit)}{spread}{marks}"
