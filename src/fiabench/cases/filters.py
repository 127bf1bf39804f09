"""Picks cases by their fields, as `--filter ulysses=1,2` on a command line says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fiabench.cases.case import EXCHANGES, LAYOUTS, MASKS, Case
from fiabench.cases.errors import InputError, Problem, nearest
from fiabench.cases.expand import Point
from fiabench.cases.operators import operator_names

_WORDS: dict[str, Callable[[], list[str]]] = {
    "measure": lambda: ["ulysses", "kernel", "exchange"],
    "op": lambda: [*operator_names(), "none"],
    "layout": lambda: list(LAYOUTS),
    "dtype": lambda: ["fp16", "bf16", "fp32"],
    "mask": lambda: list(MASKS),
    "exchange": lambda: [*EXCHANGES, "none"],
    "replicas": lambda: ["one", "all"],
    "inputs": lambda: ["contiguous", "strided"],
    "against": lambda: [*operator_names(), "none"],
    "cache": lambda: ["hot", "cold"],
}
"""What the fields that hold words may be; every other field is a whole number."""


_OF_PROJECTS = ("op", "exchange", "against")
_FIELDS = tuple(name for name in Case._fields if name != "variables")
"""The fields that a filter may name; environment variables are named themselves."""


@dataclass(frozen=True)
class Filter:
    """Which cases to keep."""

    tests: list[tuple[int, set[Any]]]
    """Of fields, by index, the values that they may have."""
    settings: list[set[tuple[str, str]]]
    """Of each environment variable asked for, what it may be: name and value."""

    def __call__(self, case: Case) -> bool:
        own = set(case.variables) if self.settings else set()
        return all(case[index] in values for index, values in self.tests) and all(own & some for some in self.settings)

    def may_pass(self, point: Point) -> bool:
        """Whether a point that is no case would be kept, as far as its fields tell."""
        fields = ((Case._fields[index], values) for index, values in self.tests)
        return all(getattr(point, name) in values for name, values in fields if hasattr(point, name))


def parse_filters(
    texts: Iterable[str], projects: Iterable[str] = (), variables: Mapping[str, Sequence[str]] | None = None
) -> Filter:
    """A predicate that is true for the cases which every filter lets pass.

    ``projects`` are those of the sweep, ``variables`` its environment variables with their values. Each text is
    `field=value,value,...`: a case passes if its field, or its variable of that name, has one of the values. A field
    that is given twice may have the values of both. No texts let every case pass. Raises InputError with everything
    that is wrong.
    """
    swept = variables or {}
    wanted: dict[int, set[Any]] = {}
    set_to: dict[str, set[str]] = {}
    problems = []
    for text in texts:
        field, equals, values = text.partition("=")
        field = field.strip()
        if not equals:
            problems.append(_problem(text, "no `=`", "field=value,value,..."))
        elif field in swept:
            given = {value.strip() for value in values.split(",")}
            unknown = sorted(given.difference(swept[field]))
            problems += [_problem(text, repr(value), ", ".join(swept[field]), value) for value in unknown]
            set_to.setdefault(field, set()).update(given)
        elif field not in _FIELDS:
            problems.append(_problem(text, f"the unknown field {field!r}", ", ".join((*_FIELDS, *swept)), field))
        else:
            chosen = wanted.setdefault(Case._fields.index(field), set())
            for value in values.split(","):
                parsed, problem = _parse(text, field, value.strip(), list(projects))
                problems += [problem] if problem else []
                chosen.add(parsed)
    if problems:
        raise InputError(problems)
    return Filter(list(wanted.items()), [{(name, value) for value in values} for name, values in set_to.items()])


def _parse(text: str, field: str, value: str, projects: list[str]) -> tuple[Any, Problem | None]:
    if field == "kv_cache":
        good = value == "contiguous" or value.startswith("paged_")
        return value, None if good else _problem(text, repr(value), "contiguous, paged_BNBD_128 and the like")
    if field in _WORDS:
        known = _WORDS[field]() + (projects if field in _OF_PROJECTS else [])
        return value, None if value in known else _problem(text, repr(value), ", ".join(known), value)
    if value.isascii() and value.isdigit():
        return int(value), None
    return None, _problem(text, repr(value), f"whole numbers, as {field}=1,2")


def _problem(text: str, found: str, allowed: str, word: str = "") -> Problem:
    known = allowed.split(", ")
    return Problem("", None, None, f"--filter {text}", found, allowed, nearest(word, known) if word else "")
