"""The upgrade question: the same code on two software stacks, what changed and by how much."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fiabench.cases.errors import InputError
from fiabench.history.filtering import filter_for
from fiabench.history.ranking import rank
from fiabench.history.series import differences, stack_of
from fiabench.history.store import Attempt, Store
from fiabench.results.comparison import Comparison, compare_sides
from fiabench.results.rundir import Run, read_run
from fiabench.results.sides import Side, read_sides


@dataclass(frozen=True)
class Upgrade:
    """All that is to be said of the step from one stack to the other."""

    code: str
    """Which code ran, in a sentence."""
    stack: list[tuple[str, str, str]]
    """What of the stack differs: fact, in A, in B."""
    comparison: Comparison

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        stack = [{"fact": name, "a": before, "b": now} for name, before, now in self.stack]
        return {"code": self.code, "stack": stack, **self.comparison.as_dict()}


def sides(a: str, b: str, store: Store | None, commit: str) -> tuple[list[Run], list[Run]]:
    """The runs of A and of B: two run directories, or without ``commit`` of the newest commit that two machines of
    ``store`` have in common. Raises InputError."""
    if store is None:
        return [read_run(Path(a))], [read_run(Path(b))]
    attempts, _ = store.attempts()
    machines = list(dict.fromkeys(attempt.machine for attempt in attempts))
    for name in (a, b):
        if name not in machines:
            raise InputError.plain(f"{name}: is no run directory and no machine; allowed: {', '.join(machines)}")
    of = {name: _finished(attempts, name) for name in (a, b)}
    common = of[a].keys() & of[b].keys()
    chosen = _chosen(store, common, commit)
    return of[a][chosen], of[b][chosen]


def _finished(attempts: Iterable[Attempt], machine: str) -> dict[str, list[Run]]:
    """By commit: the runs that ended, each with the cases of which it is the one that counts, by :func:`rank`."""
    found: dict[str, dict[str, tuple[int, Run]]] = {}
    for attempt in attempts:
        if attempt.machine == machine and attempt.finished and attempt.run:
            of_commit = found.setdefault(attempt.commit, {})
            for measurement in attempt.run.measurements:
                ranked = rank([measurement], attempt.quick)
                if measurement.id not in of_commit or ranked >= of_commit[measurement.id][0]:
                    of_commit[measurement.id] = ranked, attempt.run
    return {commit: _parts({name: run for name, (_, run) in counting.items()}) for commit, counting in found.items()}


def _parts(counting: dict[str, Run]) -> list[Run]:
    """Of each run the lines of the cases that it has in ``counting``."""
    runs = {run.path: run for run in counting.values()}
    return [
        Run(run.path, run.header, [line for line in run.lines if counting[line.id] is run]) for run in runs.values()
    ]


def _chosen(store: Store, common: Iterable[str], commit: str) -> str:
    """The newest of the ``common`` commits, or the one that ``commit`` begins or names."""
    hashes = list(common)
    repository = store.repository()
    if commit:
        wanted = repository.commit(commit).hash if repository else commit
        found = [name for name in hashes if name.startswith(wanted)]
        if len(found) != 1:
            raise InputError.plain(f"--commit {commit}: was not measured on both machines; allowed: {_listed(hashes)}")
        return found[0]
    ordered = repository.known(hashes) if repository else []
    if ordered:
        return ordered[-1].hash
    if not hashes:
        raise InputError.plain("the two machines have no commit in common, whose runs ended")
    if len(hashes) > 1:
        raise InputError.plain(
            "which commit is the newest nobody knows, as the repository is not here; "
            f"allowed: --commit, one of {_listed(hashes)}"
        )
    return hashes[0]


def _listed(hashes: Sequence[str]) -> str:
    return ", ".join(name[:10] for name in hashes) or "none"


def upgrade(
    a: list[Run],
    b: list[Run],
    other_code: bool,
    metrics: Sequence[str],
    relevant: float,
    filters: Sequence[str],
) -> Upgrade:
    """B against A. Raises InputError where they are not of one code, unless ``other_code`` allows it."""
    codes = [_code(runs) for runs in (a, b)]
    if codes[0] != codes[1]:
        said = f"A measured {_named(codes[0])}, B {_named(codes[1])}"
        if not other_code:
            raise InputError.plain(f"{said}: what differs may be the code; allowed: one code, or --other-code")
        code = f"other code: {said}"
    else:
        code = f"same code: {_named(codes[0])}"
    of_a, of_b = read_sides(a, b)
    wanted = filter_for((*a, *b), filters)
    stack = differences(_stack(of_a), _stack(of_b))
    return Upgrade(code, stack, compare_sides(of_a, of_b, metrics, relevant, wanted))


def _stack(side: Side) -> dict[str, str]:
    run = side.runs[0]
    return stack_of(run.environment, bool(_projects([run])))


def _projects(runs: Iterable[Run]) -> dict[str, set[str]]:
    """Each outside project that ran, with its commits, or its versions where it has no commit."""
    found: dict[str, set[str]] = {}
    for run in runs:
        for line in run.lines:
            for name, origin in line.timing.get("projects", {}).items():
                state = str(origin["commit"] or origin["version"])
                found.setdefault(name, set()).add(f"{state} with changes" if origin["dirty"] else state)
    return found


def _code(runs: list[Run]) -> dict[str, set[str]]:
    """What is under test: the projects that ran, else fiabench itself."""
    if found := _projects(runs):
        return found
    return {
        "fiabench": {
            f"{run.environment.get('commit')}{' with changes' if run.environment.get('dirty') else ''}" for run in runs
        }
    }


def _named(code: dict[str, set[str]]) -> str:
    return ", ".join(f"{name} {' and '.join(sorted(states))}" for name, states in code.items())
