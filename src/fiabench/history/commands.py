"""The command that measures two commits of a history in turns, as a gate and the pages name it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from fiabench.history.acceptance import STATUS
from fiabench.history.repository import Commit
from fiabench.history.store import Store
from fiabench.results.metrics import DIRECTED

OWN_SWEEP = "history"
"""What is measured where no sweep is named."""
OF_FAILURES = "total"
"""What is measured where no metric is named, and where it matters whether there is something to measure."""


def sweep_of(store: Store, sweep: Mapping[str, Any]) -> tuple[str, str | None]:
    """The sweep of a run's header, by path or name (empty where it has none), and its profile: the copy that the
    history keeps of an outside project's has the profile in it."""
    name = str(sweep.get("name", ""))
    if name and store.outside and (kept := store.sweep(name)).exists():
        return str(kept), None
    return name, sweep.get("profile")


def confirm_command(
    store: Store, project: str, commits: tuple[Commit, Commit], sweep: Mapping[str, Any], metric: str, case: str
) -> str:
    """Measures ``case`` at ``commits`` in turns, by the ``sweep`` of a run's header; ``project`` is what `--project` is
    told, which a history of this repository itself is not. Empty of a metric that turns do not settle."""
    if metric not in (*DIRECTED, STATUS):
        return ""
    words = ["python", "tools/history.py", "confirm", *(commit.short for commit in commits)]
    words += ["--project", project] if store.outside else []
    place, profile = sweep_of(store, sweep)
    words += ["--sweep", place] if place and (store.outside or place != OWN_SWEEP) else []
    words += ["--profile", profile] if profile else []
    words += ["--metric", metric] if metric not in (OF_FAILURES, STATUS) else []
    return shlex.join([*words, "--cases", case])
