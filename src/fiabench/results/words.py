"""What people call the fields of a case, in tables, figures and labels, and which of them tell cases apart."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from fiabench.cases.case import Case
from fiabench.cases.variables import in_words
from fiabench.results.measurement import Measurement

_CANN_SAYS = re.compile(r"\(E[A-Z]\d{4}\):\s+(.*?)(?:\[FUNC:|$)", re.MULTILINE)


def essence(reason: str) -> str:
    """What a reason says in one line: of a CANN report what the host found wrong, else its first line."""
    said = _CANN_SAYS.search(reason)
    if said:
        return said.group(1)
    return reason.strip().split("\n", 1)[0]


def kind_of(status: str, reason: str) -> tuple[str, str]:
    """What two failures have in common that are one: the status, and of an error the exception's name."""
    if status != "error":
        return status, ""
    words = reason.partition(": ") if reason.startswith("rank ") else ("", "", reason)
    return status, words[2].partition(":")[0]


class Field(NamedTuple):
    """One way for cases to differ, and what its values are called."""

    read: Callable[[Case], Any]
    name: Callable[[Any], str]
    unsaid: Any = None
    """The value that goes without saying where all cases have it."""

    def common(self, value: Any) -> str:
        """What is said of a ``value`` that all cases have; empty where it is the usual one."""
        return "" if value == self.unsaid else self.name(value)


def _geometry_name(value: tuple[int, int, int]) -> str:
    heads, kv_heads, head_dim = value
    return f"{heads_name(heads, kv_heads)} heads x {head_dim}"


def heads_name(heads: int, kv_heads: int) -> str:
    """`8`, or `8/2` where there are fewer key heads."""
    return f"{heads}" if heads == kv_heads else f"{heads}/{kv_heads}"


def _cache_name(value: str) -> str:
    return "not paged" if value == "contiguous" else value.replace("_", " ")


FIELDS = {
    "op": Field(lambda case: case.op, str),
    "against": Field(lambda case: case.against, lambda value: f"against {value}", "none"),
    "exchange": Field(lambda case: case.exchange, lambda value: "" if value == "none" else value),
    "layout": Field(lambda case: case.layout, str),
    "inputs": Field(lambda case: case.inputs, lambda value: f"{value} inputs", "contiguous"),
    "dtype": Field(lambda case: case.dtype, str),
    "mask": Field(lambda case: case.mask, lambda value: "no mask" if value == "none" else value),
    "geometry": Field(lambda case: (case.heads, case.kv_heads, case.head_dim), _geometry_name),
    "batch": Field(lambda case: case.batch, "batch {}".format),
    "kv_cache": Field(lambda case: case.kv_cache, _cache_name, "contiguous"),
    "cache": Field(lambda case: case.cache, "{} cache".format, "hot"),
    "variables": Field(lambda case: case.variables, lambda value: in_words(value) or "no variables", ()),
    "measure": Field(
        lambda case: case.measure, lambda value: "kernel alone" if value == "kernel" else "whole attention", "ulysses"
    ),
    "replicas": Field(
        lambda case: case.replicas, lambda value: "all groups at once" if value == "all" else "one group", "one"
    ),
    "threads": Field(
        lambda case: case.threads,
        lambda value: f"{value} thread{'' if value == 1 else 's'} a rank" if value else "cores shared out",
        0,
    ),
    "tp": Field(lambda case: case.tp, "tp{}".format),
    "ring": Field(lambda case: case.ring, lambda value: f"ring{value}" if value > 1 else "no ring", 1),
    "cfg": Field(lambda case: case.cfg, "cfg{}".format, 1),
}
BESIDE = "other length"
"""The field of the length that is not the one told apart: see :class:`Lengths`."""

SHARDING = ("tp", "ring", "cfg")
OF_ATTENTION = (*(field for field in FIELDS if field not in SHARDING), BESIDE)
OF_EXCHANGE = ("dtype", "variables", "replicas", "threads")


class Lengths(NamedTuple):
    """Which count of tokens tells cases apart: their queries, or in decode their keys."""

    keyed: int | None
    """The query length of the cases that go by their keys; None where all go by their queries."""

    @classmethod
    def of(cls, cases: Sequence[Case]) -> Lengths:
        """Keys count where all cases, or all but self-attention, have one query length and several key lengths."""
        for some in (cases, [case for case in cases if case.seq_len_kv != case.seq_len_q]):
            queries = {case.seq_len_q for case in some}
            if len(queries) == 1 and len({case.seq_len_kv for case in some}) > 1:
                return cls(queries.pop())
        return cls(None)

    def by_keys(self, case: Case) -> bool:
        return case.seq_len_q == self.keyed

    def length(self, case: Case) -> int:
        """The tokens that tell ``case`` from its like."""
        return case.seq_len_kv if self.by_keys(case) else case.seq_len_q

    @property
    def beside(self) -> Field:
        """The other length of a case: (queries, keys), 0 where it does not count."""

        def read(case: Case) -> tuple[int, int]:
            if self.by_keys(case):
                return case.seq_len_q, 0
            return 0, 0 if case.seq_len_kv == case.seq_len_q else case.seq_len_kv

        return Field(read, _beside_name, (0, 0))


def _beside_name(value: tuple[int, int]) -> str:
    queries, keys = value
    if queries:
        return f"{queries:,} query token{'' if queries == 1 else 's'}"
    return f"{keys:,} kv tokens" if keys else "as many kv tokens"


def fields(lengths: Lengths) -> dict[str, Field]:
    """All fields by name, for cases of those ``lengths``."""
    return {**FIELDS, BESIDE: lengths.beside}


def variant_names(differing: Iterable[Field], values: Iterable[Any]) -> list[str]:
    """What is a variant's own: its ``values`` of the ``differing`` fields, of several without the usual ones."""
    pairs = list(zip(differing, values, strict=True))
    said = [field.common(value) for field, value in pairs] if len(pairs) > 1 else []
    return [*filter(None, said)] or [*filter(None, (field.name(value) for field, value in pairs))]


def varying(cases: Iterable[Case], among: dict[str, Field]) -> list[str]:
    """The names of the fields in which the cases differ."""
    seen: dict[str, set[Any]] = {name: set() for name in among}
    for case in cases:
        for name, field in among.items():
            seen[name].add(field.read(case))
    return [name for name, values in seen.items() if len(values) > 1]


def described(measurement: Measurement) -> Case:
    """The case as its sweep gives it: threads are 0 where they follow from the cores."""
    case = measurement.point
    return case if measurement.id.endswith(f".threads{case.threads}") else case._replace(threads=0)


def part_that_ran(measurement: Measurement) -> str:
    """Which part of the described deployment ran: `one of 2 groups`, `1 of 8 ranks`; empty where the whole did."""
    described_ranks, ran = (measurement.timing.get(key) for key in ("described_world_size", "world_size"))
    if not described_ranks or not ran or described_ranks == ran:
        return ""
    case = measurement.point
    if ran == case.ulysses * case.ring:  # sequence_ranks is 1 for a kernel alone, which is no group
        return f"one of {described_ranks // ran} groups"
    return f"{ran} of {described_ranks} ranks"
