"""A sweep from its YAML file: read, validated, its profile applied, written out and checked as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fiabench.cases import check, source
from fiabench.cases.complaints import validate
from fiabench.cases.errors import InputError, Problem, nearest
from fiabench.cases.resolve import resolve
from fiabench.cases.source import Document, Path_
from fiabench.cases.sweep import Sweep

_MERGED = ("axes", "constants", "sampling")
"""Sections of which a profile replaces single keys; of the others it replaces all."""


def load_sweep(path: str | Path, profile: str | None = None) -> Sweep:
    """The sweep in the file at ``path``, as ``profile`` changes it.

    Raises InputError with everything that is wrong with the file at once, each with its line and column.
    """
    document = source.read(path)
    checked = validate(document)
    problems = document.problems + checked.problems
    if profile is not None:
        unknown = _unknown_profile(document, profile)
        if unknown:
            raise InputError([*problems, unknown])
        if checked.file is not None:
            # The profile itself is sound if nothing was found; what it changes may not be.
            checked = validate(_apply(checked.document, profile)) if not checked.problems else checked
            problems += [problem for problem in checked.problems if problem not in problems]
    if checked.file is not None:
        resolved = resolve(checked, str(path), profile)
        problems += resolved.problems
        if resolved.sweep is not None:
            problems += check.problems(resolved.sweep, resolved.origins)
            if not problems:
                return resolved.sweep
    raise InputError(sorted(dict.fromkeys(problems), key=lambda problem: (problem.line or 0, problem.column or 0)))


def profile_names(path: str | Path) -> list[str]:
    """The profiles of a sweep file, in its order. Raises InputError where it cannot be read."""
    return _profiles(source.read(path))


def _profiles(document: Document) -> list[str]:
    profiles = document.data.get("profiles") if isinstance(document.data, dict) else None
    return list(profiles) if isinstance(profiles, dict) else []


def _unknown_profile(document: Document, profile: str) -> Problem | None:
    names = _profiles(document)
    if profile in names:
        return None
    allowed = ", ".join(names) if names else "none: this sweep has no profiles"
    return document.problem(("profiles",), f"no profile {profile}", allowed, nearest(profile, names), of_key=True)


def _apply(document: Document, profile: str) -> Document:
    """The document with what the profile changes in its place.

    An axis that the profile makes a constant leaves the axes, and the other way round.
    """
    base: dict[str, Any] = {key: value for key, value in document.data.items() if key != "profiles"}
    place: Path_ = ("profiles", profile)
    moved = dict(document.moved)
    changes = document.data["profiles"][profile]
    for section, change in changes.items():
        if section not in _MERGED:
            base[section] = change
            moved[(section,)] = (*place, section)
            continue
        base[section] = {**base.get(section, {})}
        for key, value in change.items():
            base[section][key] = value
            moved[(section, key)] = (*place, section, key)
    for section, other in (("axes", "constants"), ("constants", "axes")):
        for key in changes.get(section, {}):
            if key in base.get(other, {}) and key not in changes.get(other, {}):
                base[other] = {name: value for name, value in base[other].items() if name != key}
    return Document(document.file, base, document.keys, document.values, [], moved)
