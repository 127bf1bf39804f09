"""What pydantic finds wrong with a sweep file, as problems with file, line and column."""

from __future__ import annotations

import copy
import types
import typing
from typing import Annotated, Any, NamedTuple, TypeGuard

from pydantic import BaseModel, Tag, ValidationError

from fiabench.cases.errors import Problem, describe, nearest
from fiabench.cases.forms import WRONG
from fiabench.cases.schema import SweepFile
from fiabench.cases.source import Document, Path_, Surprise

_UNMISTAKEN = ("name", "about", "sampling", "include", "profiles", "axes", "variables")


class Checked(NamedTuple):
    """A validated document."""

    file: SweepFile | None
    """The sweep file; None where too little of it holds to say more about it."""
    document: Document
    """The document that ``file`` was made of: without its wrong parts, where there were any."""
    problems: list[Problem]


def validate(document: Document) -> Checked:
    """Check ``document`` against the schema.

    Where parts are wrong, the rest is validated without them, so that the checks that need a whole sweep can still
    say what else is wrong. They cannot where the wrong part could change what the rest means.
    """
    if not isinstance(document.data, dict):
        found = describe(document.data) if document.data is not None else "no content"
        problem = document.problem((), found, "a mapping that starts with name, about, geometry and axes")
        return Checked(None, document, [problem])
    try:
        return Checked(SweepFile.model_validate(document.data), document, [])
    except ValidationError as error:
        errors = error.errors(include_url=False)
    problems = [_problem(document, details) for details in errors]
    rest = _without(document, errors)
    if rest is None:
        return Checked(None, document, problems)
    try:
        return Checked(SweepFile.model_validate(rest.data), rest, problems)
    except ValidationError:
        return Checked(None, document, problems)


def _problem(document: Document, details: Any) -> Problem:
    kind, location = details["type"], details["loc"]
    if kind == "extra_forbidden":
        path, key = _path(document.data, location[:-1]), str(location[-1])
        known = _known_keys(location[:-1])
        return document.problem(
            (*path, key), f"the unknown key {key}", ", ".join(known), nearest(key, known), of_key=True
        )
    if kind == "missing":
        path, key = _path(document.data, location[:-1]), str(location[-1])
        return document.problem(path, f"no {key}", f"the key {key}, which is required")
    path = _path(document.data, location)
    found = describe(details["input"])
    if kind == WRONG:
        hint = details["ctx"]["hint"] or _hint(details["input"])
        return document.problem(path, found, details["ctx"]["allowed"], hint)
    if kind == "list_type":
        return document.problem(path, found, "a list", f"write [{details['input']}]" if _scalar(found) else "")
    if kind == "too_short":
        return document.problem(path, found, "at least one entry")
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        known = _known_keys(location)
        return document.problem(path, found, f"a mapping of {', '.join(known)}" if known else "a mapping")
    return document.problem(path, found, details["msg"])


def _scalar(found: str) -> bool:
    return not found.startswith(("a list", "a mapping", "an empty", "nothing"))


def _hint(value: Any) -> str:
    """What YAML did to a value: made text of a number, or something else of a text."""
    if isinstance(value, Surprise):
        return "plain digits are a number, quotes make a text"
    if not isinstance(value, str):
        return ""
    try:
        number = float(value.replace(",", "").replace(" ", ""))
    except ValueError:
        return ""
    if not number.is_integer():
        return ""
    return f"this is text to YAML; write {int(number)}"


def _path(data: Any, location: tuple[Any, ...]) -> Path_:
    """The place in the data that pydantic's location means: without the tags of the unions on the way."""
    path: list[str | int] = []
    for step in location:
        if (isinstance(data, dict) and step in data) or (isinstance(data, list) and isinstance(step, int)):
            data = data[step]
            path.append(step)
    return tuple(path)


def _known_keys(location: tuple[Any, ...]) -> list[str]:
    """The keys that the schema has at pydantic's location."""
    kind: Any = SweepFile
    for step in location:
        kind = _into(kind, step)
    kind = _bare(kind)
    if _is_model(kind):
        return [field.alias or name for name, field in kind.model_fields.items()]
    return []


def _is_model(kind: Any) -> TypeGuard[type[BaseModel]]:
    # To Python 3.10 list[int] is a type, and no class.
    return typing.get_origin(kind) is None and isinstance(kind, type) and issubclass(kind, BaseModel)


def _bare(kind: Any) -> Any:
    return typing.get_args(kind)[0] if typing.get_origin(kind) is Annotated else kind


def _into(kind: Any, step: Any) -> Any:
    """The type one step of pydantic's location further in."""
    kind = _bare(kind)
    if _is_model(kind):
        for name, field in kind.model_fields.items():
            if step == (field.alias or name):
                return field.annotation
        return None
    members = typing.get_args(kind)
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return next((member for member in members if Tag(step) in getattr(member, "__metadata__", ())), None)
    return members[-1] if members else None  # a list's items, a mapping's values


def _without(document: Document, errors: list[Any]) -> Document | None:
    """A copy of the document without the wrong parts; None where what is left could mean something else."""
    wrong: set[Path_] = set()
    for details in errors:
        kind, location = details["type"], details["loc"]
        if kind == "missing":
            path = _path(document.data, location[:-1])
            if not path and location[-1] not in ("name", "about"):
                return None
        else:
            path = _path(document.data, location)
        if kind == "extra_forbidden" and len(path) == 1:
            wrong.add(path)
            continue
        if (path and path[0] not in _UNMISTAKEN) or (kind == "extra_forbidden" and path[0] == "axes"):
            return None
        if path:
            # A value of an axis can be done without, a whole axis cannot.
            if path[0] == "axes" and len(path) < 3:
                return None
            wrong.add(path[:3] if path[0] == "axes" else path[:1])
    rest = Document(document.file, copy.deepcopy(document.data), document.keys, document.values)
    rest.moved = dict(document.moved)
    lists: dict[Path_, set[int]] = {}
    for path in wrong:
        if len(path) == 1:
            del rest.data[path[0]]
        else:
            lists.setdefault(path[:2], set()).add(typing.cast(int, path[2]))
    for path, indices in lists.items():
        values = rest.data[path[0]][path[1]]
        kept = [index for index in range(len(values)) if index not in indices]
        if not kept:
            return None
        origins = {(*path, place): document.original((*path, index)) for place, index in enumerate(kept)}
        rest.moved.update(origins)
        rest.data[path[0]][path[1]] = [values[index] for index in kept]
    rest.data.setdefault("name", "unnamed")
    rest.data.setdefault("about", "unknown")
    return rest
