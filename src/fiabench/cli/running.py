"""`run`: from a sweep to a run directory, or on with one that was interrupted."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from fiabench.cases.case import Case
from fiabench.cases.errors import InputError
from fiabench.cases.expand import LeftOut, expand
from fiabench.cases.filters import parse_filters
from fiabench.cases.sweep import Sweep
from fiabench.cli.checkout import ROOT
from fiabench.cli.progress import RunProgress
from fiabench.cli.work import Work
from fiabench.results.environment import environment, now
from fiabench.results.measurement import Measurement
from fiabench.results.rundir import Run, RunDirectory
from fiabench.simulation.effects import check_ranks, parse_effects
from fiabench.simulation.spec import PREFIX, allowed
from fiabench.workers.budget import Budget
from fiabench.workers.coordinator import Coordinator
from fiabench.workers.group import StandingRanks
from fiabench.workers.machine import Machine, find_machine, simulated_machine

_BYTES_A_CASE = 256 * 2**10
"""Room that one line of `cases.jsonl` may need: 200 samples of eight phases on eight ranks take 250 KB."""
LOGS = "logs"


@dataclass(frozen=True)
class Options:
    """What a run was asked for beside its sweep; kept in the header, so that --resume goes on alike."""

    device: str
    filters: tuple[str, ...]
    peak_tflops: float | None
    plants: tuple[str, ...] = ()
    """What is planted into a simulated device."""
    seed: int = 0
    """From which a simulated device's noise is drawn."""
    sessions: int = 1
    """How often each case is measured, each time in fresh processes."""
    budget: float | None = None
    """Seconds that measuring may take; None for as long as it needs."""
    cross_check: str = ""
    """By what each case is looked at once more: `profiler`, `mspti`, or not at all."""


def chosen(sweep: Sweep, filters: Sequence[str]) -> Iterator[Case | LeftOut]:
    """The points of a sweep that the filters keep. Raises InputError where a filter is wrong, and at the end where none
    of them is a case."""
    wanted = parse_filters(filters, sweep.projects, sweep.variables)
    some = False
    for point in expand(sweep):
        if wanted.may_pass(point.point) if isinstance(point, LeftOut) else wanted(point):
            some = some or not isinstance(point, LeftOut)
            yield point
    if not some:
        raise InputError.plain(f"no case of {sweep.name} is left by --filter {' '.join(filters) or '(none)'}")


def select(sweep: Sweep, filters: Sequence[str]) -> tuple[list[Case], Counter[tuple[str, str]]]:
    """The cases to measure, those of one world size and variables together, and what is left out: (rule, reason) to
    points.

    Raises InputError where a filter is wrong, or leaves nothing.
    """
    cases, left_out = [], Counter[tuple[str, str]]()
    for point in chosen(sweep, filters):
        if isinstance(point, LeftOut):
            left_out[point.rule, point.reason] += 1
        else:
            cases.append(point)
    return sorted(cases, key=lambda case: (case.world_size, case.variables)), left_out


def start(sweep: Sweep, options: Options, out: Path | None, nodes: int = 1) -> tuple[RunDirectory, Machine, Work]:
    """Checks everything that can be wrong, then makes the run directory. Raises InputError with nothing made."""
    cases, left_out = select(sweep, options.filters)
    machine = _machine(options)
    check_ranks(parse_effects(options.plants, sweep.projects), max(case.world_size for case in cases))
    _require_ranks(cases, machine.times(nodes))
    path = out or ROOT / "runs" / f"{datetime.now():%Y%m%d-%H%M%S}-{sweep.name}"
    _require_room(path, len(cases) * options.sessions)
    header = {
        "created": now(),
        "finished": None,
        "sweep": sweep.resolved(),
        "options": {**vars(options), "filters": list(options.filters), "plants": list(options.plants)},
        "cases": len(cases),
        "left_out": [{"rule": rule, "reason": why, "points": count} for (rule, why), count in left_out.items()],
        "environment": environment(machine.facts, _peak(machine, options), ROOT),
    }
    return RunDirectory.create(path, header), machine, Work(cases, options.sessions)


def resume(path: Path, budget: float | None = None) -> tuple[RunDirectory, Machine, Work, Run]:
    """An unfinished run, with what is still to be measured, within ``budget`` seconds from now on.

    Raises InputError where it cannot go on here.
    """
    directory, run = RunDirectory.reopen(path)
    kept = run.header["options"]
    later = {name: kept[name] for name in ("seed", "sessions", "cross_check") if name in kept}  # which older runs lack
    later["plants"] = tuple(kept.get("plants", ()))
    options = Options(run.environment["device"], tuple(kept["filters"]), kept["peak_tflops"], **later)
    cases, _ = select(Sweep.from_resolved(run.header["sweep"]), options.filters)
    work = Work(cases, options.sessions)
    work.ended(run.lines)
    machine = _machine(options)
    found = environment(machine.facts, _peak(machine, options), ROOT)
    for name in ("device_name", "versions", "operator", "simulation"):
        if found[name] != run.environment.get(name):
            raise InputError.plain(
                f"{path}: was begun with {name} {_said(run.environment.get(name))}, found {_said(found[name])} here: "
                "measurements of two boxes or software stacks do not belong into one run"
            )
    kept["budget"] = budget
    return directory, machine, work, run


def _said(value: Any) -> str:
    """A value of a fingerprint in a sentence: of a simulation its constants, which may be many, cut short."""
    text = repr(value)
    return text if len(text) <= 400 else f"{text[:400]}..."


def _machine(options: Options) -> Machine:
    """What ``options`` ask for. Raises InputError where it is not there, or takes nothing planted."""
    if options.device.startswith(PREFIX):
        if options.cross_check:
            found = f"found --device {options.device}, on which no kernel runs"
            raise InputError.plain(f"--cross-check: {found}; allowed: a real device")
        return simulated_machine(options.device, options.plants, options.seed)
    if options.plants or options.seed:
        raise InputError.plain(f"--plant, --seed: found --device {options.device}; allowed: with {allowed()}")
    return find_machine(options.device)


def _peak(machine: Machine, options: Options) -> dict[str, Any] | None:
    if options.peak_tflops is None:
        return machine.peak
    flops = dict.fromkeys(("fp16", "bf16", "fp32"), options.peak_tflops * 1e12)
    known = machine.peak or {"memory_bandwidth": None, "link": None}
    return {**known, "flops": flops, "source": "given with --peak-tflops"}


def _require_ranks(cases: list[Case], machine: Machine) -> None:
    most = max(cases, key=lambda case: case.world_size)
    if most.world_size > machine.max_ranks:
        fitting = sorted({case.ulysses for case in cases if case.world_size <= machine.max_ranks})
        way_out = f"; try --filter ulysses={','.join(map(str, fitting))}" if fitting else ""
        allowed = f"{machine.device} allows {machine.max_ranks} here"
        raise InputError.plain(f"{most.head_shard}: found {most.world_size} ranks; {allowed}{way_out}")


def _require_room(path: Path, cases: int) -> None:
    there = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    free, needed = shutil.disk_usage(there).free, cases * _BYTES_A_CASE
    if free < needed:
        found = f"{free / 2**20:,.0f} MiB are free, {cases:,} measurements may need {needed / 2**20:,.0f}"
        raise InputError.plain(f"{path}: {found}; name another --out")


def measure_cases(
    directory: RunDirectory,
    machine: Machine,
    work: Work,
    out: Console,
    each: Callable[[Measurement], None],
    ranks: StandingRanks | None = None,
) -> None:
    """Does ``work`` into ``directory``, one session after the other, so that an interrupted run has whole ones.

    Within a budget some of it may stay undone, and the run unfinished. Shows progress on ``out`` and hands each
    measurement to ``each``. ``ranks`` are there already; without them each group is started.
    """
    header = directory.header
    peak, seconds = header["environment"]["peak"], header["options"]["budget"]
    flops, budget = peak["flops"] if peak else {}, Budget(seconds) if seconds else None
    cross_check = header["options"].get("cross_check", "")
    with (
        Coordinator(machine, header["sweep"], directory.path / LOGS, flops, budget, cross_check, ranks) as coordinator,
        RunProgress(out, coordinator) as progress,
    ):
        for session in range(work.sessions):
            due = work.due(session)
            later = [case for other in range(session + 1, work.sessions) for case in work.due(other)]
            progress.expect([*due, *later], f"session {session + 1} of {work.sessions}" if work.sessions > 1 else "")
            for case, measurement in coordinator.measure(due, session, later):
                directory.append(measurement)
                work.ended([measurement])
                progress.ended(case, measurement)
                each(measurement)
    header["finished"] = None if work.left else now()
    directory.write_header()
    directory.close()


def write_json_line(measurement: Measurement) -> None:
    sys.stdout.write(json.dumps(measurement.as_dict(), ensure_ascii=False) + "\n")
    sys.stdout.flush()
