"""`tools/sweep.py`: list, plan, run, show, export and plot sweeps."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from fiabench.cases.case import Case
from fiabench.cases.errors import InputError
from fiabench.cases.expand import LeftOut, expand
from fiabench.cases.load import load_sweep, profile_names
from fiabench.cases.quantities import parse_duration
from fiabench.cli import comparing, launched, planning, predicting, running
from fiabench.cli.checkout import find_sweep, sweep_names
from fiabench.cli.ending import INTERRUPTED, interrupted, interruptible, run_command
from fiabench.cli.finishing import draw, finish
from fiabench.cli.projects import place
from fiabench.cli.table import console, headline, print_run
from fiabench.results import export as exports
from fiabench.results.measurement import Measurement
from fiabench.results.rundir import read_run
from fiabench.simulation.effects import FORMS
from fiabench.simulation.spec import PREFIX, allowed, load_spec
from fiabench.workers.machine import guess_machine

_LOOKING = "asking torch for the device"
_SHOW_PROGRESS_FROM = 250_000
"""Points whose planning takes two seconds or more."""


class _Devices(click.Choice[str]):
    """A device of this box, or a simulated one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if str(value).startswith(PREFIX):
            load_spec(value)
            return str(value)
        return super().convert(value, param, ctx)


def _seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Of an option such as `30m`."""
    try:
        return None if value is None else parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(f"found {value!r}; allowed: {error}", ctx, param) from error


_DEVICES = _Devices(["auto", "npu", "cuda", "cpu"])
_profile = click.option("--profile", metavar="NAME", help="A profile of the sweep.")
_filters = click.option(
    "--filter", "filters", multiple=True, metavar="FIELD=VALUE,...", help="Keep only these cases; may be repeated."
)
_device = click.option(
    "--device",
    type=_DEVICES,
    default="auto",
    show_default=True,
    help=f"What to measure on; {allowed()} simulate, and measure nothing.",
)
_project = click.option(
    "--project",
    "projects",
    multiple=True,
    metavar="[NAME=]PATH",
    help="Where the sweep's outside projects lie: one of them, or all without a path of their own.",
)
_run_argument = click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """Benchmarks fused-infer attention, and Ulysses' all-to-all apart from the kernel, from YAML sweeps."""


@commands.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array on standard output.")
def list_sweeps(as_json: bool) -> None:
    """The sweeps that are shipped, with their profiles and how many cases they have."""
    sweeps = [load_sweep(find_sweep(name)) for name in sweep_names()]
    listed: list[dict[str, Any]] = [
        {
            "name": sweep.name,
            "about": sweep.about,
            "cases": sum(not isinstance(point, LeftOut) for point in expand(sweep)),
            "points": sweep.points,
            "profiles": list(profile_names(sweep.path)),
            "path": sweep.path,
        }
        for sweep in sweeps
    ]
    if as_json:
        click.echo(json.dumps(listed, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for title in ("sweep", "cases", "profiles", "about"):
        table.add_column(title)
    for one in listed:
        table.add_row(escape(one["name"]), f"{one['cases']:,}", escape(" ".join(one["profiles"])), escape(one["about"]))
    console().print(table)


@commands.command()
@click.argument("sweep")
@_profile
@_filters
@_device
@click.option("--predict", is_flag=True, help="On a simulated device: plans, best first, and why others do not fit.")
@click.option("--show", default=50, show_default=True, metavar="N", help="Cases to show.")
@click.option("--json", "as_json", is_flag=True, help="Every point as one JSON object a line.")
def plan(
    sweep: str,
    profile: str | None,
    filters: tuple[str, ...],
    device: str,
    predict: bool,
    show: int,
    as_json: bool,
) -> None:
    """What SWEEP (a path or a name) would measure here: counts, what is left out and why, memory and time."""
    loaded = load_sweep(find_sweep(sweep), profile)
    machine = guess_machine(device)
    points = running.chosen(loaded, filters)
    if predict:
        _predict(points, device, loaded.name, show, as_json)
        return
    sampling = loaded.sampling.model_dump()
    if loaded.points > _SHOW_PROGRESS_FROM:
        points = planning.with_progress(points, loaded.points, console(stderr=True))
    if as_json:
        planning.write_lines(planning.plan_lines(points, machine, sampling), sys.stdout)
        return
    planning.print_plan(
        console(), planning.make_plan(points, machine, sampling, show), machine, loaded.name, loaded.about
    )


def _predict(points: Iterable[Case | LeftOut], device: str, name: str, show: int, as_json: bool) -> None:
    if not device.startswith(PREFIX):
        raise InputError.plain(f"--predict: found --device {device}; allowed: with {allowed()}")
    spec = load_spec(device)
    found = predicting.attentions(points, spec)
    if as_json:
        planning.write_lines(predicting.prediction_lines(found, spec), sys.stdout)
    else:
        predicting.print_predictions(console(), found, spec, name, show)


@commands.command()
@click.argument("sweep", required=False)
@_profile
@_filters
@_device
@_project
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Run directory; runs/<time>-<sweep> if not given."
)
@click.option("--resume", type=click.Path(path_type=Path), metavar="DIR", help="Go on with an interrupted run.")
@click.option("--peak-tflops", type=click.FloatRange(min=0, min_open=True), help="The device's dense peak, for MFU.")
@click.option(
    "--plant",
    "plants",
    multiple=True,
    metavar="KIND=...",
    help=f"Into a simulated device, may be repeated: {', '.join(FORMS)}. See docs/simulation.md.",
)
@click.option(
    "--sessions",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Measure every case N times, each time in fresh processes.",
)
@click.option(
    "--cross-check",
    type=click.Choice(["profiler", "mspti"]),
    help="Look at each case once more with a profiler: which kernels ran, and whether they add up.",
)
@click.option(
    "--budget",
    callback=_seconds,
    metavar="TIME",
    help="End within about this time (90s, 30m, 1.5h): each case samples for its share, the rest is left to --resume.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Of a simulated device's noise.")
@click.option("--figures/--no-figures", default=True, show_default=True, help="Draw the figures at the end.")
@click.option("--json", "as_json", is_flag=True, help="Each measurement as one JSON line on standard output.")
def run(
    sweep: str | None,
    profile: str | None,
    filters: tuple[str, ...],
    device: str,
    projects: tuple[str, ...],
    out: Path | None,
    resume: Path | None,
    peak_tflops: float | None,
    plants: tuple[str, ...],
    sessions: int,
    cross_check: str | None,
    budget: float | None,
    seed: int,
    figures: bool,
    as_json: bool,
) -> int:
    """Measures SWEEP (a path or a name) into a run directory, and prints its tables."""
    if resume is None and sweep is None:
        raise InputError.plain("run: found no SWEEP; allowed: a path or a name (see `list`), or --resume DIR")
    if resume is not None and any(
        (sweep, profile, filters, out, peak_tflops, projects, plants, seed, sessions > 1, cross_check)
    ):
        raise InputError.plain(
            "--resume takes the sweep and its options from the run; give the directory alone, or a --budget"
        )
    if launched.by_torchrun():
        launched.become_rank(click.get_current_context().params)
    notes = console(stderr=True)
    if resume is not None:
        with notes.status(_LOOKING):
            directory, machine, work, before = running.resume(resume, budget)
        notes.print(f"{len(before.lines)} measurements are there, {work.left} to go")
    else:
        assert sweep is not None
        loaded = place(load_sweep(find_sweep(sweep), profile), projects)
        options = running.Options(device, filters, peak_tflops, plants, seed, sessions, budget, cross_check or "")
        with notes.status(_LOOKING):
            directory, machine, work = running.start(loaded, options, out)
    each: Callable[[Measurement], None] = running.write_json_line if as_json else lambda measurement: None
    try:
        with interruptible():
            running.measure_cases(directory, machine, work, notes, each)
    except KeyboardInterrupt:
        notes.print(interrupted(directory.path), soft_wrap=True)
        return INTERRUPTED
    if work.left:
        notes.print(
            f"The budget is used up: {work.left} measurements are left; go on with: run --resume {directory.path}",
            soft_wrap=True,
        )
    return finish(read_run(directory.path), notes, as_json, figures)


@commands.command()
@_run_argument
@click.option("--json", "as_json", is_flag=True, help="The measurements without their samples, as one JSON array.")
def show(directory: Path, as_json: bool) -> None:
    """The tables of the run in DIR."""
    found = read_run(directory)
    if as_json:
        rows = [{**measurement.as_dict(), "samples": {}} for measurement in found.measurements]
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    print_run(console(), found)


@commands.command()
@_run_argument
@click.option("--format", "form", type=click.Choice(exports.FORMATS), default="csv", show_default=True)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="Where to; to standard output if not given."
)
def export(directory: Path, form: str, out: Path | None) -> None:
    """The run in DIR as CSV (a row a case), JSON, Markdown or Parquet (a row a sample)."""
    found = read_run(directory)
    if form == "parquet" and out is None and sys.stdout.isatty():
        raise InputError.plain("--format parquet: is no text for a terminal; give --out FILE")
    content = {
        "csv": lambda: exports.to_csv(found).encode(),
        "json": lambda: exports.to_json(found).encode(),
        "md": lambda: exports.to_markdown(found, headline(found)).encode(),
        "parquet": lambda: exports.to_parquet(found),
    }[form]()
    if out is None:
        click.echo(content, nl=False)
        return
    try:
        out.write_bytes(content)
    except OSError as error:
        raise InputError.plain(f"--out {out}: cannot be written ({error.strerror})") from error


@commands.command()
@_run_argument
def plot(directory: Path) -> None:
    """Draws every figure of plots/ into the run directory DIR, as SVG and PNG."""
    draw(console(), read_run(directory))


commands.add_command(comparing.compare)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    return run_command(commands, "sweep.py", arguments)
