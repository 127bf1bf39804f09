"""From measurements to lines: one colour for each head shard, one style for each variant of the rest.

A variant is what else may differ between the cases of a run: operator, exchange, layout, mask, dtype, batch, geometry.
Legends name only what does differ; what all have in common stands once in the subtitle.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from fiabench.figures.labels import SEPARATOR
from fiabench.results.measurement import Measurement

MAX_VARIANTS = 8
"""Line styles and markers that readers can tell apart; a run with more variants says how many are not drawn."""
MAX_ENTRIES = 10
"""Entries of a legend; lines beyond are explained by colour and style apart."""


class Field(NamedTuple):
    """One way for cases to differ, and what its values are called."""

    read: Callable[[Measurement], Any]
    name: Callable[[Any], str]


def _geometry(measurement: Measurement) -> tuple[int, int, int]:
    case = measurement.case
    return case["heads"], case["kv_heads"], case["head_dim"]


def _geometry_name(value: tuple[int, int, int]) -> str:
    heads, kv_heads, head_dim = value
    return f"{heads} heads x {head_dim}" if heads == kv_heads else f"{heads}/{kv_heads} heads x {head_dim}"


def _kv(measurement: Measurement) -> int:
    case = measurement.case
    return 0 if case["seq_len_kv"] == case["seq_len_q"] else case["seq_len_kv"]


def _threads(measurement: Measurement) -> int:
    """The threads of a rank where the sweep fixed them; 0 where they follow from the cores."""
    threads: int = measurement.case["threads"]
    return threads if measurement.id.endswith(f".threads{threads}") else 0


FIELDS = {
    "op": Field(lambda m: m.case["op"], str),
    "exchange": Field(lambda m: m.case["exchange"], lambda value: "" if value == "none" else value),
    "measure": Field(lambda m: m.case["measure"], lambda value: "kernel alone" if value == "kernel" else ""),
    "layout": Field(lambda m: m.case["layout"], str),
    "dtype": Field(lambda m: m.case["dtype"], str),
    "mask": Field(lambda m: m.case["mask"], lambda value: "no mask" if value == "none" else value),
    "geometry": Field(_geometry, _geometry_name),
    "batch": Field(lambda m: m.case["batch"], "batch {}".format),
    "kv": Field(_kv, lambda value: f"{value:,} kv tokens" if value else ""),
    "replicas": Field(lambda m: m.case["replicas"], lambda value: "all groups at once" if value == "all" else ""),
    "threads": Field(_threads, lambda value: f"{value} threads a rank" if value else ""),
    "tp": Field(lambda m: m.case["tp"], "tp{}".format),
}

OF_ATTENTION = tuple(field for field in FIELDS if field != "tp")
OF_EXCHANGE = ("dtype", "replicas", "threads")


@dataclass(frozen=True)
class Line:
    """The measurements that one line joins, ordered along the x axis."""

    colour: Hashable
    """What the colour stands for: a value of the figure's ``colour_by``."""
    variant: tuple[Any, ...]
    """Values of the fields."""
    points: list[Measurement]


@dataclass(frozen=True)
class Lines:
    """The lines of a figure, with everything needed to name them."""

    lines: list[Line]
    colours: list[Any]
    """Values that have a colour, in the order of the palette."""
    variants: list[tuple[Any, ...]]
    colour_names: dict[Any, str]
    variant_names: dict[tuple[Any, ...], str]
    common: str
    """What all lines have in common, for the subtitle."""
    note: str
    """What was left away to keep the figure readable; empty where nothing was."""

    @property
    def drawn(self) -> list[Measurement]:
        return [point for line in self.lines for point in line.points]

    @property
    def factored(self) -> bool:
        """Whether the legend explains colours and styles apart, because an entry for each line would be too many."""
        return len(self.lines) > MAX_ENTRIES

    def name(self, line: Line) -> str:
        names = (self.colour_names[line.colour], self.variant_names[line.variant])
        return SEPARATOR.join(name for name in names if name)


def tokens(measurement: Measurement) -> float:
    """The abscissa of most figures: query tokens of the whole sequence."""
    return float(measurement.case["seq_len_q"])


def shard(measurement: Measurement) -> tuple[int, int]:
    """What colours stand for in most figures: the head shard as (tp, ulysses)."""
    return measurement.case["tp"], measurement.case["ulysses"]


def shard_names(measurements: Iterable[Measurement]) -> dict[Any, str]:
    """Each head shard in words, with a rank's heads where they are the same in all of its cases."""
    heads: dict[tuple[int, int], set[str]] = {}
    for measurement in measurements:
        case = measurement.case
        query, key = case["heads_per_rank"], case["kv_heads_per_rank"]
        heads.setdefault(shard(measurement), set()).add(f"{query}" if query == key else f"{query}/{key}")
    names = {}
    for (tp, ulysses), counts in heads.items():
        count = next(iter(counts))
        detail = f" ({count} {'head' if count == '1' else 'heads'})" if len(counts) == 1 else ""
        names[tp, ulysses] = f"tp{tp} x u{ulysses}{detail}"
    return names


def group(
    measurements: Sequence[Measurement],
    x: Callable[[Measurement], float],
    colour_by: Callable[[Measurement], Any],
    colour_names: dict[Any, str],
    fields: tuple[str, ...] = OF_ATTENTION,
) -> Lines:
    """Lines through ``measurements``, each with one value of ``colour_by`` and one of each of ``fields``."""
    variants: dict[tuple[Any, ...], list[Measurement]] = {}
    exchanges = {measurement.case["exchange"] for measurement in measurements} - {"none"}
    for measurement in measurements:
        values = {field: FIELDS[field].read(measurement) for field in fields}
        if values.get("exchange") == "none" and len(exchanges) == 1:
            values["exchange"] = next(iter(exchanges))  # where nothing is exchanged there was no choice: no variant
        variants.setdefault(tuple(values.values()), []).append(measurement)
    kept = sorted(variants, key=lambda variant: -len(variants[variant]))[:MAX_VARIANTS]
    kept = [variant for variant in variants if variant in kept]  # in the order measured
    lines = []
    for variant in kept:
        by_colour: dict[Any, list[Measurement]] = {}
        for measurement in variants[variant]:
            by_colour.setdefault(colour_by(measurement), []).append(measurement)
        lines += [Line(colour, variant, sorted(points, key=x)) for colour, points in by_colour.items()]
    lines.sort(key=lambda line: (line.colour, kept.index(line.variant)))
    names, common = _names(kept, fields)
    left = len(variants) - len(kept)
    shown = {line.colour for line in lines}
    if len(shown) == 1 and len(kept) > 1:  # then colours are free for the variants
        common = SEPARATOR.join(filter(None, (colour_names[lines[0].colour], common)))
        colour_names = dict.fromkeys(shown, "")
    return Lines(
        lines=lines,
        colours=sorted(colour_names),
        variants=kept,
        colour_names=colour_names,
        variant_names=names,
        common=common,
        note=f"{left} of {len(variants)} variants ({_varying(variants, fields)}) are not drawn" if left else "",
    )


def _varying(variants: Iterable[tuple[Any, ...]], fields: tuple[str, ...]) -> str:
    """The fields in which the variants differ."""
    return ", ".join(field for field, values in zip(fields, zip(*variants), strict=True) if len(set(values)) > 1)


def _names(variants: list[tuple[Any, ...]], fields: tuple[str, ...]) -> tuple[dict[tuple[Any, ...], str], str]:
    """Each variant by what is its own, and what all have in common."""
    own, common = [], []
    for index, field in enumerate(fields):
        values = {variant[index] for variant in variants}
        if field == "exchange" and len(values) > 1:
            values.discard("none")
        if len(values) > 1:
            own.append(index)
        else:
            common.append(FIELDS[field].name(values.pop()))

    def name(variant: tuple[Any, ...]) -> str:
        return " ".join(filter(None, (FIELDS[fields[index]].name(variant[index]) for index in own)))

    return {variant: name(variant) for variant in variants}, SEPARATOR.join(filter(None, common))
