"""`learn`: a repository whose history has known events, to try the other commands on."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from fiabench.history.learning import BRANCH, TRUTH, make


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Each puts the events at other commits; the same one makes the same commits everywhere.",
)
def learn(directory: Path, seed: int) -> None:
    """Makes a git repository in DIR, empty or new: an attention layer with four events in its history."""
    commits = make(directory, seed)["commits"]
    given = shlex.quote(str(directory))
    click.echo(f"{len(commits)} commits of an attention layer in {directory}, {commits[-1]['commit'][:10]} the last.")
    click.echo(f"one commit:     python tools/sweep.py run learning --project layer={given}")
    click.echo(f"its history:    python tools/history.py run --sweep learning --project {given} --range {BRANCH}")
    click.echo(f"what there is:  {directory / TRUTH}")
