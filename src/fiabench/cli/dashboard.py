"""`tools/dashboard.py`: the pages of a history, built and shown."""

from __future__ import annotations

import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import click
from rich.progress import Progress, TaskID
from rich.text import Text

from fiabench.cases.errors import InputError
from fiabench.cli.checkout import ROOT
from fiabench.cli.ending import run_command
from fiabench.cli.histories import metric_option, name_option, place_of
from fiabench.cli.table import console
from fiabench.history.store import Store
from fiabench.results.comparison import check_metrics

_path = click.Path(path_type=Path)
_SHOWN_EACH = 8
"""Runs read, or cases written, from one showing of how far it is to the next."""
_NOTICES = 20
"""Notices that the terminal gets; the page has more."""
out_option = click.option(
    "--out", type=_path, default=Path("html"), show_default=True, metavar="DIR", help="The pages."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """A history as pages that open without a network: what got slower, how sure, since when, by whose fault."""


@commands.command()
@click.option("--asv", "place", type=_path, metavar="DIR", help="Where histories are kept.  [default: .asv]")
@click.option("--runs", "runs", type=_path, multiple=True, metavar="DIR", help="A run beside them; may be repeated.")
@out_option
@name_option
@metric_option
@click.option("--figures/--no-figures", default=True, show_default=True, help="Draw the figures of plots/.")
def build(
    place: Path | None, runs: tuple[Path, ...], out: Path, name: str | None, metrics: tuple[str, ...], figures: bool
) -> None:
    """Writes the pages; of run directories that were read before only what is new is read."""
    from fiabench.dashboard import build as pages  # matplotlib takes half a second that --help should not pay
    from fiabench.dashboard.model import JUDGED, Asked

    check_metrics(metrics)
    started = time.monotonic()
    store = _store(name, place, bool(runs))
    keep = (store.folder if store.exists() else out.resolve() / ".kept") / pages.KEPT
    asked = Asked(store, [path.resolve() for path in runs], metrics or JUDGED, place and place.resolve())
    notes = console(stderr=True)
    # Without a thread that refreshes it: processes are forked meanwhile.
    with Progress(console=notes, transient=True, auto_refresh=False, disable=not notes.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def each(what: str, number: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=number)
            if number % _SHOWN_EACH == 0:
                bars.refresh()

        done = pages.write(asked, out, keep, ROOT / "plots", figures, each)
    screen = console()
    notices = done.model.notices
    for notice in notices[:_NOTICES]:
        screen.print(Text(f"passed over: {notice}", style="red"), soft_wrap=True)
    if len(notices) > _NOTICES:
        screen.print(Text(f"{len(notices) - _NOTICES} more notices are on the page", style="red"))
    counts = ", ".join(f"{count} {state}" for state, count in done.verdict.counts.items()) or "no results yet"
    screen.print(Text(f"{counts} (of {done.verdict.total} cases)"), soft_wrap=True)
    seconds = time.monotonic() - started
    screen.print(Text(f"{done.index}: {done.read} new runs read, {seconds:.1f} s"), soft_wrap=True)


def _store(name: str | None, place: Path | None, runs: bool) -> Store:
    folder = place_of(place)
    if place is not None and not folder.is_dir():
        raise InputError.plain(f"--asv {place}: is no folder; allowed: where histories are kept, as .asv")
    if name:
        store = Store.of(folder, name)
        if not store.exists() and not runs:
            raise InputError.plain(f"--project {name}: {store.folder} holds no history")
        return store
    return Store(folder, "fiabench", ROOT / "asv.conf.json")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


@commands.command()
@out_option
@click.option("--port", type=click.IntRange(0, 65535), default=8123, show_default=True, help="0: any that is free.")
def serve(out: Path, port: int) -> None:
    """Shows pages that were built, to this box alone, until it is interrupted."""
    if not (out / "index.html").is_file():
        raise InputError.plain(f"--out {out}: holds no pages; `build` makes them")
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), partial(_Quiet, directory=str(out)))
    except OSError as error:
        raise InputError.plain(f"--port {port}: {error.strerror}; name another, or 0 for any") from error
    with server:
        click.echo(f"http://127.0.0.1:{server.server_address[1]}/")
        server.serve_forever()


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; returns its exit code."""
    return run_command(commands, "dashboard.py", arguments)
