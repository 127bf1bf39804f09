"""From a validated sweep file to a :class:`Sweep`: presets looked up, videos, sizes and ranges written out.

What is wrong between keys (an axis in two places, lists of unequal length) is found here; what is wrong between
values (shards that do not divide) in :mod:`fiabench.cases.check`.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fiabench.cases.axes import AXES
from fiabench.cases.case import ATTENTION_ADAPTERS, EXCHANGE_ADAPTERS, EXCHANGES
from fiabench.cases.complaints import Checked
from fiabench.cases.errors import Problem, describe, nearest
from fiabench.cases.forms import Bounds, Buffer, Range, SizeRange, Video
from fiabench.cases.models import models
from fiabench.cases.operators import operator_names
from fiabench.cases.quantities import WAN_FRAMES, WAN_PIXELS, stepped, video_tokens
from fiabench.cases.schema import Claim as ClaimKeys
from fiabench.cases.schema import Exclude, Geometry, SweepFile
from fiabench.cases.source import Document, Path_
from fiabench.cases.sweep import BufferOf, Claim, Factor, Project, Rule, Sweep, Value, axes_of


@dataclass
class Origins:
    """Where in the file each value of an axis came from."""

    document: Document
    lists: dict[str, tuple[Path_, list[int]]] = field(default_factory=dict)
    """Axis to its list's place, and the number of values before each entry."""
    constants: dict[str, Path_] = field(default_factory=dict)
    include: list[int] = field(default_factory=list)
    """The place in the file's list of each included point."""

    def of(self, name: str, row: int | None = None) -> Path_:
        """The place of the value of an axis in row ``row`` of its factor."""
        if name in self.lists and row is not None:
            path, starts = self.lists[name]
            return (*path, bisect_right(starts, row) - 1)
        return self.constants.get(name, ("axes",))


@dataclass
class Resolved:
    """What came of a sweep file."""

    sweep: Sweep | None
    """None where the problems leave no sweep."""
    origins: Origins
    problems: list[Problem]


def resolve(checked: Checked, path: str, profile: str | None) -> Resolved:
    """Write out a validated file. Never raises for what the file says: problems are in the result."""
    assert checked.file is not None
    return _Resolver(checked.file, checked.document).resolve(path, profile)


class _Resolver:
    def __init__(self, file: SweepFile, document: Document) -> None:
        self.file = file
        self.document = document
        self.origins = Origins(document)
        self.problems: list[Problem] = []
        self.broken = False
        """Whether what is wrong leaves no sweep whose values could be checked."""
        self.used = axes_of(file.measure)

    def _given(self, *path: str | int) -> list[str]:
        """The keys that stand at a place in the file, in the file's order."""
        data = self.document.data
        for step in path:
            if isinstance(data, dict) and step not in data:
                return []
            data = data[step]
        return list(data)

    def resolve(self, path: str, profile: str | None) -> Resolved:
        file = self.file
        self._places()
        factors = [self._factor(file.axes, name, ("axes", name)) for name in self._given("axes")]
        factors += [self._group(group, ("zip", index)) for index, group in enumerate(file.zip)]
        constants = self._constants([name for factor in factors for name in factor.names])
        factors = self._missing(factors, constants)
        exclude = tuple(self._rule(rule, ("exclude", index)) for index, rule in enumerate(file.exclude))
        include = []
        for index, point in enumerate(file.include):
            whole = self._point(point, factors, constants, ("include", index))
            if whole is not None:
                include.append(whole)
                self.origins.include.append(index)
        projects = {name: self._project(name, path) for name in file.projects}
        claims = tuple(self._claim(claim, ("claims", index)) for index, claim in enumerate(file.claims))
        self._variables()
        self._sampling()
        if self.broken:
            return Resolved(None, self.origins, self.problems)
        sweep = Sweep(
            name=file.name,
            about=file.about,
            measure=file.measure,
            model=file.geometry.model,
            factors=tuple(factors),
            constants={name: value for name, value in constants.items() if value is not None},
            replicas=file.replicas,
            indivisible=file.indivisible,
            exclude=exclude,
            include=tuple(include),
            projects=projects,
            claims=claims,
            variables={name: tuple(map(str, values)) for name, values in file.variables.items()},
            sampling=file.sampling,
            path=path,
            profile=profile,
        )
        return Resolved(sweep, self.origins, self.problems)

    def _wrong(self, path: Path_, found: str, allowed: str, hint: str = "", *, of_key: bool = False) -> None:
        self.problems.append(self.document.problem(path, found, allowed, hint, of_key=of_key))
        # Without a wrong value of an axis, a point or a setting, the rest still means what it says.
        self.broken |= path[0] not in ("sampling", "include", "claims", "projects") and not (
            path[0] == "axes" and len(path) == 3
        )

    def _places(self) -> None:
        """Every axis stands in one place, and means something for what is measured."""
        file = self.file
        first: dict[str, Path_] = {}
        sections: list[Path_] = [("axes",), *(("zip", index) for index in range(len(file.zip))), ("constants",)]
        for section in sections:
            for name in self._given(*section):
                path = (*section, name)
                if name in first:
                    mark = self.document.mark(first[name], of_key=True)
                    where = f"line {mark.line}" if mark else "another section"
                    self._wrong(path, f"{name} again, first on {where}", "every axis in one place", of_key=True)
                else:
                    first[name] = path
        sections += [("exclude", index, "when") for index in range(len(file.exclude))]
        sections += [("claims", index, "when") for index in range(len(file.claims))]
        sections += [("include", index) for index in range(len(file.include))]
        for section in sections:
            for name in self._given(*section):
                if name not in self.used:
                    found = f"{name}, which means nothing where measure is {file.measure}"
                    self._wrong((*section, name), found, ", ".join(self.used), of_key=True)
                elif name in ("op", "against", "exchange"):
                    self._known((*section, name), self._names_of(name))
        if file.measure == "exchange":
            for key in ("geometry", "replicas"):
                if key in self._given():
                    found = f"{key}, which means nothing where measure is exchange"
                    self._wrong((key,), found, "no such key here", of_key=True)

    def _names_of(self, axis: str) -> list[str]:
        """What an axis of names may say: our own, and the sweep's projects."""
        own = {"op": operator_names(), "against": ["none", *operator_names()], "exchange": [*EXCHANGES, "none"]}
        adapters = EXCHANGE_ADAPTERS if axis == "exchange" else ATTENTION_ADAPTERS
        return [*own[axis], *(name for name, project in self.file.projects.items() if project.adapter in adapters)]

    def _known(self, path: Path_, names: list[str]) -> None:
        """Every name at a place of the file is one of ``names``."""
        here: Any = self.document.data
        for step in path:
            here = here[step]
        for index, name in enumerate(here if isinstance(here, list) else [here]):
            if name not in names:
                place = (*path, index) if isinstance(here, list) else path
                self._wrong(place, describe(name), ", ".join(names), nearest(name, names))

    def _factor(self, section: Any, name: str, path: Path_) -> Factor:
        """One axis, written out."""
        values: list[Value] = []
        starts = []
        for index, item in enumerate(getattr(section, name)):
            starts.append(len(values))
            values += self._written_out(item, (*path, index))
        self.origins.lists[name] = (path, starts)
        return Factor((name,), [(value,) for value in values], False)

    def _written_out(self, item: Any, path: Path_) -> list[Any]:
        """The values that one entry stands for; none where it is wrong, which is noted."""
        try:
            if isinstance(item, Range | SizeRange):
                return stepped(item.from_, item.to, step=item.step or None, times=item.times or None)
            return [_value(item, self.file.geometry.model)]
        except ValueError as error:
            self._wrong(path, _in_words(item), str(error))
            return []

    def _group(self, group: Any, path: Path_) -> Factor:
        """Axes that move together, written out."""
        before = len(self.problems)
        axes = [self._factor(group, name, (*path, name)) for name in self._given(*path)]
        lengths = {axis.names[0]: len(axis.rows) for axis in axes}
        if not axes:
            self._wrong(path, "an empty group", "axes of equal length")
        elif len(set(lengths.values())) > 1 and len(self.problems) == before:
            found = ", ".join(f"{name} with {length}" for name, length in lengths.items())
            self._wrong(path, f"lists of unequal length: {found}", "lists of the same length")
        columns = [[row[0] for row in axis.rows] for axis in axes]
        return Factor(tuple(lengths), list(zip(*columns)), True)

    def _constants(self, swept: list[str]) -> dict[str, Value | None]:
        """The value of every axis in use that is not swept."""
        file = self.file
        values: dict[str, Value | None] = {name: AXES[name].default for name in self.used}
        if file.measure == "exchange":
            values["ulysses"] = None  # one rank, the default elsewhere, has nobody to exchange with
        else:
            values.update(_heads(file.geometry, follow="heads" in swept or "heads" in self._given("constants")))
            for name in ("heads", "kv_heads", "head_dim"):
                key = name if name in self._given("geometry") else "model"
                self.origins.constants[name] = ("geometry", key)
        for name in self._given("constants"):
            if name in self.used:
                values[name] = next(iter(self._written_out(getattr(file.constants, name), ("constants", name))), None)
                self.origins.constants[name] = ("constants", name)
        return {name: value for name, value in values.items() if name not in swept}

    def _missing(self, factors: list[Factor], constants: dict[str, Value | None]) -> list[Factor]:
        """Every axis has a value. Where only the included points give one, there is nothing beside them."""
        points = [self._given("include", index) for index in range(len(self.file.include))]
        nothing = Factor((), [], True)
        for name, value in constants.items():
            if value is not None:
                continue
            if not factors and points and all(name in point for point in points):
                factors = [nothing]
                continue
            where = "geometry" if name in ("heads", "head_dim") else "axes"
            hint = "a preset such as {model: wan-14b} has both" if where == "geometry" else ""
            self._wrong((where,), f"no {name}", f"{name} in {where} or constants", hint, of_key=True)
        return factors

    def _rule(self, rule: Exclude, path: Path_) -> Rule:
        """An exclusion with every condition as a list of values or as bounds."""
        when = self._conditions(rule.when, (*path, "when"))
        if not when:
            self._wrong((*path, "when"), "no condition, which every point meets", "at least one axis")
        return Rule(when, rule.because)

    def _conditions(self, given: Any, path: Path_) -> dict[str, Any]:
        when: dict[str, Any] = {}
        for name in self._given(*path):
            condition = getattr(given, name)
            if isinstance(condition, Bounds):
                when[name] = condition.model_dump(exclude_unset=True)
            else:
                when[name] = list(condition) if isinstance(condition, list) else [condition]
            if not when[name]:
                self._wrong((*path, name), "no bound", "at least one of below, above, at_least, at_most")
        return when

    def _claim(self, claim: ClaimKeys, path: Path_) -> Claim:
        if claim.at_most is None and claim.at_least is None:
            self._wrong(path, "a claim without a bound", "at_most, at_least or both")
        when = self._conditions(claim.when, (*path, "when"))
        return Claim(claim.claim, claim.metric, claim.at_most, claim.at_least, when)

    def _sampling(self) -> None:
        """What the criterion goes by can be met."""
        sampling = self.file.sampling
        if sampling.criterion == "median_interval" and sampling.min_samples > sampling.max_samples:
            place = ("sampling", "min_samples" if "min_samples" in self._given("sampling") else "max_samples")
            found = f"min_samples {sampling.min_samples} and max_samples {sampling.max_samples}"
            self._wrong(place, found, "no more of the first than of the second")
        if sampling.criterion == "fixed_time" and not sampling.max_seconds:
            self._wrong(("sampling", "max_seconds"), "0 s with criterion fixed_time", "seconds above 0")

    def _variables(self) -> None:
        """Each value of a variable stands once, as text: 1 and '1' are the same."""
        for name, values in self.file.variables.items():
            for index, value in enumerate(values):
                if value in values[:index]:
                    self._wrong(("variables", name, index), f"{name} {value} again", "every value once")

    def _project(self, name: str, sweep: str) -> Project:
        """A project, its path made absolute from the sweep file's folder."""
        given = self.file.projects[name]
        if name in (*operator_names(), *EXCHANGES, "none"):
            self._wrong(("projects", name), f"the name {name}, which is taken", "a name of its own", of_key=True)
        if given.target and ":" not in given.target:
            self._wrong(("projects", name, "target"), describe(given.target), "module:callable")
        if given.adapter.startswith("any_") and not given.target:
            self._wrong(("projects", name), f"{given.adapter} without target", "target: module:callable")
        path = str((Path(sweep).parent / given.path).resolve()) if given.path else ""
        return Project(given.adapter, path, given.target)

    def _point(
        self, point: Any, factors: list[Factor], constants: dict[str, Value | None], path: Path_
    ) -> dict[str, Value] | None:
        """An included point with a value for every axis; None where it is wrong, which is noted."""
        before = len(self.problems)
        given: dict[str, Value] = {}
        for name in self._given(*path):
            for value in self._written_out(getattr(point, name), (*path, name)):
                given[name] = value
        if not given:
            self._wrong(path, "an empty point", "axes with one value each")
        values = {**constants}
        for factor in factors:
            for index, name in enumerate(factor.names):
                choices = {row[index] for row in factor.rows}
                if name == "exchange" and (self.file.measure == "kernel" or given.get("ulysses") == 1):
                    values[name] = "separate"
                elif len(choices) == 1:
                    values[name] = next(iter(choices))
                elif name not in given and choices:
                    self._wrong(path, f"no {name}, which has several values in this sweep", f"{name} with one value")
        values.update(given)
        if len(self.problems) > before:
            return None
        return {name: value for name in self.used if (value := values.get(name)) is not None}


def _heads(geometry: Geometry, *, follow: bool) -> dict[str, Value | None]:
    """Heads, kv heads and head dim of the geometry. Where the heads are swept, as many kv heads follow them."""
    preset = models()[geometry.model] if geometry.model else None
    heads = geometry.heads or (preset.heads if preset else 0)
    kv_heads = geometry.kv_heads or (preset.kv_heads if preset and not geometry.heads else 0) or heads
    head_dim = geometry.head_dim or (preset.head_dim if preset else 0)
    kv: Value = "same" if kv_heads == heads and (follow or not heads) else kv_heads
    return {"heads": heads or None, "kv_heads": kv, "head_dim": head_dim or None}


def _value(item: Any, model: str) -> Value:
    """What one value of the file stands for with the geometry's model. Raises ValueError with what is allowed."""
    if isinstance(item, Video):
        video = models()[model].video if model else (WAN_FRAMES, WAN_PIXELS)
        if video is None:
            raise ValueError(f"tokens as a number: no formula turns a video into {model}'s tokens")
        size = item.video
        return video_tokens(size.width, size.height, size.frames, per_frames=video[0], per_pixels=video[1])
    if isinstance(item, Buffer):
        preset = models()[item.model]
        return BufferOf(item.model, item.seq_len_q, item.tensors, item.tp, preset.heads, preset.head_dim)
    assert isinstance(item, int | str)
    return item


def _in_words(item: Any) -> str:
    if isinstance(item, Video):
        return f"a video of {item.video.width} x {item.video.height} with {item.video.frames} frames"
    given = item.model_dump(exclude_unset=True, by_alias=True)
    return "a range with " + ", ".join(f"{name} {value}" for name, value in given.items())
