"""One side of a comparison: the run directories that are its sessions, and what they ran on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

from fiabench.cases.errors import InputError
from fiabench.results.cells import origin_name
from fiabench.results.environment import is_simulated, ran_on
from fiabench.results.measurement import Measurement
from fiabench.results.rundir import Run

_MAY_DIFFER = frozenset({"host", "memory_bytes", "commit", "dirty", "simulation.seed"})
"""Facts in which the sessions of one side may differ: a container's host name is its own, and memory is what is left
to it."""
_UNTOLD = ("operator_note", "peak.source")
"""Facts that change no number."""


class Fact(NamedTuple):
    """Something that the sides differ in, by its place in `run.json`; None where a side does not have it."""

    name: str
    a: Any
    b: Any


class Side:
    """The sessions of A or of B."""

    def __init__(self, name: str, runs: list[Run]) -> None:
        """Raises InputError where the ``runs`` cannot be sessions of one thing."""
        self.name, self.runs = name, runs
        self.facts = _facts(runs[0])
        self.simulated = is_simulated(runs[0].environment)
        self.lines: dict[str, list[Measurement]] = defaultdict(list)
        """Of each case, by id: every session, in order."""
        for run in runs:
            for line in sorted(run.lines, key=lambda line: line.session):
                self.lines[line.id].append(line)
        self._require_one_thing()

    def __str__(self) -> str:
        return f"{self.name} ({', '.join(str(run.path) for run in self.runs)})"

    @property
    def emulated(self) -> bool:
        """Whether something stood in for the operator."""
        return any(run.environment.get("emulated") for run in self.runs)

    @property
    def sessions(self) -> int:
        """The most that any case has."""
        return max(map(len, self.lines.values()), default=0)

    def differences(self, other: Side) -> list[Fact]:
        """What differs between what the sides ran on, in the order of `run.json`."""
        return list(_unlike(self.facts, other.facts))

    def cautions(self, other: Side) -> list[str]:
        """What must be known before any number of the two is believed."""
        said = []
        a, b = (side.runs[0].environment for side in (self, other))
        if (a["device"], a["device_name"]) != (b["device"], b["device_name"]):
            said.append(f"A ran on {ran_on(a)}, B on {ran_on(b)}: what differs may be the device")
        if self.emulated != other.emulated:
            said.append(f"the operator is emulated in {self.name if self.emulated else other.name} alone")
        if self.simulated and {_seed(run) for run in self.runs} & {_seed(run) for run in other.runs}:
            said.append("A and B drew the same noise, of one seed: only what is planted can differ")
        for side in (self, other):
            commits = {run.environment.get("commit") for run in side.runs}
            if len(commits) > 1:
                said.append(f"{side.name}: sessions of {len(commits)} commits of fiabench")
            if any(run.environment.get("dirty") for run in side.runs):
                said.append(f"{side.name}: fiabench had changes that are in no commit")
            said += [f"{run.path}: is unfinished" for run in side.runs if not run.header.get("finished")]
        return said

    def _require_one_thing(self) -> None:
        first, *others = self.runs
        for run in others:
            for fact in _unlike(self.facts, _facts(run)):
                if fact.name not in _MAY_DIFFER:
                    raise InputError.plain(
                        f"{run.path}: found {fact.name} {fact.b!r}, {first.path} has {fact.a!r}; "
                        f"allowed: sessions of one side that ran on one box and one software"
                    )
        if self.simulated and len(set(map(_seed, self.runs))) < len(self.runs):
            raise InputError.plain(f"{self}: found one seed twice, which draws the same noise and is no other session")


def read_sides(a: list[Run], b: list[Run]) -> tuple[Side, Side]:
    """A and B. Raises InputError where a run stands for two sessions, or a simulated one beside a real one."""
    _require_other_runs([*a, *b])
    sides = Side("A", a), Side("B", b)
    simulated = [side for side in sides if side.simulated]
    if len(simulated) == 1:
        raise InputError.plain(
            f"{simulated[0]} is simulated, and the other side measured; allowed: two sides that were both measured, "
            "or both simulated"
        )
    return sides


def _require_other_runs(runs: list[Run]) -> None:
    for index, run in enumerate(runs):
        for before in runs[:index]:
            if run.path.resolve() == before.path.resolve():
                raise InputError.plain(f"{run.path}: is given twice; allowed: another run for each side and session")
            if not is_simulated(run.environment) and _share_samples(run, before):
                raise InputError.plain(f"{run.path}: holds the same samples as {before.path}, of which it is a copy")


def _share_samples(run: Run, other: Run) -> bool:
    theirs: dict[str, list[Measurement]] = defaultdict(list)
    for line in other.lines:
        theirs[line.id].append(line)
    return any(line.samples and line.samples == of.samples for line in run.lines for of in theirs.get(line.id, ()))


def _seed(run: Run) -> int:
    """Of a simulated run."""
    return int(run.environment["simulation"]["seed"])


def _facts(run: Run) -> dict[str, Any]:
    """What decides the numbers of a run, by name: the fingerprint, how it sampled, and the outside code that ran."""
    sweep = run.header["sweep"]
    facts = dict(_flat(run.environment)) | dict(_flat(sweep.get("sampling", {}), "sampling."))
    origins: dict[str, dict[str, None]] = defaultdict(dict)
    for line in run.lines:
        for name, origin in line.timing.get("projects", {}).items():
            origins[f"project {name}"][origin_name(origin)] = None
    facts |= {name: ", ".join(found) for name, found in origins.items()}
    return {name: value for name, value in facts.items() if name not in _UNTOLD}


def _flat(values: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Nested mappings as one, with names like `versions.torch`."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield before + name, value


def _unlike(a: dict[str, Any], b: dict[str, Any]) -> Iterator[Fact]:
    for name in dict.fromkeys([*a, *b]):
        if a.get(name) != b.get(name):
            yield Fact(name, a.get(name), b.get(name))
