"""Measures a project's commits through asv, one after the other, into the history's run directories.

asv is started for each commit anew: what is measured is kept whatever comes later, the order is free, and a commit that
is there already costs nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from fiabench.cases.case import Case
from fiabench.cases.errors import InputError
from fiabench.cases.expand import expand
from fiabench.cases.sweep import Sweep
from fiabench.history.freezing import measures_alike
from fiabench.history.repository import Commit
from fiabench.history.store import Attempt, Store, check_name
from fiabench.results.environment import is_simulated
from fiabench.results.measurement import FAILED, Measurement
from fiabench.results.rundir import Run
from fiabench.workers.child import child_environment

SWEEP, PROJECT, DEVICE = "FIABENCH_SWEEP", "FIABENCH_PROJECT", "FIABENCH_DEVICE"
"""Environment variables that tell asv's benchmarks what to measure: the sweep's path, the name of its project that the
commit's checkout is (without it the commit's own engine is asked), and on which device."""
_BENCHMARKS = r"^attention\.World({})_"
"""Of the suite's benchmarks those of the sweep's cases that have these world sizes."""
_LAST_WORDS = 4000
_COMMIT_S_DOING = ("Failed to build the project", "fatal: ")
"""What asv, or the git that it calls, says of a commit that cannot be checked out or built."""


@dataclass(frozen=True)
class Plan:
    """What is measured at each commit."""

    store: Store
    machine: str
    """As asv knows it."""
    sweep: Sweep
    """Its path is the file that every commit gets."""
    project: str = ""
    """Of the sweep, the one that the commits are of; empty for this repository itself."""
    device: str = "auto"
    sessions: int = 1


class Outcome(NamedTuple):
    """What came of a commit."""

    commit: Commit
    seconds: float
    statuses: Counter[str]
    """How its cases ended."""
    reason: str
    """Why it, or the first of its cases that failed, did; empty where everything was measured or left out."""

    @property
    def failed(self) -> bool:
        return bool(self.reason)


class Due(NamedTuple):
    """What is to be measured at a commit."""

    commit: Commit
    world_sizes: tuple[int, ...]
    """Of the cases; each of them is a run of its own."""


def due(plan: Plan, commits: Iterable[Commit], again: bool = False) -> tuple[list[Due], list[Commit]]:
    """What is not there yet of ``commits``, in their order, all of them ``again``; and those of which nothing is
    missing, but of which a case failed.

    What was measured in another way, or in fewer sessions, counts for nothing.
    """
    world_sizes = {point.id: point.world_size for point in expand(plan.sweep) if isinstance(point, Case)}
    found, failed = [], []
    for commit in commits:
        ended: dict[str, bool] = {}
        for attempt in [] if again else plan.store.attempts(plan.machine, commit.hash)[0]:
            if attempt.run and attempt.finished and _counts(attempt, attempt.run, plan):
                for line in attempt.run.measurements:  # a failure takes nothing away from what was measured
                    ended[line.id] = ended.get(line.id, False) or not line.failed
        missing = {size for name, size in world_sizes.items() if name not in ended}
        if missing:
            found.append(Due(commit, tuple(sorted(missing))))
        elif not all(ended[name] for name in world_sizes):
            failed.append(commit)
    return found, failed


def _counts(attempt: Attempt, run: Run, plan: Plan) -> bool:
    """Whether it measured what the plan asks for. What is simulated stands for nothing that is measured."""
    if plan.device != attempt.device if plan.device != "auto" else is_simulated(run.environment):
        return False
    sessions = run.header["options"].get("sessions", 1)  # which older engines do not know
    return sessions >= plan.sessions and measures_alike(run.header["sweep"], plan.sweep.resolved())


def measure(plan: Plan, due: Due, lock: int) -> Outcome:
    """Has asv measure what is ``due``. ``lock`` holds the history's lock as long as asv lives.

    Raises KeyboardInterrupt when everything that was started has ended, with what was measured kept, and InputError
    where nothing could be run, whatever the commit.
    """
    commit, started = due.commit, time.monotonic()
    refused_before = plan.store.refusals(plan.machine, commit.hash)
    before = {attempt.path: attempt for attempt in plan.store.attempts(plan.machine, commit.hash)[0]}
    code, printed = _asv(plan, due, lock)
    after = plan.store.attempts(plan.machine, commit.hash)[0]
    fresh = [attempt for attempt in after if not _is_old(before.get(attempt.path), attempt)]
    reason = next((attempt.reason for attempt in fresh if attempt.reason), "")
    refusals = plan.store.refusals(plan.machine, commit.hash)
    refused = "; ".join(dict.fromkeys(why for path, why in refusals.items() if path not in refused_before))
    if refused and not fresh:
        raise InputError.plain(f"{commit}: {refused}")
    reason = reason or refused
    if not fresh:
        reason = f"asv measured nothing (exit code {code}): {_essence(printed)}"
        if any(words in printed for words in _COMMIT_S_DOING):  # and not that asv was refused, or does not run at all
            plan.store.note_failure(plan.machine, commit.hash, reason)
    lines: dict[str, Measurement] = {}
    for attempt in fresh:
        if attempt.run:
            lines |= {measurement.id: measurement for measurement in attempt.run.measurements}
    wrong = next((line for line in lines.values() if line.status in FAILED), None)
    statuses = Counter(line.status for line in lines.values())
    return Outcome(commit, time.monotonic() - started, statuses, reason or (wrong.reason if wrong else ""))


def _is_old(before: Attempt | None, now: Attempt) -> bool:
    """Whether nothing was added to what was there."""
    if before is None:
        return False
    lines = len(now.run.lines) if now.run else 0
    return lines == (len(before.run.lines) if before.run else 0) and now.reason == before.reason


def _asv(plan: Plan, due: Due, lock: int) -> tuple[int, str]:
    """asv's exit code and the end of what it printed."""
    benchmarks = _BENCHMARKS.format("|".join(map(str, due.world_sizes)))
    asv = [sys.executable, "-m", "asv", "run", "--config", str(plan.store.configuration), "--machine", plan.machine]
    asv += ["--bench", benchmarks, "--attribute", f"rounds={plan.sessions}", "--show-stderr", "--record-samples"]
    # A combination's process only hands over numbers: forked, it takes a tenth of what a fresh Python does.
    asv += ["--launch-method", "forkserver", f"{due.commit.hash}^!"]
    environment = child_environment(**{SWEEP: plan.sweep.path, DEVICE: plan.device})
    environment.pop(PROJECT, None)
    if plan.project:
        environment[PROJECT] = plan.project
    begins = plan.store.log.stat().st_size if plan.store.log.exists() else 0
    with plan.store.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "fiabench.history.guard", *asv],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            pass_fds=(lock,),
            start_new_session=True,
        )
        assert process.stdin is not None
        try:
            code = process.wait()
        finally:
            process.stdin.close()
            process.wait()
    with plan.store.log.open("rb") as printed:
        printed.seek(max(begins, os.fstat(printed.fileno()).st_size - _LAST_WORDS))
        return code, printed.read().decode(errors="replace")


def _essence(printed: str) -> str:
    """What git could not do, else the last line, without the dots that asv begins it with."""
    lines = [line for text in printed.splitlines() if (line := text.strip(" \t·"))]
    fatal = [line for line in lines if line.startswith("fatal: ")]
    return (fatal or lines or ["no message"])[-1]


def machine_name(wanted: str) -> str:
    """What asv calls this machine, or ``wanted``; makes it known to asv, as `asv machine --yes` does, where it is
    not. Raises InputError where that can be no folder's name."""
    from asv.machine import Machine, MachineCollection  # half a second that only a run should pay
    from asv.util import UserError

    name = wanted or str(Machine.get_unique_machine_name())
    check_name("--machine", name)
    try:
        return str(MachineCollection.load(name)["machine"])
    except UserError:
        MachineCollection.save(name, {**Machine.get_defaults(), "machine": name})
        return name
