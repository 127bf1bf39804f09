"""Measurements as people think of them: sequence length down, head shard across, in as few tables as can be read.

What else the cases differ in stands across too, as a variant, as long as the table stays narrow. Beyond that one field
goes down, beside the length, where it is crossed with the others; else there are several tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from fiabench.cases.case import EXCHANGES, Case
from fiabench.results import units, words
from fiabench.results.measurement import Measurement
from fiabench.results.words import Field

MAX_COLUMNS = 6
"""Columns of a table that fit a terminal of 120 characters."""
MAX_EXCHANGE_COLUMNS = 5
"""The same of columns whose cells tell exchanges from the kernel, which makes them wider."""

_APART_FIRST = ("measure", "replicas", "threads", "geometry", "dtype", "batch", words.BESIDE, "op", "against")
"""The fields that tables are told apart by, before those that are best compared side by side."""
_BYTES, _TOKENS, _KEYS = "bytes a rank", "tokens", "key tokens"

Key = tuple[Any, ...]


@dataclass
class Section:
    """One table."""

    title: str
    """What all of its cases have in common."""
    row_label: str
    columns: list[list[str]]
    """Each column's heading, a fact a line: degrees, heads, how it exchanges, variant, what part of the world ran."""
    rows: list[tuple[list[str], list[list[Measurement]]]]
    """Each row's heading, and the measurements of each of its cells."""


class _Entry(NamedTuple):
    """A measurement in its place."""

    measurement: Measurement
    case: Case
    length: int
    """Tokens or bytes."""
    shard: Key
    """What columns are always told apart by, so that it sorts: degrees, exchange, heads, part of the world."""


def sections(measurements: Iterable[Measurement]) -> list[Section]:
    """The tables of a run; lengths and shards in rising order, variants in the order of the sweep."""
    cases = [(measurement, words.described(measurement)) for measurement in measurements]
    lengths = words.Lengths.of([case for _, case in cases if case.measure != "exchange"])
    tables: dict[str, list[_Entry]] = {}
    for measurement, case in cases:
        length, label = lengths.length(case), _KEYS if lengths.by_keys(case) else _TOKENS
        if case.measure == "exchange":
            length, label = case.exchange_bytes, _BYTES
        tables.setdefault(label, []).append(_Entry(measurement, case, length, _shard(measurement, case)))
    known = words.fields(lengths)
    names = [name for name in words.OF_ATTENTION if name != "exchange"]
    fields = {
        label: {name: known[name] for name in (words.OF_EXCHANGE if label == _BYTES else names)} for label in tables
    }
    return [section for label, entries in tables.items() for section in _divided(label, entries, fields[label])]


def _shard(measurement: Measurement, case: Case) -> Key:
    order = ("none", *EXCHANGES)
    place = order.index(case.exchange) if case.exchange in order else len(order)
    heads = (case.heads_per_rank, case.kv_heads_per_rank)
    degrees = (case.tp, case.ulysses, case.ring, case.cfg, case.head_shard)
    return (*degrees, place, case.exchange, *heads, words.part_that_ran(measurement))


def _divided(label: str, entries: list[_Entry], fields: dict[str, Field]) -> list[Section]:
    """The tables of ``entries``: one where it fits, else one for each value of a field, divided further as need be."""
    across = words.varying((entry.case for entry in entries), fields)
    whole = _Table(label, entries, fields, across, None)
    if whole.fits or not across:
        return [whole.section()]
    crossed = [_Table(label, entries, fields, [name for name in across if name != down], down) for down in across]
    fitting = [table for table in crossed if table.fits and table.full]
    if fitting:
        return [min(fitting, key=lambda table: len(table.rows)).section()]
    apart = next((name for name in _APART_FIRST if name in across), across[0])
    parts: dict[Any, list[_Entry]] = {}
    for entry in entries:
        parts.setdefault(fields[apart].read(entry.case), []).append(entry)
    return [section for part in parts.values() for section in _divided(label, part, fields)]


class _Table:
    """A way to lay entries out: the fields ``across`` make columns beside the shards, the field ``down`` makes rows."""

    def __init__(
        self, label: str, entries: list[_Entry], fields: dict[str, Field], across: Sequence[str], down: str | None
    ) -> None:
        self.label, self.entries, self.fields, self.across, self.down = label, entries, fields, across, down
        variants = dict.fromkeys(self._variant(entry) for entry in entries)
        added = dict.fromkeys(self._beside(entry) for entry in entries)
        place, row_place = ({value: index for index, value in enumerate(values)} for values in (variants, added))
        self.columns = sorted(
            {(entry.shard, self._variant(entry)) for entry in entries},
            key=lambda key: (key[0][:7], place[key[1]], key[0]),
        )
        self.rows = sorted(
            {(entry.length, self._beside(entry)) for entry in entries}, key=lambda row: (row[0], row_place[row[1]])
        )
        self.cells: dict[Key, list[Measurement]] = {}
        for entry in entries:
            row, column = (entry.length, self._beside(entry)), (entry.shard, self._variant(entry))
            self.cells.setdefault((row, column), []).append(entry.measurement)

    def _variant(self, entry: _Entry) -> Key:
        return tuple(self.fields[name].read(entry.case) for name in self.across)

    def _beside(self, entry: _Entry) -> Any:
        return self.fields[self.down].read(entry.case) if self.down else None

    @property
    def fits(self) -> bool:
        wide = any(entry.case.measure == "ulysses" and entry.case.sequence_ranks > 1 for entry in self.entries)
        return len(self.columns) <= (MAX_EXCHANGE_COLUMNS if wide else MAX_COLUMNS)

    @property
    def full(self) -> bool:
        """Whether most of the table would be filled."""
        return 2 * len(self.cells) > len(self.rows) * len(self.columns)

    def section(self) -> Section:
        headings = [_shard_words(shard) for shard, _ in self.columns]
        common = self._common()
        shards = {shard for shard, _ in self.columns}
        if len(self.columns) > 1 and len(shards) == 1:  # then the variants alone are the columns
            degrees, *rest = headings[0]
            common.append(f"{degrees} ({', '.join(rest)})" if rest else degrees)
            headings = [[] for _ in headings]
        titles = [
            [*heading, *words.variant_names([self.fields[name] for name in self.across], variant)]
            for heading, (_, variant) in zip(headings, self.columns, strict=True)
        ]
        rows = [
            (self._row_title(row), [self.cells.get((row, column), []) for column in self.columns]) for row in self.rows
        ]
        return Section(" · ".join(common), self.label, titles, rows)

    def _common(self) -> list[str]:
        """What all cases have in common, in words."""
        case = self.entries[0].case
        told = {*self.across, self.down}
        said = [field.common(field.read(case)) for name, field in self.fields.items() if name not in told]
        return [*(["all-to-all alone"] if self.label == _BYTES else []), *filter(None, said)]

    def _row_title(self, row: tuple[int, Any]) -> list[str]:
        length, beside = row
        title = units.size(length) if self.label == _BYTES else f"{length:,}"
        return [title, self.fields[self.down].name(beside)] if self.down else [title]


def _shard_words(shard: Key) -> list[str]:
    """A head shard in words, a line each: its degrees, its heads, how it exchanges, what part of the world ran."""
    *_, degrees, _, exchange, heads, kv_heads, part = shard
    held = f"{words.heads_name(heads, kv_heads)} heads" if heads else ""
    return [line for line in (degrees, held, "" if exchange == "none" else exchange, part) if line]
