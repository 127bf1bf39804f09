"""How a commit is measured in short sessions: its code in rank processes of this engine, or by its own engine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import yaml

from fiabench.cases.case import Case
from fiabench.cases.errors import InputError
from fiabench.cases.expand import expand
from fiabench.cases.sweep import Sweep
from fiabench.history.repository import Commit
from fiabench.results.measurement import Measurement
from fiabench.results.rundir import read_run
from fiabench.workers.child import end_run
from fiabench.workers.coordinator import Coordinator
from fiabench.workers.group import GroupFailure, RankGroup
from fiabench.workers.machine import Machine
from fiabench.workers.merge import merge, unmeasured

_SHORT = {"min_samples": 3, "max_samples": 21, "max_seconds": 0.3, "warmup_max_seconds": 0.1}
"""A session among ranks that live on: the shorter, the sooner the other side's turn, before the box's mood changes."""
_SHORT_RUN = {"min_samples": 3, "max_samples": 60, "max_seconds": 1.0, "warmup_max_seconds": 0.5}
"""A session that is a run of its own, of which starting takes most."""
_TOOL_SECONDS = 900.0
"""How long one run of a commit's own tool may take."""
_SOME_FAILED = 3
"""Exit code of `tools/sweep.py run` where every case ended and some of them failed."""


class Contender(Protocol):
    """A commit that sessions are taken of."""

    commit: Commit

    @property
    def whole(self) -> bool:
        """Whether cases are better measured all at once than one by one."""
        ...

    def start(self, case: Case) -> None:
        """Starts fresh processes for ``case`` and those that need the same ranks, and waits for nothing."""
        ...

    def join(self) -> None:
        """Waits until what was started is ready."""
        ...

    def measure(self, cases: Sequence[Case]) -> dict[str, Measurement]:
        """A short session of each of ``cases``, by id; a failure is one of these."""
        ...

    def close(self) -> None:
        """Ends all processes."""
        ...


class Ranks:
    """A commit of an outside project: this engine measures, ranks of the commit's own get its files."""

    whole = False

    def __init__(self, commit: Commit, machine: Machine, sweep: Sweep, paths: Mapping[str, Path], logs: Path) -> None:
        """``paths`` says where the projects of ``sweep`` lie that this commit is of; ``logs`` takes the ranks' output.

        Starts nothing.
        """
        self.commit = commit
        self._machine = machine
        self._logs = logs
        placed = {
            name: project._replace(path=str(paths.get(name, project.path))) for name, project in sweep.projects.items()
        }
        sampling = sweep.sampling.model_copy(update={**_SHORT, "criterion": "fixed_count"})
        resolved = replace(sweep, projects=placed, sampling=sampling).resolved()
        self._coordinator = Coordinator(machine, resolved, logs, {})
        self._group: RankGroup | None = None
        self._joined = False
        self._threads = 0

    def start(self, case: Case) -> None:
        self.close()
        self._begin(case)

    def join(self) -> None:
        try:
            if self._group:
                self._meet(self._group)
        except GroupFailure:
            self._kill()  # measuring tries once more, and says what happens
        except BaseException:
            self._kill()
            raise

    def measure(self, cases: Sequence[Case]) -> dict[str, Measurement]:
        return {case.id: self._measure(case) for case in cases}

    def close(self) -> None:
        if self._group:
            self._group.close()
        self._group, self._joined = None, False

    def _measure(self, case: Case) -> Measurement:
        misfit = self._machine.misfit(case)
        if misfit:
            return unmeasured(case, self._machine, "does_not_fit", misfit)
        self.join()
        try:
            group = self._group or self._begin(case)
            self._meet(group)
            answers = group.ask(*self._coordinator.command(case))
        except GroupFailure as failure:
            self._kill()
            return unmeasured(case, self._machine, failure.status, failure.reason)
        except BaseException:
            self._kill()
            raise
        measurement = merge(case, answers, self._machine, None)
        if measurement.status == "out_of_memory":
            self._kill()
        return measurement

    def _begin(self, case: Case) -> RankGroup:
        self._threads = self._machine.threads(case)
        self._group = RankGroup(self._machine.device, case.world_size, self._threads, self._logs, case.variables)
        return self._group

    def _meet(self, group: RankGroup) -> None:
        if not self._joined:
            group.join()
            self._joined = True
            if self._machine.device == "cpu":
                _bind_alike(group.pids, self._threads)

    def _kill(self) -> None:
        if self._group:
            self._group.kill()
        self._group, self._joined = None, False


def _bind_alike(pids: Sequence[int], threads: int) -> None:
    """Gives each of the ranks ``threads`` cores, the same ones to the same rank of either side, if there are so many.

    Else a neighbour on one core hinders the side that happens to run there, for as long as a round lasts.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(pids) * threads > len(cores):
        return
    for rank, pid in enumerate(pids):
        mine = cores[rank * threads : (rank + 1) * threads]
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(ProcessLookupError):  # ended meanwhile
                os.sched_setaffinity(int(thread.name), mine)


class Tool:
    """A commit of this repository: its own `tools/sweep.py` measures, as a process, and its run directory is read."""

    whole = True

    def __init__(
        self, commit: Commit, checkout: Path, sweep: Sweep, profile: str | None, device: str, folder: Path
    ) -> None:
        """``sweep`` is what this engine makes of the file that the commit is asked for; ``folder`` takes its runs."""
        self.commit = commit
        self._checkout = checkout
        self._sweep = sweep
        self._cases = [point for point in expand(sweep) if isinstance(point, Case)]
        self._options = [*(["--profile", profile] if profile else []), "--device", device, "--no-figures"]
        self._folder = folder
        self._runs = 0

    def start(self, case: Case) -> None:
        """Nothing: every run has processes of its own."""

    def join(self) -> None:
        """Nothing, likewise."""

    def close(self) -> None:
        """Nothing, likewise."""

    def measure(self, cases: Sequence[Case]) -> dict[str, Measurement]:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._runs += 1
        out = self._folder / f"{self.commit.short}-{self._runs}"
        reason = self._run(cases, out)
        try:
            run = read_run(out)
        except InputError as error:
            return {case.id: _failed(case, reason or str(error)) for case in cases}
        measured = run.environment.get("commit")
        if measured != self.commit.hash:
            reason = f"the engine of commit {measured} measured: another than this checkout's was found"
            return {case.id: _failed(case, reason) for case in cases}
        found = {measurement.id: measurement for measurement in run.measurements}
        missing = reason or "this commit does not know the case"
        return {case.id: found.get(case.id) or _failed(case, missing) for case in cases}

    def _run(self, cases: Sequence[Case], out: Path) -> str:
        """Runs the sweep narrowed to ``cases``; returns what went wrong."""
        tool = self._checkout / "tools" / "sweep.py"
        if not tool.exists():
            return "has no tools/sweep.py: nothing to be asked"
        sweep = out.with_suffix(".yaml")
        sweep.write_text(yaml.safe_dump(shortened(Path(self._sweep.path)), sort_keys=False), encoding="utf-8")
        command = [sys.executable, tool, "run", sweep, "--out", out, *self._options]
        for text in filters_of(cases, self._cases):
            command += ["--filter", text]
        log = out.with_suffix(".log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                list(map(str, command)), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                cwd=self._checkout,
            )  # fmt: skip
            try:
                code = process.wait(_TOOL_SECONDS)
            except subprocess.TimeoutExpired:
                end_run(process)
                return f"was not done after {_TOOL_SECONDS:g} s"
            except BaseException:
                end_run(process)
                raise
        if code in (0, 1, _SOME_FAILED):
            return ""
        words = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return f"tools/sweep.py run ended with exit code {code}" + (f": {words[-1]}" if words else "")


def filters_of(cases: Sequence[Case], among: Sequence[Case]) -> list[str]:
    """`field=value,...` for each field that tells cases of the sweep, which are ``among``, apart: ``cases`` pass.

    Others are not named: an old engine may not know them.
    """
    texts = []
    for name in Case._fields:
        if name != "variables" and len({getattr(case, name) for case in among}) > 1:
            texts.append(f"{name}={','.join(dict.fromkeys(str(getattr(case, name)) for case in cases))}")
    return texts


def shortened(path: Path) -> dict[str, Any]:
    """The sweep file at ``path`` with short sessions, in every profile too."""
    document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    kept = {key: value for key, value in document.items() if key != "claims"}
    kept["sampling"] = _SHORT_RUN
    for profile in kept.get("profiles", {}).values():
        profile.pop("sampling", None)
        profile.pop("claims", None)
    return kept


def _failed(case: Case, reason: str) -> Measurement:
    return Measurement(id=case.id, case=case.as_dict(), status="error", reason=reason)
