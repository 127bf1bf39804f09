"""What a commit's run directories say for asv: of each case the newest measurement, and no failure in its place."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isnan, nan
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from fiabench.asv_plugin import handover
from fiabench.asv_plugin.handover import Handed
from fiabench.asv_plugin.names import METRICS
from fiabench.asv_plugin.placing import asked_case, place
from fiabench.asv_plugin.placing import metrics as metrics_of
from fiabench.cases.errors import InputError
from fiabench.history.ranking import FAILED, MEASURED, QUICK, rank
from fiabench.history.store import read_note
from fiabench.results.measurement import Measurement
from fiabench.results.rundir import HEADER, Run, read_run


class Cell(NamedTuple):
    """A case at a commit, by metric; those that such a case never has are missing."""

    handed: dict[str, Handed]
    rank: int

    @property
    def measured(self) -> bool:
        return self.rank in (QUICK, MEASURED)

    @property
    def failed(self) -> bool:
        return self.rank == FAILED


@dataclass
class View:
    """All cases of a commit in one environment of asv's."""

    environment: str
    """asv's name of it; empty for runs that did not come from asv."""
    python: str
    variables: dict[str, str]
    box: dict[str, str]
    """The machine, as asv describes one, and its stack: asv's page makes selectors of them."""
    groups: dict[str, dict[tuple[str, str], Cell]] = field(default_factory=dict)
    """Group to parameters to case."""


Views: TypeAlias = "dict[str, View]"
"""By environment."""


def read_views(folder: Path) -> tuple[Views, list[str]]:
    """What the run directories in ``folder`` say, those of them that asv got an answer from or that were brought in;
    and which cannot be read, in words."""
    views: Views = {}
    unreadable = []
    for directory in sorted(path for path in folder.glob("*") if (path / HEADER).exists()):
        note = read_note(directory)
        if note and not note["answered"]:
            continue  # goes on at the next `asv run`, which then hands it over
        try:
            run = read_run(directory)
        except InputError as error:
            unreadable.append(str(error))
            continue
        environment = note.get("environment", "")
        view = views.setdefault(environment, _view(environment, note, run))
        for lines in handover.by_case(run.lines).values():
            _take(view, lines, run.header["options"]["device"], note)
    return views, unreadable


def _view(environment: str, note: dict[str, Any], run: Run) -> View:
    python = ".".join(str(run.environment.get("python", "")).split(".")[:2])
    return View(environment, python, note.get("variables", {}), _box(run.environment))


def _box(environment: dict[str, Any]) -> dict[str, str]:
    system, release, arch = [*str(environment.get("system", "")).split(" "), "", "", ""][:3]
    versions = environment.get("versions") or {}
    stack = {"torch": versions.get("torch"), "torch_npu": versions.get("torch_npu"), "cann": environment.get("cann")}
    stack |= {"driver": environment.get("driver"), "cuda": environment.get("cuda")}
    box = {
        "arch": arch, "cpu": str(environment.get("cpu", "")), "num_cpu": str(environment.get("cores", "")),
        "os": f"{system} {release}".strip(), "ram": "", "device": str(environment.get("device_name", "")),
    }  # fmt: skip
    return box | {name: str(value) for name, value in stack.items() if value}


def _take(view: View, lines: list[Measurement], device: str, note: dict[str, Any]) -> None:
    """Takes what one run has of a case, where it is no worse than what runs before it had."""
    case = asked_case(lines[0])
    placed = place(case, device)
    has = [name for name in METRICS if name in metrics_of(case)]
    by_session = handover.sessions(lines)
    cell = Cell({name: _together(by_session[name]) for name in has}, rank(lines, bool(note.get("quick"))))
    cells = view.groups.setdefault(placed.group, {})
    before = cells.get(placed.parameters)
    if before is not None and cell.rank < before.rank:
        return
    if before is not None and note.get("appended") and cell.rank == before.rank:
        cell = cell._replace(handed={name: _added(before.handed[name], cell.handed[name]) for name in has})
    cells[placed.parameters] = cell


def _together(sessions: list[Handed]) -> Handed:
    """The samples of all sessions, as asv appends them round by round; a failure in any of them is one."""
    if any(value is None for value in sessions):
        return None
    if all(isinstance(value, list) for value in sessions):
        return [sample for value in sessions if isinstance(value, list) for sample in value]
    numbers = [value for value in sessions if isinstance(value, float) and not isnan(value)]
    return max(numbers, default=nan)


def _added(before: Handed, now: Handed) -> Handed:
    return before + now if isinstance(before, list) and isinstance(now, list) else now
