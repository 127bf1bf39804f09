"""Which history a command is about: this repository's own, or that of an outside project by its name."""

from __future__ import annotations

from pathlib import Path

import click

from fiabench.cases.errors import InputError
from fiabench.cli.checkout import ROOT
from fiabench.history.store import Store, histories

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


def place_of(place: Path | None) -> Path:
    return place.resolve() if place else ROOT / ".asv"


def store_of(name: str | None, place: Path | None) -> Store:
    """The history of the outside project ``name``, or this repository's own."""
    return Store.of(place_of(place), name) if name else Store(place_of(place), "fiabench", ROOT / "asv.conf.json")


def existing(name: str | None, place: Path | None) -> Store:
    """As :func:`store_of`; raises InputError where there is no such history."""
    store = store_of(name, place)
    if not store.exists():
        known = (
            ", ".join(f"--project {other}" for other in histories(place_of(place))) or "none yet: see `run`, `import`"
        )
        raise InputError.plain(f"{store.folder}: holds no history; allowed: {known}")
    return store
