"""A sweep as it will run: every value spelt out, profile applied, ready to be expanded into cases."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any, NamedTuple

from fiabench.cases.axes import AXES
from fiabench.cases.errors import InputError
from fiabench.cases.schema import Sampling


class BufferOf(NamedTuple):
    """An exchange of the exact size that a preset needs; its bytes follow from Ulysses degree and dtype."""

    model: str
    seq_len_q: int
    tensors: int
    tp: int
    heads: int
    head_dim: int

    @property
    def row(self) -> int:
        """Elements for each token: the heads that tensor parallelism leaves, of every tensor in the exchange."""
        return self.heads // self.tp * self.head_dim * self.tensors


Value = int | str | BufferOf


class Factor(NamedTuple):
    """One factor of the product: an axis, or several that move together."""

    names: tuple[str, ...]
    rows: list[tuple[Value, ...]]
    """One tuple for each step of the factor, with a value for each name."""
    zipped: bool


class Project(NamedTuple):
    """Code of another project, as the sweep names it."""

    adapter: str
    path: str
    """The folder that its packages are in; empty where none was given."""
    target: str
    """`module:callable`; empty where the adapter knows by itself."""


class Claim(NamedTuple):
    """What the measurements must show: a metric's bounds, in SI units, in the cases that the rule holds for."""

    claim: str
    metric: str
    at_most: float | None
    at_least: float | None
    when: dict[str, list[Value] | dict[str, int]]


class Rule(NamedTuple):
    """Points to leave out: all conditions must hold."""

    when: dict[str, list[Value] | dict[str, int]]
    """Axis to the values, or to the bounds (below, above, at_least, at_most), for which the condition holds."""
    because: str

    def holds(self, name: str, value: Any) -> bool:
        """Whether the condition on one axis holds for a value."""
        condition = self.when[name]
        if isinstance(condition, list):
            return value in condition
        return all(_BOUNDS[bound](value, limit) for bound, limit in condition.items())


_BOUNDS = {
    "below": lambda value, limit: value < limit,
    "above": lambda value, limit: value > limit,
    "at_least": lambda value, limit: value >= limit,
    "at_most": lambda value, limit: value <= limit,
}


def axes_of(measure: str) -> tuple[str, ...]:
    """The axes that mean anything for what is measured, in the order of a :class:`Case`'s fields."""
    return tuple(name for name, key in AXES.items() if measure in key.measures)


@dataclass(frozen=True)
class Sweep:
    """A sweep with everything decided but the device. Made by :func:`fiabench.cases.load.load_sweep`."""

    name: str
    about: str
    measure: str
    model: str
    """The geometry's preset; empty where heads and head dim were given as numbers."""
    factors: tuple[Factor, ...]
    """The product, slowest factor first."""
    constants: dict[str, Value]
    """The value of every axis that is in no factor."""
    replicas: str
    indivisible: str
    exclude: tuple[Rule, ...] = ()
    include: tuple[dict[str, Value], ...] = ()
    """Points beside the product: a value for every axis."""
    projects: dict[str, Project] = field(default_factory=dict)
    claims: tuple[Claim, ...] = ()
    variables: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Environment variables of the ranks: name to values. Every combination is a point of each case."""
    sampling: Sampling = field(default_factory=Sampling)
    path: str = ""
    """The file it was read from, as the user named it."""
    profile: str | None = None

    @property
    def points(self) -> int:
        """Points of the product and beside it, before any is left out."""
        combinations = prod(map(len, self.variables.values()))
        return (prod(len(factor.rows) for factor in self.factors) + len(self.include)) * combinations

    def resolved(self) -> dict[str, Any]:
        """The sweep as JSON-able data, in the shape of a sweep file with every range and preset spelt out."""
        axes = {
            factor.names[0]: [_plain(row[0]) for row in factor.rows] for factor in self.factors if not factor.zipped
        }
        groups = [
            {name: [_plain(row[index]) for row in factor.rows] for index, name in enumerate(factor.names)}
            for factor in self.factors
            if factor.zipped
        ]
        return {
            "path": self.path,
            "profile": self.profile,
            "name": self.name,
            "about": self.about,
            "measure": self.measure,
            "model": self.model,
            "axes": axes,
            "zip": groups,
            "constants": {name: _plain(value) for name, value in self.constants.items()},
            "replicas": self.replicas,
            "indivisible": self.indivisible,
            "exclude": [{"when": dict(rule.when), "because": rule.because} for rule in self.exclude],
            "include": [{name: _plain(value) for name, value in point.items()} for point in self.include],
            "projects": {name: project._asdict() for name, project in self.projects.items()},
            "claims": [claim._asdict() for claim in self.claims],
            "variables": {name: list(values) for name, values in self.variables.items()},
            "sampling": self.sampling.model_dump(),
        }

    @classmethod
    def from_resolved(cls, data: dict[str, Any]) -> Sweep:
        """The sweep whose :meth:`resolved` this is. Raises InputError where it is not one."""
        try:
            factors = [
                Factor((name,), [(_value(value),) for value in rows], False) for name, rows in data["axes"].items()
            ]
            factors += [
                Factor(tuple(group), [tuple(map(_value, row)) for row in zip(*group.values(), strict=True)], True)
                for group in data["zip"]
            ]
            return cls(
                name=data["name"],
                about=data["about"],
                measure=data["measure"],
                model=data["model"],
                factors=tuple(factors),
                constants={name: _value(value) for name, value in data["constants"].items()},
                replicas=data["replicas"],
                indivisible=data["indivisible"],
                exclude=tuple(Rule(dict(rule["when"]), rule["because"]) for rule in data["exclude"]),
                include=tuple({name: _value(value) for name, value in point.items()} for point in data["include"]),
                projects={name: Project(**project) for name, project in data.get("projects", {}).items()},
                claims=tuple(Claim(**claim) for claim in data.get("claims", [])),
                variables={name: tuple(values) for name, values in data.get("variables", {}).items()},
                sampling=Sampling(**data["sampling"]),
                path=data["path"],
                profile=data["profile"],
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError.plain(f"not a resolved sweep: {type(error).__name__}: {error}") from error


def _plain(value: Value) -> Any:
    return value._asdict() if isinstance(value, BufferOf) else value


def _value(value: Any) -> Value:
    return BufferOf(**value) if isinstance(value, dict) else value
