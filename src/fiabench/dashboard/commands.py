"""What to type for an event: one command that measures it in turns, one that accepts it."""

from __future__ import annotations

import shlex
from typing import Any

from fiabench.dashboard.events import Event
from fiabench.dashboard.model import Model
from fiabench.history.acceptance import STATUS

OWN_SWEEP = "history"
"""What `confirm` measures where no sweep is named."""


def reproduce(model: Model, event: Event) -> str:
    """Measures the commits before and after in turns; empty where there is nothing before, or the repository is not
    here."""
    if event.before is None or not model.repository:
        return ""
    sweep = _sweep(model, event.series.machine)
    name = str(sweep.get("name", ""))
    kept = model.store.sweep(name) if name else None
    # The history's copy of an outside project's sweep has the profile in it.
    copied = model.store.outside and kept is not None and kept.exists()
    words = ["python", "tools/history.py", "confirm"]
    words += [event.series.points[event.before].commit.short, event.place.commit.short]
    if model.store.outside:
        projects = list(sweep.get("projects", ()))
        words += ["--project", f"{projects[0]}={model.repository}" if len(projects) == 1 else model.repository]
    if name and (model.store.outside or name != OWN_SWEEP):
        words += ["--sweep", str(kept) if copied else name]
    if sweep.get("profile") and not copied:
        words += ["--profile", str(sweep["profile"])]
    words += ["--metric", event.metric] if event.metric not in (STATUS, "total") else []
    return shlex.join([*words, "--cases", event.series.id])


def accept(model: Model, event: Event) -> str:
    """Accepts the change, or the failure."""
    words = ["python", "tools/history.py", "accept", event.series.id, event.place.commit.short]
    words += ["--metric", event.metric]
    words += ["--project", model.store.name] if model.store.outside else []
    return shlex.join([*words, "--reason", "WHY"])


def _sweep(model: Model, machine: str) -> dict[str, Any]:
    """What the machine's newest run was measured with."""
    for attempt in reversed(model.newest.get(machine, [])):
        if attempt.run:
            found: dict[str, Any] = attempt.run.header.get("sweep") or {}
            return found
    return {}
