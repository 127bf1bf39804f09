"""What to type for an event: one command that measures it in turns, one that accepts it."""

from __future__ import annotations

import shlex
from typing import Any

from fiabench.dashboard.beside import RunOf
from fiabench.dashboard.events import Event
from fiabench.dashboard.model import Model
from fiabench.history.commands import confirm_command


def reproduce(model: Model, event: Event) -> str:
    """Measures the commits before and after in turns; empty where there is nothing before, or the repository is not
    here."""
    if event.before is None or not model.repository:
        return ""
    commits = event.series.points[event.before].commit, event.place.commit
    if any(isinstance(commit, RunOf) for commit in commits):
        return ""
    sweep = _sweep(model, event.series.machine)
    projects = list(sweep.get("projects", ()))
    project = f"{projects[0]}={model.repository}" if len(projects) == 1 else model.repository
    return confirm_command(model.store, project, commits, sweep, event.metric, event.series.id)


def accept(model: Model, event: Event) -> str:
    """Accepts the change, or the failure; empty for that of a run which is of no history."""
    if (event.series.machine, event.place.commit.hash) not in model.of_history:
        return ""
    words = ["python", "tools/history.py", "accept", event.series.id, event.place.commit.short]
    words += ["--metric", event.metric]
    words += ["--project", model.store.name] if model.store.outside else []
    words += ["--store", str(model.place)] if model.place else []
    return shlex.join([*words, "--reason", "WHY"])


def _sweep(model: Model, machine: str) -> dict[str, Any]:
    """What the machine's newest run was measured with."""
    for attempt in reversed(model.newest.get(machine, [])):
        if attempt.run:
            found: dict[str, Any] = attempt.run.header.get("sweep") or {}
            return found
    return {}
