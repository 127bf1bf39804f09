"""`accept` of `tools/history.py`: a change that somebody looked at leaves the gate, with the reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import click
from rich.text import Text

from fiabench.cases.errors import InputError
from fiabench.cli.histories import (
    Chosen,
    accepted_file,
    choose,
    existing,
    name_option,
    reference_option,
    resolve,
    store_option,
)
from fiabench.cli.table import console
from fiabench.history import acceptance
from fiabench.history.acceptance import STATUS, Acceptances, Entry
from fiabench.history.gating import failing
from fiabench.history.series import Series
from fiabench.results import units
from fiabench.results.comparison import check_metrics


class _Change(NamedTuple):
    """What may be accepted."""

    series: Series
    metric: str
    first: int
    at: int
    magnitude: float | None
    """Relative; None where the case fails."""


@click.command()
@click.argument("case")
@click.argument("commit")
@click.option("--reason", required=True, metavar="TEXT", help="Why it may stay: a reviewer reads this.")
@click.option("--metric", "metrics", multiple=True, metavar="NAME",
              help=f"Of several that changed there: which; {STATUS} is that it fails.  [default: all]")  # fmt: skip
@click.option("--machine", default="", metavar="NAME", help="On this machine alone.")
@name_option
@click.option("--file", "path", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help=f"Where to.  [default: {acceptance.FILE} beside asv.conf.json]")  # fmt: skip
@reference_option
@store_option
def accept(
    case: str,
    commit: str,
    reason: str,
    metrics: tuple[str, ...],
    machine: str,
    name: str | None,
    path: Path | None,
    reference: str,
    place: Path | None,
) -> None:
    """Accepts the change that COMMIT made to CASE, an id or a part of ids: it leaves the gate and stays visible.

    The level after it is what later commits are held against. The file belongs into git, where a review sees it.
    """
    if not reason.strip():
        raise InputError.plain("--reason: found nothing; allowed: a sentence on why the change may stay")
    check_metrics([metric for metric in metrics if metric != STATUS])
    chosen = choose(existing(name, place), case, ())
    found = [series for series in chosen.found if machine in ("", series.machine)]
    if not found:
        known = ", ".join(dict.fromkeys(series.machine for series in chosen.found))
        raise InputError.plain(f"--machine: found {machine!r}; allowed: {known}")
    chosen = chosen._replace(found=found)
    hash_ = resolve(chosen, commit, "COMMIT")
    changes = list(_changes(chosen, metrics, reference))
    there = _at(chosen, changes, hash_)
    if not there:
        raise InputError.plain(f"{case} at {hash_[:10]}: found no change there; allowed: {_listed(changes)}")
    file = path or accepted_file(chosen.store)
    old = acceptance.read_entries(file)
    new = [
        Entry(case, hash_, metric, " ".join(reason.split()), _size(there, metric), machine)
        for metric in dict.fromkeys(change.metric for change in there)
        if not any(_same(entry, case, hash_, metric, machine) for entry in old)
    ]
    if not new:
        raise InputError.plain(f"{case} at {hash_[:10]}: is accepted already in {file}")
    acceptance.add_entries(file, new)
    out = console()
    for change in there:
        out.print(
            Text(f"accepted: {_sentence(change)}: [{change.series.id}] on {change.series.machine}"), soft_wrap=True
        )
    out.print(f"in {file}: keep it in git, where a review sees it", soft_wrap=True, markup=False)


def _same(entry: Entry, case: str, commit: str, metric: str, machine: str) -> bool:
    return (entry.case, entry.commit, entry.metric, entry.machine) == (case, commit, metric, machine)


def _changes(chosen: Chosen, metrics: Sequence[str], reference: str) -> Iterator[_Change]:
    """All that could be accepted."""
    measured = tuple(metric for metric in metrics if metric != STATUS)
    if measured or not metrics:
        for judged in chosen.judged(measured, reference):
            for change in (*judged.changes, *judged.suspects):
                yield _Change(judged.series, judged.metric, change.first, change.at, change.magnitude)
    if STATUS in metrics or not metrics:
        for series in chosen.found:
            failure = failing(series)
            if failure and failure[0] is not None:
                yield _Change(series, STATUS, failure[1], failure[1], None)


def _at(chosen: Chosen, changes: Sequence[_Change], commit: str) -> list[_Change]:
    """Those that the gate would take for the one of ``commit``."""
    found = []
    for series in chosen.found:
        for metric in dict.fromkeys(change.metric for change in changes if change.series is series):
            own = [change for change in changes if change.series is series and change.metric == metric]
            entry = Entry(series.id, commit, metric, "")
            matched = Acceptances([entry], chosen.store.repository()).match(
                series, metric, [(change.first, change.at) for change in own]
            )
            found += [own[number] for number in matched]
    return found


def _size(there: Sequence[_Change], metric: str) -> str:
    """`+47 %`, or of several cases `+12 % to +47 %`."""
    sizes = [change.magnitude for change in there if change.metric == metric]
    numbers = [size for size in sizes if size is not None]
    if not numbers:
        return next(_failure(change) for change in there if change.metric == metric)
    ends = dict.fromkeys(units.relative(size) for size in (min(numbers), max(numbers)))
    return " to ".join(ends)


def _failure(change: _Change) -> str:
    return change.series.points[change.at].status.replace("_", " ")


def _sentence(change: _Change) -> str:
    said = _failure(change) if change.magnitude is None else f"{change.metric} {units.relative(change.magnitude)}"
    return f"{said} at {change.series.points[change.at].commit}"


def _listed(changes: Sequence[_Change]) -> str:
    said = dict.fromkeys(_sentence(change) for change in changes)
    return "; ".join(said) or "none: nothing changed in it as far as its history tells"
