"""`run` of `tools/history.py`: the commits of a range, measured through asv one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
from rich.text import Text

from fiabench.cases.case import ATTENTION_ADAPTERS, EXCHANGE_ADAPTERS
from fiabench.cases.errors import InputError, nearest
from fiabench.cases.load import load_sweep
from fiabench.cases.sweep import Sweep
from fiabench.cli.checkout import ROOT, find_sweep, sweep_names
from fiabench.cli.ending import INTERRUPTED, OK, SOME_FAILED, interruptible
from fiabench.cli.histories import place_of, store_of, store_option
from fiabench.cli.table import console
from fiabench.history import freezing, runner
from fiabench.history.commands import OWN_SWEEP
from fiabench.history.repository import NEWEST, ORDERS, Commit, Repository, in_order
from fiabench.history.store import Store
from fiabench.results import units
from fiabench.results.words import essence
from fiabench.workers.machine import find_machine

_GIVE_UP = 3
"""Commits in a row that leave no measurement, failed or not: it is not the commits then."""

_NAMED = 5
"""Commits that failed before, by name."""


@click.command()
@click.option(
    "--project",
    metavar="[NAME=]PATH",
    help="The outside repository, and where several could be meant the sweep's project that it is; its uncommitted "
    "changes never matter.",
)
@click.option("--name", metavar="NAME", help="What its history is called.  [default: the folder's name]")
@click.option("--range", "span", default="", metavar="A..B", help="The commits after A up to B, as git has them.")
@click.option("--adapter", metavar="ADAPTER", help="How the project's attention is called: see sweeps/README.md.")
@click.option("--sweep", metavar="NAME|FILE", help="What to measure.  [default: the adapter's own; history]")
@click.option("--profile", metavar="NAME", help="A profile of the sweep.")
@click.option("--every", type=click.IntRange(min=1), default=1, metavar="N", help="Each N-th commit, the newest too.")
@click.option("--tags", is_flag=True, help="Only commits that a tag names; without --range every tag.")
@click.option("--order", type=click.Choice(ORDERS), default=NEWEST, show_default=True, help="What is measured first.")
@click.option("--device", type=click.Choice(["auto", "npu", "cuda", "cpu"]), default="auto", show_default=True)
@click.option("--sessions", type=click.IntRange(min=1), default=1, show_default=True, metavar="N",
              help="Measure every case N times, each time in fresh processes.")  # fmt: skip
@click.option("--machine", default="", metavar="NAME", help="What asv calls this machine.  [default: as asv does]")
@click.option("--again", is_flag=True, help="Also what is there already, and with a sweep that changed since.")
@store_option
def run(
    project: str | None,
    name: str | None,
    span: str,
    adapter: str | None,
    sweep: str | None,
    profile: str | None,
    every: int,
    tags: bool,
    order: str,
    device: str,
    sessions: int,
    machine: str,
    again: bool,
    place: Path | None,
) -> int:
    """Measures each commit of a range that is not measured yet, through asv.

    Ends with 0, with 3 where a commit or a case failed, with 2 where nothing could be run. What is finished is kept
    however it ends, and the same command goes on with what is missing.
    """
    notes = console(stderr=True)
    if not (span or tags):
        raise InputError.plain("--range: found none; allowed: A..B, the commits after A up to B, or --tags")
    key, _, path = (project or "").rpartition("=")
    repository = Repository(Path(path).resolve() if project else ROOT)
    loaded = load_sweep(find_sweep(sweep_for(sweep, adapter, bool(project))), profile)
    if project:
        key = project_in(loaded, key, adapter)
        store = Store.of(place_of(place), name or repository.path.name)
    elif adapter or name or profile or place:
        raise InputError.plain("--adapter, --name, --profile, --store: found no --project; allowed: with one")
    else:
        store = store_of(None, place)
    commits = in_order(repository.commits(span, tags, every), order)
    if device != "auto":  # which is always there, and costs the seconds of importing torch
        find_machine(device)
    machine = runner.machine_name(machine)
    with interruptible(), store.locked() as lock:
        if project:
            store.configure(repository, ROOT / "benchmarks")
        plan = runner.Plan(store, machine, _kept(store, loaded, again), key, device, sessions)
        due, failed = runner.due(plan, commits, again)
        if changed := repository.changed:
            changes = _counted(changed, "uncommitted change")
            notes.print(f"{repository.path}: {changes} left alone: commits are measured as they are", soft_wrap=True)
        there = len(commits) - len(due)
        notes.print(_counted(len(commits), "commit") + (f", {there} of them measured before" if there else ""))
        return _measure_all(plan, due, failed, lock)


def _measure_all(plan: runner.Plan, due: Sequence[runner.Due], failed: Sequence[Commit], lock: int) -> int:
    """Measures what is ``due``; of the other commits some ``failed`` before."""
    notes, outcomes = console(stderr=True), list[runner.Outcome]()
    for index, one in enumerate(due):
        text = Text(f"[{index + 1}/{len(due)}] {one.commit}")
        try:
            with notes.status(text):
                outcomes.append(runner.measure(plan, one, lock))
        except KeyboardInterrupt:
            done, rest = _counted(index, "commit"), f"what was measured of {one.commit.short} is kept"
            notes.print(f"Interrupted. {done} done, and {rest}; the same command goes on.", soft_wrap=True)
            return INTERRUPTED
        spent = sum(outcome.seconds for outcome in outcomes)
        left = units.span(spent / len(outcomes) * (len(due) - len(outcomes)))
        text.append(f": {_outcome(outcomes[-1])} ({units.span(outcomes[-1].seconds)}; about {left} left)")
        notes.print(text, style="red" if outcomes[-1].failed else "", soft_wrap=True)
        if len(outcomes) >= _GIVE_UP and not any(outcome.statuses for outcome in outcomes[-_GIVE_UP:]):
            notes.print(f"{_GIVE_UP} commits in a row gave nothing, so this ends here; asv's words: {plan.store.log}",
                        style="red", soft_wrap=True)  # fmt: skip
            break
    shown = f" --project {plan.store.name}" if plan.project else ""
    notes.print(f"{_summary(outcomes, failed)}; see: history.py show{shown}", soft_wrap=True)
    return SOME_FAILED if failed or any(outcome.failed for outcome in outcomes) else OK


def _summary(outcomes: Sequence[runner.Outcome], failed: Sequence[Commit]) -> str:
    """How the ``outcomes`` ended, and which commits had ``failed`` before."""
    measured = [outcome for outcome in outcomes if outcome.statuses]
    parts = [f"{_counted(len(measured), 'commit')} measured" if outcomes else "nothing is missing"]
    if partly := sum(outcome.failed for outcome in measured):
        parts.append(f"{partly} of them with failures")
    if nothing := len(outcomes) - len(measured):
        parts.append(f"nothing of {nothing}")
    if failed:
        names = ", ".join(commit.short for commit in failed[:_NAMED]) + (", ..." if len(failed) > _NAMED else "")
        parts.append(f"{_counted(len(failed), 'commit')} failed before ({names}): --again measures what is there anew")
    return ", ".join(parts)


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _outcome(outcome: runner.Outcome) -> str:
    counts = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in outcome.statuses.items())
    reason = " ".join(essence(outcome.reason).split())
    return f"{counts or 'nothing measured'}{f': {reason}' if reason else ''}"


def _kept(store: Store, sweep: Sweep, again: bool) -> Sweep:
    """``sweep`` as every commit gets it: a copy that stays as it is.

    This repository's own commits read the file itself with the engine of their time, which may not know all that a
    copy spells out. Raises InputError where the sweep changed since it was measured last.
    """
    path = store.sweep(sweep.name)
    if path.exists() and not again:
        differences = freezing.differences(load_sweep(path), sweep)
        if differences:
            raise InputError.plain(
                f"{sweep.path}: changed since this history was measured with it: {'; '.join(differences)}. Give the "
                "sweep another name, or --again to measure the commits of the range anew; what is there stays"
            )
    frozen = freezing.freeze(sweep, path)
    return frozen if store.outside else replace(sweep, path=str(Path(sweep.path).resolve()))


def sweep_for(sweep: str | None, adapter: str | None, outside: bool) -> str:
    """The sweep that is meant: the one named, the shipped one of the adapter's name, this repository's own."""
    if sweep or not outside:
        return sweep or OWN_SWEEP
    shipped = sweep_names()
    if adapter is None:
        raise InputError.plain(
            f"--project: found no --sweep and no --adapter; allowed: {', '.join(shipped)}, or a path"
        )
    found = adapter.replace("_", "-")
    if found not in shipped and _adapter(adapter):
        raise InputError.plain(
            f"--adapter {adapter}: no sweep is shipped for it; give --sweep FILE, see sweeps/README.md"
        )
    return found


def _adapter(text: str) -> str:
    """The adapter that is meant, with dashes or underscores. Raises InputError where there is none."""
    known = [*ATTENTION_ADAPTERS, *EXCHANGE_ADAPTERS]
    name = text.replace("-", "_")
    if name not in known:
        hint = nearest(name, known)
        raise InputError.plain(f"--adapter: found {text!r}; allowed: {', '.join(known)}{f' ({hint})' if hint else ''}")
    return name


def project_in(sweep: Sweep, key: str, adapter: str | None) -> str:
    """Which of the sweep's projects is measured. Raises InputError where none or several could be meant."""
    wanted = _adapter(adapter) if adapter else ""
    projects = {name: project for name, project in sweep.projects.items() if not key or name == key}
    if not projects:
        known = ", ".join(sweep.projects) or "none: the sweep has no projects section"
        raise InputError.plain(f"--project {key or '(any)'}: {sweep.name} measures no such project; allowed: {known}")
    fitting = [name for name, project in projects.items() if not wanted or project.adapter == wanted]
    if not fitting:
        found = ", ".join(f"{name} by {project.adapter}" for name, project in projects.items())
        raise InputError.plain(f"--adapter {adapter}: does not fit {sweep.name}, which measures {found}")
    if len(fitting) > 1:
        raise InputError.plain(f"--project: several of {sweep.name} could be meant; say which: {fitting[0]}=PATH")
    return fitting[0]
