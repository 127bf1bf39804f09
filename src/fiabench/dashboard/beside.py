"""Runs that are of no history, shown beside it: none is displaced by another, nor by what the history has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fiabench.history.repository import Commit
from fiabench.history.series import Series
from fiabench.history.store import Attempt
from fiabench.results.environment import is_simulated
from fiabench.results.rundir import Run


class RunOf(Commit):
    """What stands in the place of a commit for a run that has none, or that measured again what another run of its
    commit has: it is called by when it was begun, and by its directory."""

    @property
    def short(self) -> str:
        return self.hash


def placed(there: Sequence[Attempt], runs: Sequence[tuple[Path, Run]]) -> tuple[list[Attempt], set[str]]:
    """The attempts of ``runs``, beside ``there``, and which of their commits are :class:`RunOf`.

    The machine is the host; a simulated device on it is one of its own. Runs of one commit stand together where they
    are of one box and one set of software and no case is in both.
    """
    newest: dict[tuple[str, str], tuple[str, list[Run]]] = {}  # of a commit on a machine what a run may stand with
    for attempt in there:
        if attempt.run:
            newest.setdefault((attempt.machine, attempt.commit), (attempt.commit, []))[1].append(attempt.run)
    attempts, named = [], set()
    for path, run in sorted(runs, key=lambda one: str(one[1].header["created"])):
        machine = str(run.environment.get("host") or "box")
        if is_simulated(run.environment):
            machine += f" ({run.environment.get('device_name') or 'simulated'})"
        commit = str(run.header.get("commit") or "")
        place, others = newest.get((machine, commit), (commit, []))
        if not commit or any(_displaces(run, other) for other in others):
            place, others = _name(path, run, commit), []
            if place in named:
                place += f" ({path})"
            named.add(place)
        newest[machine, commit] = place, [*others, run]
        attempts.append(Attempt(machine, place, path, run, ""))
    return attempts, named


def _displaces(run: Run, other: Run) -> bool:
    return run.environment != other.environment or not {line.id for line in run.lines}.isdisjoint(
        line.id for line in other.lines
    )


def _name(path: Path, run: Run, commit: str) -> str:
    begun = str(run.header["created"])[:19].replace("T", " ")
    return " ".join(filter(None, [commit[:10], begun, path.name]))


def name(series: Sequence[Series], named: set[str]) -> None:
    """Calls the points of ``named`` what they are."""
    for one in series:
        one.points = [
            point._replace(commit=RunOf(*point.commit)._replace(subject="")) if point.commit.hash in named else point
            for point in one.points
        ]
