"""`gate` of `tools/history.py`: what got worse, for CI."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click
from rich.text import Text

from fiabench.cases.errors import InputError
from fiabench.cli import gate_tables
from fiabench.cli.confirming import part, seconds
from fiabench.cli.ending import FOUND, INTERRUPTED, OK, interruptible
from fiabench.cli.gate_pairs import Pairs, confirm_command
from fiabench.cli.histories import (
    Chosen,
    accepted_option,
    choose,
    existing,
    filter_option,
    metric_option,
    name_option,
    print_notices,
    reference_option,
    resolve,
    store_option,
)
from fiabench.cli.table import console
from fiabench.history import gating
from fiabench.history.runner import machine_name
from fiabench.history.series import UNORDERED, order_notices


def _least(ctx: click.Context, param: click.Parameter, value: str | None) -> float:
    return part(ctx, param, value) if value else 0.0


@click.command()
@click.argument("case", required=False, default="")
@name_option
@filter_option
@metric_option
@click.option("--base", default="", metavar="COMMIT", help="Hold against this one.  [default: the last accepted level]")
@click.option("--at", default="", metavar="COMMIT", help="As of this one: without later ones and other branches.")
@click.option("--min-effect", "least", callback=_least, metavar="PERCENT", help="Pass over less.  [default: nothing]")
@click.option("--confirm", "pairs", is_flag=True, help="Measure commits in turns before anything fails the gate.")
@click.option("--budget", default="5m", show_default=True, callback=seconds, metavar="TIME",
              help="--confirm: end within about this time (90s, 30m, 1.5h).")  # fmt: skip
@click.option("--sweep", default="", metavar="NAME|FILE", help="--confirm: what to measure.  [default: as it was]")
@click.option("--device", type=click.Choice(["auto", "npu", "cuda", "cpu"]), default="auto", show_default=True,
              help="--confirm: where.")  # fmt: skip
@click.option("--machine", default="", metavar="NAME", help="Judge this one alone; with --confirm it is this box.")
@reference_option
@accepted_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.option("--markdown", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write a summary for a pull request, too.")  # fmt: skip
@store_option
def gate(
    case: str,
    name: str | None,
    filters: tuple[str, ...],
    metrics: tuple[str, ...],
    base: str,
    at: str,
    least: float,
    pairs: bool,
    budget: float,
    sweep: str,
    device: str,
    machine: str,
    reference: str,
    accepted: Path | None,
    as_json: bool,
    markdown: Path | None,
    place: Path | None,
) -> int:
    """Did anything get worse, in all cases or in those with CASE in their id? Exits with 1 and the list where it did.

    Each case is held against its last accepted level on the same machine. What is the box's, suspected or undecided is
    listed and fails nothing; so is what cannot be judged.
    """
    if markdown and not markdown.parent.is_dir():
        raise InputError.plain(f"--markdown {markdown}: found no folder {markdown.parent}")
    chosen = _on_machine(choose(existing(name, place), case, filters), machine)
    chosen = chosen.up_to(resolve(chosen, at, "--at")) if at else chosen
    if all(series.unordered for series in chosen.found):
        place = chosen.store.configuration
        raise InputError.plain(f"{place}: nothing is judged: {UNORDERED}; allowed: as `repo` where it is")
    acceptances = chosen.acceptances(accepted)
    held = resolve(chosen, base, "--base") if base else ""
    judged = chosen.judged(metrics, reference)
    answer = gating.gate(chosen.found, judged, acceptances, held, least)
    interrupted = pairs and _confirm(chosen, answer.findings, budget, sweep, device, machine, least)

    def decide(finding: gating.Finding) -> str:
        return confirm_command(chosen, finding)

    if markdown:
        _write(markdown, gate_tables.markdown(answer, chosen.found, decide))
    if as_json:
        about = {"project": chosen.store.name, "base": held or None, "min_effect": least, "interrupted": interrupted}
        notices = {"unreadable": chosen.unreadable, "notices": order_notices(chosen.found)}
        found = {**about, **gate_tables.as_dict(answer, decide), **notices}
        click.echo(json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        out = console()
        gate_tables.print_gate(out, answer, chosen.found, decide)
        print_notices(out, chosen)
    if interrupted:
        return INTERRUPTED
    return OK if answer.passes else FOUND


def _on_machine(chosen: Chosen, machine: str) -> Chosen:
    if not machine:
        return chosen
    known = list(dict.fromkeys(series.machine for series in chosen.found))
    if machine not in known:
        raise InputError.plain(f"--machine: found {machine!r}; allowed: {', '.join(known)}")
    return chosen._replace(found=[series for series in chosen.found if series.machine == machine])


def _confirm(
    chosen: Chosen,
    findings: Sequence[gating.Finding],
    budget: float,
    sweep: str,
    device: str,
    machine: str,
    least: float,
) -> bool:
    """Whether it was interrupted."""
    if not gating.pairs_of(findings):
        return False
    notes = console(stderr=True)
    settling = Pairs(chosen, machine or machine_name(""), sweep, device, least)
    with interruptible(), notes.status("measuring in turns") as status:
        return settling.settle(findings, budget, lambda text: status.update(Text(text)))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError.plain(f"--markdown {path}: cannot be written ({error.strerror})") from error
