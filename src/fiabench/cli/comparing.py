"""`compare`: what changed from one run to another, as tables, and as an exit code."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fiabench.cases.filters import parse_filters
from fiabench.cli.table import console, headline
from fiabench.results import units
from fiabench.results.comparison import DEFAULT_METRICS, EQUAL, Comparison, Ending, Failure, Row, compare_sides
from fiabench.results.metrics import METRICS
from fiabench.results.rundir import read_run
from fiabench.results.sides import Side, read_sides
from fiabench.results.words import essence
from fiabench.stats.compare import FALSE_DISCOVERIES, FASTER, NO_DIFFERENCE, NOMINAL, RELEVANT, SLOWER, UNDECIDED
from fiabench.stats.sessions import WITHIN

_STYLES = {SLOWER: "bold red", FASTER: "green", UNDECIDED: "yellow", NO_DIFFERENCE: "dim"}
_WIDE = 130
"""Columns from which on a row fits one line."""
_NAMED = 3
"""Cases that are named where many share a doubt."""
_LONG = 100
"""Characters of a fact from which on only its end is shown."""
_DECIMALS = re.compile(r"\d+\.\d+")

_directory = click.Path(path_type=Path)


@click.command()
@click.argument("a", type=_directory)
@click.argument("b", type=_directory)
@click.option("--with-a", "more_a", type=_directory, multiple=True, metavar="DIR", help="Further sessions of A.")
@click.option("--with-b", "more_b", type=_directory, multiple=True, metavar="DIR", help="Further sessions of B.")
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="NAME",
    help=f"What to compare, may be repeated. [default: {', '.join(DEFAULT_METRICS)}]",
)
@click.option(
    "--relevant",
    type=click.FloatRange(min=0, min_open=True),
    default=100 * RELEVANT,
    show_default=True,
    metavar="PERCENT",
    help="The difference that matters: no difference is said only where this much would have been seen.",
)
@click.option(
    "--filter", "filters", multiple=True, metavar="FIELD=VALUE,...", help="Keep only these cases; may be repeated."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def compare(
    a: Path,
    b: Path,
    more_a: tuple[Path, ...],
    more_b: tuple[Path, ...],
    metrics: tuple[str, ...],
    relevant: float,
    filters: tuple[str, ...],
    as_json: bool,
) -> int:
    """What takes longer in the run directory B than in A, case by case.

    Exits with 1 where a case got slower, or fails in B and did not in A; with 0 where none did; with 2 where the two
    cannot be compared.
    """
    sides = read_sides([read_run(path) for path in (a, *more_a)], [read_run(path) for path in (b, *more_b)])
    sweeps = [run.header["sweep"] for side in sides for run in side.runs]
    projects = {name for sweep in sweeps for name in sweep.get("projects", {})}
    wanted = parse_filters(filters, projects, _variables(sweeps))
    found = compare_sides(*sides, metrics, relevant / 100, wanted)
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        print_comparison(console(), found)
    return int(found.worse)


def _variables(sweeps: Iterable[dict[str, Any]]) -> dict[str, list[str]]:
    """The environment variables that either side's sweep, as resolved, sets, with every value."""
    values: dict[str, dict[str, None]] = {}
    for sweep in sweeps:
        for name, own in sweep.get("variables", {}).items():
            values.setdefault(name, {}).update(dict.fromkeys(own))
    return {name: list(own) for name, own in values.items()}


def print_comparison(out: Console, found: Comparison, way: str = "run --sessions 3, or --with-a DIR") -> None:
    """What the sides are and differ in, the judged rows, the numbers beside them, what is on one side alone, counts.

    ``way`` is how a user comes by more sessions.
    """
    for side in (found.a, found.b):
        out.print(Text(_side(side), style="bold"))
    for caution in found.cautions:
        out.print(Text(f"caution: {caution}", style="bold red"))
    for name, before, after in found.environment:
        out.print(Text(f"{name}: {_fact(before)} in A, {_fact(after)} in B", style="yellow"))
    if not found.environment:
        out.print(Text("both ran on the same", style="dim"))
    judged = [row for row in found.rows if row.difference is not None]
    if judged:
        for part in _judged(judged, out.width, plain=not out.is_terminal):
            out.print(part)
        out.print(Text(_reading(found, way), style="dim"))
    _print_beside(out, [row for row in found.rows if row.difference is None])
    for doubt in _doubts(found.rows):
        out.print(Text(doubt, style="yellow"))
    for failure in found.failed:
        out.print(Text(_failure(failure), style="bold red" if failure.newly else "yellow"))
    for name, only in (("A", found.only_in_a), ("B", found.only_in_b)):
        if only:
            out.print(Text(f"only in {name}: {_several([found.labels[case] for case in only], len(only))}"))
    out.print(Text(_closing(found), style="bold red" if found.worse else "bold"))


def _side(side: Side) -> str:
    paths = ", ".join(str(run.path) for run in side.runs)
    return f"{side.name}: {headline(side.runs[0])} [{paths}; {_counted(side.sessions, 'session')}]"


def _fact(value: object) -> str:
    text = "nothing" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= _LONG else f"...{text[-_LONG:]}"


def _judged(rows: Sequence[Row], width: int, plain: bool) -> Iterator[Table | Text]:
    """What has samples: a table, or on a terminal too narrow for it two lines a row."""
    if width < _WIDE:
        for row in rows:
            text = Text.assemble(
                (f"{row.verdict}: ", _style(row)), (f"{row.label}, {METRICS[row.metric].label}", "bold")
            )
            text.append("\n    {} to {}: {} ({})".format(*_numbers(row), *_change(row)))
            yield text.append(f"\n    {row.why}", "dim")
        return
    table = Table(box=box.ASCII if plain else box.ROUNDED)
    table.add_column("case", min_width=12, overflow="fold")
    table.add_column("metric")
    for side in ("A", "B"):
        table.add_column(side, justify="right", no_wrap=True)
    for title in ("difference", "verdict"):
        table.add_column(title, no_wrap=True)
    table.add_column("why")
    for row in rows:
        change, interval = _change(row)
        cells = (row.label, METRICS[row.metric].label, *_numbers(row), f"{change} ({interval})")
        table.add_row(*map(Text, cells), Text(row.verdict, _style(row)), Text(row.why))
    yield table


def _numbers(row: Row) -> tuple[str, str]:
    return units.human(row.a, row.unit), units.human(row.b, row.unit)


def _style(row: Row) -> str:
    return _STYLES[row.difference.verdict] if row.difference else ""


def _change(row: Row) -> tuple[str, str]:
    """B's difference from A and its interval, in percent."""
    difference = row.difference
    if difference is None:
        return (_percent(row.b / row.a - 1) if row.a else "", "")
    return _percent(difference.ratio - 1), f"{_percent(difference.low - 1)} to {_percent(difference.high - 1)}"


def _percent(value: float) -> str:
    if not math.isfinite(value):
        return "unbounded"
    size = abs(100 * value)
    digits = 2 if size < 0.995 else 1 if size < 9.95 else 0
    return f"{round(100 * value, digits) + 0.0:+.{digits}f} %"  # + 0.0: there is no -0.00 %


def _print_beside(out: Console, rows: Sequence[Row]) -> None:
    """Numbers without samples, where they are not equal."""
    unlike = [row for row in rows if row.verdict != EQUAL]
    if unlike:
        table = Table(box=box.ASCII if not out.is_terminal else box.ROUNDED, title="not judged", title_justify="left")
        for title in ("case", "metric"):
            table.add_column(title, overflow="fold")
        for title in ("A", "B", "difference"):
            table.add_column(title, justify="right", no_wrap=True)
        table.add_column("")
        for row in unlike:
            said = f"{row.verdict}: {row.why}" if row.verdict == UNDECIDED else row.verdict
            table.add_row(*map(Text, (row.label, METRICS[row.metric].label, *_numbers(row), _change(row)[0], said)))
        out.print(table)
    equal = Counter(METRICS[row.metric].label for row in rows if row.verdict == EQUAL)
    for label, count in equal.items():
        out.print(Text(f"{label}: equal in {_counted(count, 'case')}", style="dim"))


def _reading(found: Comparison, way: str) -> str:
    text = (
        f"difference: B to A, medians over the sessions of a side, with the {units.percent(1 - NOMINAL)} interval; of "
        f"all that is called changed here at most {units.percent(FALSE_DISCOVERIES)} are expected to be noise; "
        f"{units.percent(found.relevant)} is what matters"
    )
    if any(row.difference and row.difference.scope == WITHIN for row in found.rows):
        text += f"; to tell how sessions differ, measure three and more of each side ({way})"
    return text


def _doubts(rows: Iterable[Row]) -> list[str]:
    """Each doubt on one line, with the cases that it is of; those that differ in a measured number alone are one."""
    found: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for row in rows:
        for note in row.notes:
            notes, labels = found.setdefault(_DECIMALS.sub("", note), ({}, {}))
            notes[note] = labels[row.label] = None
    return [
        f"{next(iter(notes))}{' (and the like)' if len(notes) > 1 else ''} [{_several(list(labels), _NAMED)}]"
        for notes, labels in found.values()
    ]


def _several(labels: Sequence[str], named: int) -> str:
    more = len(labels) - named
    return ", ".join(labels[:named]) + (f" and {more} more" if more > 0 else "")


def _failure(failure: Failure) -> str:
    sides = " | ".join(f"{name}: {_ending(ending)}" for name, ending in (("A", failure.a), ("B", failure.b)))
    return f"{'fails in B alone' if failure.newly else 'not measured'}: {failure.label}: {sides}"


def _ending(ending: Ending | None) -> str:
    if ending is None:
        return "measured"
    part = f" in {ending.sessions} of {ending.of} sessions" if ending.of > 1 else ""
    reason = " ".join(essence(ending.reason).split())
    return f"{ending.status.replace('_', ' ')}{part}" + (f" ({reason})" if reason else "")


def _closing(found: Comparison) -> str:
    verdicts = list(found.cases.values())
    counts = Counter(verdicts)
    text = f"{counts[SLOWER]} of {_counted(len(verdicts), 'case')} slower"
    text += "".join(f", {counts[verdict]} {verdict}" for verdict in (FASTER, NO_DIFFERENCE, UNDECIDED))
    apart = len({row.id for row in found.rows if _apart(row)})
    text += f" ({apart} of them apart by more than they vary within their sessions)" if apart else ""
    newly = sum(failure.newly for failure in found.failed)
    text += f"; {_counted(newly, 'case')} {'fails' if newly == 1 else 'fail'} in B alone" if newly else ""
    return f"{text} (by the worst metric of a case)" if len(found.metrics) > 1 else text


def _apart(row: Row) -> bool:
    """Whether the sides differ by more than their sessions hold, which alone decides nothing."""
    difference = row.difference
    return difference is not None and difference.scope == WITHIN and not difference.low <= 1 <= difference.high


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
