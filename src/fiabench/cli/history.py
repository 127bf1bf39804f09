"""`tools/history.py`: the commits of a repository measured through asv, shown, imported and compared."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from io import TextIOWrapper
from pathlib import Path

import click
from rich.text import Text

from fiabench.cli import accepting, confirming, detecting, gating, history_running, learning
from fiabench.cli import history_tables as tables
from fiabench.cli.comparing import print_comparison
from fiabench.cli.ending import run_command
from fiabench.cli.histories import (
    SHOWN,
    accepted_option,
    choose,
    existing,
    filter_option,
    metric_option,
    name_option,
    print_notices,
    reference_option,
    store_of,
    store_option,
)
from fiabench.cli.table import console
from fiabench.history import importing, upgrading
from fiabench.history.series import order_notices
from fiabench.history.store import Store
from fiabench.results.comparison import check_metrics
from fiabench.stats.compare import RELEVANT

_path = click.Path(path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """Attention over the commits of a repository, this one's or another's, and over software stacks."""


@commands.command()
@click.argument("case", required=False, default="")
@name_option
@filter_option
@metric_option
@reference_option
@accepted_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@store_option
def show(
    case: str,
    name: str | None,
    filters: tuple[str, ...],
    metrics: tuple[str, ...],
    reference: str,
    accepted: Path | None,
    as_json: bool,
    place: Path | None,
) -> None:
    """The history of each case, or of those with CASE in their id: spark line, commits, and what changed.

    A change is called where noise does not explain it. `confirm` measures two commits in turns and settles it.
    """
    check_metrics(metrics)
    chosen = choose(existing(name, place), case, filters)
    judged, acceptances = chosen.judged(metrics, reference), chosen.acceptances(accepted)
    if as_json:
        series = tables.as_dicts(chosen.found, metrics or SHOWN, judged, acceptances)
        notices = order_notices(chosen.found)
        shown = {"project": chosen.store.name, "series": series, "unreadable": chosen.unreadable, "notices": notices}
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False, allow_nan=False))
        return
    out = console()
    if tables.is_plain(out) and isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a subject may hold anything
    tables.print_history(out, chosen.found, metrics or SHOWN, judged, acceptances)
    print_notices(out, chosen)


@commands.command("import")
@click.argument("directories", nargs=-1, required=True, type=_path, metavar="DIR...")
@name_option
@click.option("--machine", default="", metavar="NAME", help="What the box is called.  [default: its host name]")
@click.option("--commit", default="", metavar="HASH", help="Which commit was measured, where the run does not say it.")
@store_option
def import_runs(directories: tuple[Path, ...], name: str | None, machine: str, commit: str, place: Path | None) -> None:
    """Takes sweep runs from other boxes into the history, and into asv's results.

    A run of an outside project goes into the history of that name.
    """
    out = console()
    found = [importing.read(path, name, machine, commit) for path in directories]
    stores: dict[str, Store] = {}
    for source in found:
        store = stores.setdefault(source.project, store_of(source.project, place))
        with _writing(store):
            target, new = importing.take(source, store)
        out.print(f"{source.run.path}: {'imported' if new else 'is there already'}: {target}", soft_wrap=True)
    for store in stores.values():
        _rebuild(store)


@commands.command()
@name_option
@store_option
def export(name: str | None, place: Path | None) -> None:
    """Rebuilds asv's results from the run directories of a history, for `asv show`, `asv compare` and `asv publish`.

    What asv has of other benchmarks, and of commits without a run directory, stays.
    """
    _rebuild(existing(name, place))


def _rebuild(store: Store) -> None:
    """Brings asv's results up to what the run directories hold."""
    from fiabench.asv_plugin.export import rebuild  # asv takes half a second that no other command should pay

    out, repository = console(), store.repository()
    if repository is None:
        out.print(Text(f"{store.folder}: its repository is not here, so that asv cannot know the commits' dates; its "
                       "results are rebuilt by `export` after a `run`", style="yellow"), soft_wrap=True)  # fmt: skip
        return
    with _writing(store):
        passed_over = rebuild(store.runs, store.results, repository.root)
    for problem in passed_over:
        out.print(Text(f"passed over: {problem}", style="red"), soft_wrap=True)
    out.print(f"asv's results: {store.results}", soft_wrap=True)


@contextmanager
def _writing(store: Store) -> Iterator[None]:
    """Keeps out other runs, and an `asv run` that a user started himself. Raises InputError where there is one."""
    from asv.config import Config
    from asv.util import UserError

    from fiabench.asv_plugin.keeping import alone

    try:
        folder = store.configuration.parent / Config.load(str(store.configuration)).env_dir
    except (UserError, ValueError):  # without a configuration no asv runs here
        folder = None
    with store.locked(), alone(folder) if folder else nullcontext():
        yield


@commands.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@name_option
@click.option("--commit", default="", metavar="REV", help="Of machines: which.  [default: the newest that both have]")
@click.option("--other-code", is_flag=True, help="Compare although the two measured different code.")
@click.option("--metric", "metrics", multiple=True, metavar="NAME", help="What to compare, may be repeated.")
@click.option("--relevant", type=click.FloatRange(min=0, min_open=True), default=100 * RELEVANT, show_default=True,
              metavar="PERCENT", help="The difference that matters.")  # fmt: skip
@filter_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@store_option
def upgrade(
    a: str,
    b: str,
    name: str | None,
    commit: str,
    other_code: bool,
    metrics: tuple[str, ...],
    relevant: float,
    filters: tuple[str, ...],
    as_json: bool,
    place: Path | None,
) -> int:
    """What another software stack makes of the same code: from A to B, two run directories or two machines.

    Exits with 1 where a case got slower, or fails in B alone.
    """
    paths = [Path(text) for text in (a, b)]
    store = None if all(path.is_dir() for path in paths) else existing(name, place)
    sides = upgrading.sides(a, b, store, commit)
    found = upgrading.upgrade(*sides, other_code, metrics, relevant / 100, filters)
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=2, ensure_ascii=False, allow_nan=False))
        return int(found.comparison.worse)
    out = console()
    out.print(Text(found.code, style="bold"))
    for fact, before, now in found.stack:
        out.print(Text(f"{fact}: {before} -> {now}", style="bold yellow"))
    if not found.stack:
        out.print(Text("the software and the box are the same in both", style="bold yellow"))
    print_comparison(out, found.comparison, "run --sessions 3")
    return int(found.comparison.worse)


_OTHERS = (
    history_running.run, confirming.confirm, confirming.bisect, gating.gate, accepting.accept, detecting.detect,
    learning.learn,
)  # fmt: skip
for _command in _OTHERS:
    commands.add_command(_command)


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; returns its exit code."""
    return run_command(commands, "history.py", arguments)
