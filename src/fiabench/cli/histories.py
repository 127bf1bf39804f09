"""Which history a command is about, this repository's own or that of an outside project by its name, and what of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import click
from rich.console import Console
from rich.text import Text

from fiabench.cases.errors import InputError
from fiabench.cli.checkout import ROOT
from fiabench.history import acceptance
from fiabench.history.acceptance import Acceptances
from fiabench.history.detecting import Judged, Reference, detect_changes, reference_of
from fiabench.history.filtering import filter_for
from fiabench.history.series import Series, order_notices, read_series
from fiabench.history.store import Attempt, Store, histories
from fiabench.results.comparison import check_metrics

SHOWN = ("total", "peak_memory")
"""Metrics that a history is looked at by, where none is named."""

store_option = click.option(
    "--store",
    "place",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where histories are kept.  [default: .asv of this checkout]",
)
name_option = click.option(
    "--project", "name", metavar="NAME", help="Of an outside project; of this repository by default."
)
filter_option = click.option(
    "--filter", "filters", multiple=True, metavar="FIELD=VALUE,...", help="Keep only these cases; may be repeated."
)
metric_option = click.option(
    "--metric", "metrics", multiple=True, metavar="NAME", help=f"[default: {', '.join(SHOWN)}]"
)
reference_option = click.option(
    "--reference",
    default="",
    metavar="CASE",
    help="A case that the commits have no part in, by a part of its id: what moves it, too, is the box's mood.",
)
accepted_option = click.option(
    "--accepted",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help=f"The accepted changes.  [default: {acceptance.FILE} beside asv.conf.json]",
)


def place_of(place: Path | None) -> Path:
    return place.resolve() if place else ROOT / ".asv"


def store_of(name: str | None, place: Path | None) -> Store:
    """The history of the outside project ``name``, or this repository's own."""
    if name:
        return Store.of(place_of(place), name, "--project")
    return Store(place_of(place), "fiabench", ROOT / "asv.conf.json")


def existing(name: str | None, place: Path | None) -> Store:
    """As :func:`store_of`; raises InputError where there is no such history."""
    store = store_of(name, place)
    if not store.exists():
        known = (
            ", ".join(f"--project {other}" for other in histories(place_of(place))) or "none yet: see `run`, `import`"
        )
        raise InputError.plain(f"{store.folder}: holds no history; allowed: {known}")
    return store


class Chosen(NamedTuple):
    """What of a history a command is about."""

    store: Store
    found: list[Series]
    attempts: list[Attempt]
    unreadable: list[str]
    """What could not be read, in words."""

    def judged(self, metrics: Sequence[str], reference: str) -> list[Judged]:
        """The series' metrics, all judged together; ``reference`` is a part of one case's id, or empty."""
        check_metrics(metrics)
        return detect_changes(self.found, metrics or SHOWN, self._reference(reference))

    def _reference(self, part: str) -> Reference | None:
        if not part:
            return None
        found = read_series(self.store, self.attempts, lambda name, case: part in name)
        names = dict.fromkeys(series.id for series in found)
        if len(names) != 1:
            every = read_series(self.store, self.attempts, lambda name, case: True)
            known = ", ".join(dict.fromkeys(series.id for series in every))
            raise InputError.plain(f"--reference {part}: found {len(names)} such cases; allowed: one of {known}")
        return reference_of(found, "total")

    def up_to(self, commit: str) -> Chosen:
        """Without the commits that do not lead to ``commit``, a hash. Raises InputError where none is left."""
        repository = self.store.repository()
        if repository is None:
            raise InputError.plain(
                "--at: the repository of this history is not here, so that nobody knows what leads to it"
            )
        past = set(repository.git("rev-list", commit).splitlines())
        kept = [replace(one, points=[point for point in one.points if point.commit.hash in past]) for one in self.found]
        found = [series for series in kept if series.points]
        if not found:
            raise InputError.plain(f"--at {commit[:10]}: neither it nor what leads to it was measured")
        return self._replace(found=found)

    def acceptances(self, path: Path | None) -> Acceptances:
        """What is accepted, by the file at ``path``, or the one beside asv's configuration, which need not be there."""
        if path and not path.exists():
            raise InputError.plain(
                f"--accepted: found no file {path}; allowed: one that `accept` wrote, or an empty one"
            )
        entries = acceptance.read_entries(path or accepted_file(self.store))
        return Acceptances(entries, self.store.repository())


def print_notices(out: Console, chosen: Chosen) -> None:
    """What is wrong with the history itself."""
    for problem in chosen.unreadable:
        out.print(Text(f"passed over: {problem}", style="red"))
    for said in order_notices(chosen.found):
        out.print(Text(said, style="red"))


def accepted_file(store: Store) -> Path:
    return store.configuration.with_name(acceptance.FILE)


def choose(store: Store, case: str, filters: Sequence[str]) -> Chosen:
    """The cases of ``store`` with ``case`` in their id that ``filters`` let pass. Raises InputError where none is."""
    attempts, unreadable = store.attempts()
    passes = filter_for((attempt.run for attempt in attempts if attempt.run), filters)
    found = read_series(store, attempts, lambda name, point: case in name and passes(point))
    if not found:
        raise InputError.plain(_nothing(store, attempts, case, filters, unreadable))
    return Chosen(store, found, attempts, unreadable)


def resolve(chosen: Chosen, name: str, what: str) -> str:
    """The hash of the commit that ``name`` stands for: in git's words, or a part of a measured one's hash.

    Raises InputError, which begins with ``what`` was given, where there is none.
    """
    repository = chosen.store.repository()
    if repository:
        try:
            return repository.commit(name).hash
        except InputError as error:
            raise InputError.plain(f"{what} {name}: is no commit of {repository.path} ({error})") from error
    hashes = dict.fromkeys(point.commit.hash for series in chosen.found for point in series.points)
    fitting = [known for known in hashes if known.startswith(name)]
    if len(fitting) != 1:
        known = ", ".join(known[:10] for known in hashes)
        raise InputError.plain(f"{what} {name}: found {len(fitting)} such commits; allowed: one of {known}")
    return fitting[0]


def _nothing(
    store: Store, attempts: Sequence[Attempt], case: str, filters: Sequence[str], unreadable: Sequence[str]
) -> str:
    """Why there is nothing to show."""
    every = dict.fromkeys(line.id for attempt in attempts if attempt.run for line in attempt.run.lines)
    if not every:
        reasons = dict.fromkeys([*unreadable, *(attempt.reason for attempt in attempts if attempt.reason)])
        return f"{store.folder}: no case was measured{': ' if reasons else ''}{'; '.join(reasons)}"
    asked = " ".join(filter(None, [case, *(f"--filter {text}" for text in filters)]))
    return f"{asked}: found no such case; allowed: {', '.join(every)}"
