"""The history of cases on the terminal: a spark line, a table of commits, and what stands out."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from typing import Any

from rich import box
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from fiabench.history.acceptance import Acceptances, Entry
from fiabench.history.blame import BOX
from fiabench.history.detecting import Judged, LevelChange
from fiabench.history.series import Point, Series
from fiabench.results import units
from fiabench.results.metrics import METRICS
from fiabench.results.naming import label, varying
from fiabench.results.words import essence

_BLOCKS, _PLAIN = "▁▂▃▄▅▆▇█", "_.-~=+*#"
_NONE, _PLAIN_NONE = "✗", "x"
_REACH = 0.2
_REASON = 160
"""Characters of a reason that stand in a table."""
_WORDS = 16
"""Columns that a subject or a status has at least."""
_INDENT = 4
_ENDLESS = 10_000
"""Columns of a terminal on which everything fits."""
_LEAST = 0.0005
"""Smaller relative changes read as none."""


def labels(found: Sequence[Series]) -> dict[str, str]:
    """A few words for each case, by id."""
    cases = {series.id: series.case for series in found}
    beside = varying(list(cases.values()))
    return {name: label(case, beside) for name, case in cases.items()}


def print_history(
    out: Console,
    found: Sequence[Series],
    metrics: Sequence[str],
    judged: Sequence[Judged],
    acceptances: Acceptances,
) -> None:
    """Each case: its spark lines, its table, what changed, and of what did not what would have been seen."""
    names = labels(found)
    for series in found:
        own = [one for one in judged if one.series is series]
        out.print(Text(f"{names[series.id]} on {series.machine}", style="bold"), Text(f"[{series.id}]", style="dim"))
        for said in series.ran:
            out.print(Text(said, style="bold"))
        for metric in metrics:
            if line := _spark_line(out, series, metric):
                out.print(line)
        for part in _commits(out, series, metrics, own):
            out.print(part)
        for said in events(series, own, acceptances):
            out.print(Text(said, style="yellow"))
        for one in own:
            if not one.changes and not one.suspects:
                out.print(Text(quiet(one), style="dim"))
        out.print()


def spark(values: Sequence[float | None], plain: bool) -> str:
    """A character for each of ``values``, the lowest at the bottom; a cross where there is none.

    Less than _REACH of the lowest value never fills the height: noise is not drawn as large as a change.
    """
    levels, none = (_PLAIN, _PLAIN_NONE) if plain else (_BLOCKS, _NONE)
    there = [value for value in values if value is not None]
    low = min(there, default=0.0)
    high = max([*there, low * (1 + _REACH)])
    scale = (len(levels) - 1) / (high - low) if high > low else 0.0
    return "".join(none if value is None else levels[round((value - low) * scale)] for value in values)


def is_plain(out: Console) -> bool:
    """Whether the terminal, or what the output is written to, shows ASCII alone."""
    return os.environ.get("TERM") == "dumb" or not out.encoding.lower().startswith("utf")


def _ascii(text: str) -> str:
    return text.replace("±", "+-").replace("µ", "u")


def _spark_line(out: Console, series: Series, metric: str) -> Text | None:
    found = [point.value(metric) for point in series.points]
    there = [value.value for value in found if value]
    if not there:
        return None
    declared, plain = METRICS[metric], is_plain(out)
    least, most = (units.human(value, declared.unit) for value in (min(there), max(there)))
    drawn = spark([value.value if value else None for value in found], plain)
    reach = f"{least} to {most}" if least != most else least
    failed = f", {_PLAIN_NONE if plain else _NONE} not measured" if len(there) < len(found) else ""
    said = f"{reach}{failed}"
    return Text(f"{declared.label:>12} {drawn}  {_ascii(said) if plain else said}")


def _commits(
    out: Console, series: Series, metrics: Sequence[str], judged: Sequence[Judged]
) -> Iterator[RenderableType]:
    """The commits as a table, or on a terminal too narrow for it some lines for each."""
    plain = is_plain(out)
    shown = [name for name in metrics if any(point.value(name) for point in series.points)]
    titles = [METRICS[name].label for name in shown]
    steps = {one.metric: {change.at for change in one.changes} for one in judged}
    numbers = [
        [Text(_number(point, name, plain), "bold yellow" if index in steps[name] else "") for name in shown]
        for index, point in enumerate(series.points)
    ]
    table = Table(box=box.ASCII if plain or not out.is_terminal else box.ROUNDED)
    table.add_column("commit", no_wrap=True)
    table.add_column("date", no_wrap=True)
    table.add_column("subject", overflow="fold", min_width=_WORDS)
    for title, column in zip(titles, zip(*numbers)):
        width = max(text.cell_len for text in (Text(title), *column))  # which no_wrap alone does not keep free
        table.add_column(title, justify="right", no_wrap=True, min_width=width)
    table.add_column("status", overflow="fold", min_width=_WORDS)
    for point, own in zip(series.points, numbers):
        if point.changes:
            table.add_row("", "", Text(f"now {_changed(point)}", style="cyan"), *("" for _ in shown), "")
        commit = point.commit
        table.add_row(commit.short, commit.date, Text(commit.subject), *own, _status(point))
    if table.__rich_measure__(out, out.options.update(max_width=_ENDLESS)).minimum <= out.width:
        yield table
    else:
        yield from _stacked(series, titles, numbers)


def _stacked(series: Series, titles: Sequence[str], numbers: Sequence[Sequence[Text]]) -> Iterator[RenderableType]:
    for point, own in zip(series.points, numbers):
        if point.changes:
            yield Text(f"now {_changed(point)}", style="cyan")
        yield Text(f"{point.commit.short} {point.commit.date} {point.commit.subject}")
        said = [Text.assemble(f"{title} ", number) for title, number in zip(titles, own) if number]
        yield Padding(Text(", ").join([*said, _status(point)]), (0, 0, 0, _INDENT))


def _number(point: Point, metric: str, plain: bool) -> str:
    found = point.value(metric)
    if found is None:
        return ""
    text = units.human(found.value, METRICS[metric].unit)
    if found.high > found.low and found.value:
        text += f" {units.spread(found.low, found.high, found.value)}"
    return _ascii(text) if plain else text


def _status(point: Point) -> Text:
    if point.measured:
        flags = point.measurement.flags if point.measurement else []
        return Text(f"{point.status}{'; doubtful' if flags else ''}", "dim" if point.status == "ok" else "yellow")
    reason = " ".join(essence(point.reason).split())
    reason = reason if len(reason) <= _REASON else f"{reason[:_REASON]}..."
    return Text(f"{point.status.replace('_', ' ')}: {reason}" if reason else point.status, "red")


def _changed(point: Point) -> str:
    return ", ".join(f"{name} {now} (was {before})" for name, before, now in point.changes)


def events(series: Series, judged: Sequence[Judged], acceptances: Acceptances) -> list[str]:
    """What stands out in the order of the commits, a sentence each."""
    found = [(first, _ending(series, first, last)) for first, last in series.endings()]
    for one in judged:
        found += [(change.at, said) for change, said in _changes(one, acceptances)]
    return [text for _, text in sorted(found, key=lambda pair: pair[0])]


def _changes(judged: Judged, acceptances: Acceptances) -> Iterator[tuple[LevelChange, str]]:
    for change, entry in accepted(judged, acceptances):
        said = f"{sentence(judged, change)}{f'; accepted: {entry.reason}' if entry else ''}"
        if not change.flagged:
            said += "; not sure: `confirm` settles it"
        elif change.suspect:
            said += "; fresh: `confirm` settles it"
        yield change, said


def accepted(judged: Judged, acceptances: Acceptances) -> list[tuple[LevelChange, Entry | None]]:
    """Each change with the entry that accepts it."""
    changes = [*judged.changes, *judged.suspects]
    found = acceptances.match(judged.series, judged.metric, [(change.first, change.at) for change in changes])
    return [(change, found[number][0] if number in found else None) for number, change in enumerate(changes)]


def sentence(judged: Judged, change: LevelChange) -> str:
    """`total +50 % at 1b4caf3d1b Read the head counts once`, with what there is to add to it."""
    points = judged.series.points
    said = f"{METRICS[judged.metric].label} {units.relative(change.magnitude)} at {points[change.at].commit}"
    if change.high > change.low:
        said += f" ({units.relative(change.low)} to {units.relative(change.high)})"
    said += _or_since(judged.series, change.first, change.at)
    if change.fault.whose == BOX:
        said += f", by the box: {change.fault.why}"
    elif change.fault.open:
        said += f", undecided whose: {change.fault.why}"
    return said


def quiet(judged: Judged) -> str:
    """Of a metric in which nothing changed what would have been seen, or why nobody knows."""
    label = METRICS[judged.metric].label
    if judged.abstains:
        return f"{label}: not judged: {judged.abstains}"
    seen = ""
    if judged.visible is not None:
        least = units.relative(judged.visible) if judged.visible >= _LEAST else "any change"
        seen = f"; {least} for good would have been seen"
    return f"{label}: {'nothing new' if judged.changes else 'no change'}{seen}"


def _ending(series: Series, first: int, last: int) -> str:
    points = series.points
    reason = " ".join(essence(points[first].reason).split())
    status = points[first].status.replace("_", " ")
    since = f"since {points[first].commit}" if first else f"from the first commit, {points[first].commit}"
    since += _or_since(series, first, first)
    over = last + 1
    until = f", until {points[over].commit}{series.or_since(over, over)}" if over < len(points) else ", to this day"
    return f"{status} {since}{until}: {reason}"


def _or_since(series: Series, first: int, at: int) -> str:
    hint = " (`bisect` finds out)" if series.unmeasured(first, at) else ""
    return f"{series.or_since(first, at)}{hint}"


def as_dicts(
    found: Sequence[Series], metrics: Sequence[str], judged: Sequence[Judged], acceptances: Acceptances
) -> list[dict[str, Any]]:
    """For JSON: each case with its commits, oldest first, and what stands out."""
    names = labels(found)
    own = {id(series): [one for one in judged if one.series is series] for series in found}
    return [
        {
            "machine": series.machine,
            "id": series.id,
            "label": names[series.id],
            "ran": series.ran,
            "commits": [_point(point, metrics) for point in series.points],
            "judged": [
                {"metric": one.metric, "abstains": one.abstains, "visible": one.visible} for one in own[id(series)]
            ],
            "steps": [
                step_dict(one, change, entry)
                for one in own[id(series)] for change, entry in accepted(one, acceptances)
            ],
            "failures": [
                {"status": series.points[first].status, "first": series.points[first].commit.hash,
                 "unmeasured": series.unmeasured(first, first), "last": series.points[last].commit.hash,
                 "reason": series.points[first].reason}
                for first, last in series.endings()
            ],
        }
        for series in found
    ]  # fmt: skip


def step_dict(judged: Judged, change: LevelChange, entry: Entry | None) -> dict[str, Any]:
    """A change for JSON; `first` and `commit` are the commits between which it came, `before` the one before them."""
    before, first, at = (judged.series.points[place].commit.hash for place in (change.before, change.first, change.at))
    return {
        "metric": judged.metric,
        "before": before,
        "first": first,
        "commit": at,
        "unmeasured": judged.series.unmeasured(change.first, change.at),
        "ratio": 1 + change.magnitude,
        "low": _finite(1 + change.low),
        "high": _finite(1 + change.high),
        "score": change.score,
        "flagged": change.flagged,
        "suspect": change.suspect,
        "worse": judged.worse(change),
        "fault": change.fault._asdict(),
        "accepted": entry.reason if entry else None,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _point(point: Point, metrics: Sequence[str]) -> dict[str, Any]:
    values = {name: point.value(name) for name in metrics}
    return {
        "commit": point.commit.hash,
        "date": point.commit.date,
        "subject": point.commit.subject,
        "status": point.status,
        "reason": point.reason,
        "metrics": {name: value._asdict() for name, value in values.items() if value},
        "changes": [{"fact": name, "before": before, "now": now} for name, before, now in point.changes],
    }
