"""The page that `asv publish` leaves as index.html: tables and lines, in one file that loads and runs nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape
from typing import NamedTuple

from asv import util

_WIDTH, _HEIGHT, _MARGIN = 240, 56, 6
_STYLE = """
:root { color-scheme: light dark; --line: #1f6feb; --band: #1f6feb33; --failed: #c62828; --faint: #8884; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
h1, h2, h3 { line-height: 1.2; } h2 { margin-top: 2.5rem; } h3 { margin: 1.5rem 0 .5rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; }
th, td { border: 1px solid var(--faint); padding: .3rem .6rem; text-align: left; vertical-align: top; }
td.number { text-align: right; white-space: nowrap; } code { font-size: .92em; } .failed { color: var(--failed); }
svg polyline { fill: none; stroke: var(--line); stroke-width: 1.5; } svg .band { fill: var(--band); }
svg circle { fill: var(--line); } svg .cross { stroke: var(--failed); stroke-width: 1.5; }
.note { opacity: .8; }
"""


class Point(NamedTuple):
    """A case's value at a commit."""

    commit: str
    value: float | None
    """In seconds or bytes; None where the case failed."""
    low: float | None = None
    high: float | None = None
    """Of the interval, where there is one."""


@dataclass
class Table:
    """One metric of the cases of one setting: by sequence length and head shard, each a line over the commits."""

    metric: str
    unit: str
    lines: dict[tuple[str, str], list[Point]] = field(default_factory=dict)
    """Sequence length and head shard to the points, oldest first."""


class Commit(NamedTuple):
    """A commit that has results."""

    hash: str
    date: str
    subject: str
    reasons: list[str]
    """Why something of it failed."""


@dataclass
class Section:
    """What one machine, in one environment, has of the cases that differ in length and head shard alone."""

    title: str
    tables: list[Table]
    ran: list[str]
    """What the machine's newest run ran on, and what its numbers must not be taken for."""


def render(project: str, commits: list[Commit], sections: Iterable[Section]) -> str:
    """The page. ``commits`` are those of all lines, oldest first."""
    body = "".join(_section(section, commits) for section in sections)
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        # Browsers ask a server for /favicon.ico unless a page says that it has none.
        f"<link rel='icon' href='data:,'><title>{escape(project)}: history</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(project)}: history</h1>"
        "<p class='note'>Medians by commit, oldest left, the line's band asv's interval; a cross is a commit that "
        "failed. Each picture has its own scale. Lower is better everywhere. asv's own pages, with zooming and "
        "regressions, are in <a href='asv.html'>asv.html</a>: <strong>these need the internet</strong>, from which asv "
        f"loads its scripts.</p>{body or '<p>No results of sweeps yet.</p>'}{_commits(commits)}</body></html>\n"
    )


def _section(section: Section, commits: list[Commit]) -> str:
    tables = "".join(_table(table) + _numbers(table, commits) for table in section.tables)
    ran = "".join(f"<p><strong>{escape(said)}</strong></p>" for said in section.ran)
    return f"<h2>{escape(section.title)}</h2>{ran}{tables}"


def _table(table: Table) -> str:
    lengths = list(dict.fromkeys(length for length, _ in table.lines))
    shards = list(dict.fromkeys(shard for _, shard in table.lines))
    head = "".join(f"<th scope='col'>{escape(shard)}</th>" for shard in shards)
    rows = ""
    for length in lengths:
        cells = "".join(f"<td>{_cell(table.lines.get((length, shard), []), table.unit)}</td>" for shard in shards)
        rows += f"<tr><th scope='row'>{escape(length)}</th>{cells}</tr>"
    return (
        f"<h3>{escape(table.metric)}</h3><div class='scroll'><table class='lines' data-metric='{escape(table.metric)}'>"
        f"<tr><th>tokens</th>{head}</tr>{rows}</table></div>"
    )


def _cell(points: list[Point], unit: str) -> str:
    if not points:
        return ""
    last = points[-1]
    word = "<span class='failed'>failed</span>" if last.value is None else escape(util.human_value(last.value, unit))
    return f"{_picture(points, unit)}<br>{word}"


def _picture(points: list[Point], unit: str) -> str:
    """A line over the commits as SVG, its gaps where a commit failed."""
    ends = [end for point in points for end in (point.value, point.low, point.high) if end is not None]
    least, most = min(ends, default=0.0), max(ends, default=1.0)
    span = (most - least) or abs(most) or 1.0
    across = _WIDTH - 2 * _MARGIN

    def x(index: int) -> float:
        return _MARGIN + across * (index / (len(points) - 1) if len(points) > 1 else 0.5)

    def y(value: float) -> float:
        return _HEIGHT - _MARGIN - (_HEIGHT - 2 * _MARGIN) * (value - least) / span

    parts = []
    for run in _runs(points):
        band = [f"{x(at):.1f},{y(p.high):.1f}" for at, p in run if p.high is not None]
        band += [f"{x(at):.1f},{y(p.low):.1f}" for at, p in reversed(run) if p.low is not None]
        medians = " ".join(f"{x(at):.1f},{y(p.value):.1f}" for at, p in run if p.value is not None)
        parts.append(f"<polygon class='band' points='{' '.join(band)}'/><polyline points='{medians}'/>")
    for index, point in enumerate(points):
        said = f"{point.commit[:10]}: {_said(point, unit)}"
        if point.value is None:
            left, right, low, high = x(index) - 3, x(index) + 3, _HEIGHT - _MARGIN, _HEIGHT - _MARGIN - 6
            strokes = f"M{left:.1f} {high}L{right:.1f} {low}M{left:.1f} {low}L{right:.1f} {high}"
            parts.append(f"<path class='cross' d='{strokes}'><title>{escape(said)}</title></path>")
        else:
            circle = f"<circle cx='{x(index):.1f}' cy='{y(point.value):.1f}' r='2'>"
            parts.append(f"{circle}<title>{escape(said)}</title></circle>")
    return (
        f"<svg role='img' width='{_WIDTH}' height='{_HEIGHT}' viewBox='0 0 {_WIDTH} {_HEIGHT}'>{''.join(parts)}</svg>"
    )


def _runs(points: list[Point]) -> list[list[tuple[int, Point]]]:
    """The measured points with their places, in stretches without a failure."""
    found: list[list[tuple[int, Point]]] = [[]]
    for index, point in enumerate(points):
        if point.value is None:
            found.append([])
        else:
            found[-1].append((index, point))
    return [run for run in found if run]


def _numbers(table: Table, commits: list[Commit]) -> str:
    """The same as numbers, folded away."""
    by_case = {case: {point.commit: point for point in points} for case, points in table.lines.items()}
    head = "".join(f"<th>{escape(length)}, {escape(shard)}</th>" for length, shard in by_case)
    rows = ""
    for commit in commits:
        found = [points.get(commit.hash) for points in by_case.values()]
        if any(found):
            cells = "".join(
                f"<td class='number'>{escape(_said(point, table.unit)) if point else ''}</td>" for point in found
            )
            rows += f"<tr><td><code>{commit.hash[:10]}</code></td>{cells}</tr>"
    return (
        f"<details><summary>{escape(table.metric)} in numbers</summary><div class='scroll'><table>"
        f"<tr><th>commit</th>{head}</tr>{rows}</table></div></details>"
    )


def _said(point: Point, unit: str) -> str:
    if point.value is None:
        return "failed"
    text = str(util.human_value(point.value, unit))
    if point.low is None or point.high is None:
        return text
    return f"{text} ({util.human_value(point.low, unit)} to {util.human_value(point.high, unit)})"


def _commits(commits: list[Commit]) -> str:
    rows = ""
    for commit in commits:
        reasons = "".join(f"<div class='failed'>{escape(reason)}</div>" for reason in commit.reasons)
        rows += (
            f"<tr><td><code>{commit.hash[:10]}</code></td><td>{escape(commit.date)}</td>"
            f"<td>{escape(commit.subject)}{reasons}</td></tr>"
        )
    head = "<tr><th>commit</th><th>date</th><th>what it is, and what failed</th></tr>"
    return f"<h2>Commits</h2><table>{head}{rows}</table>"
