"""From measurements to lines: one colour for each head shard, one style for each variant of the rest.

A variant is what else may differ between the cases of a run: operator, exchange, layout, mask, paged cache, batch and
so on (:mod:`fiabench.results.words`). Legends name only what does differ; what all have in common stands once in the
subtitle.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fiabench.figures import labels
from fiabench.figures.labels import SEPARATOR
from fiabench.results import words
from fiabench.results.measurement import Measurement
from fiabench.results.words import OF_ATTENTION, OF_EXCHANGE, Field

MAX_VARIANTS = 8
"""Line styles and markers that readers can tell apart; a run with more variants says how many are not drawn."""
MAX_ENTRIES = 10
"""Entries of a legend; lines beyond are explained by colour and style apart."""


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

    def by(self, what: str) -> str:
        """`, by WHAT` for the title, where the colours stand for WHAT and there are several."""
        return f", by {what}" if len({line.colour for line in self.lines}) > 1 else ""

    def name(self, line: Line) -> str:
        names = (self.colour_names[line.colour], self.variant_names[line.variant])
        return SEPARATOR.join(name for name in names if name)


def lengths(measurements: Iterable[Measurement]) -> tuple[Callable[[Measurement], float], str]:
    """The abscissa of most figures in tokens, and its name: queries of the whole sequence, or in decode its keys."""
    cases = [measurement.point for measurement in measurements]
    known = words.Lengths.of(cases)

    def length(measurement: Measurement) -> float:
        return float(known.length(measurement.point))

    return length, "key length" if any(map(known.by_keys, cases)) else "sequence length"


def shard(measurement: Measurement) -> tuple[int, ...]:
    """What colours stand for in most figures: the head shard as (tp, ulysses, ring, cfg)."""
    case = measurement.point
    return case.tp, case.ulysses, case.ring, case.cfg


def shard_names(measurements: Iterable[Measurement]) -> dict[Any, str]:
    """Each head shard in words, with a rank's heads where they are the same in all of its cases."""
    names: dict[Any, str] = {}
    heads: dict[Any, set[str]] = {}
    for measurement in measurements:
        case, key = measurement.point, shard(measurement)
        names[key] = case.head_shard
        heads.setdefault(key, set()).add(words.heads_name(case.heads_per_rank, case.kv_heads_per_rank))
    for key, counts in heads.items():
        if len(counts) == 1:
            (count,) = counts
            names[key] += f" ({count} {'head' if count == '1' else 'heads'})"
    return names


def group(
    measurements: Sequence[Measurement],
    x: Callable[[Measurement], float],
    colour_by: Callable[[Measurement], Any],
    colour_names: dict[Any, str],
    fields: tuple[str, ...] = OF_ATTENTION,
    most: int = MAX_VARIANTS,
) -> Lines:
    """Lines through ``measurements``, each with one value of ``colour_by`` and one of each of ``fields``.

    Of more variants than ``most`` those with most measurements are kept.
    """
    known = words.fields(words.Lengths.of([measurement.point for measurement in measurements]))
    variants: dict[tuple[Any, ...], list[Measurement]] = {}
    exchanges = {measurement.case["exchange"] for measurement in measurements} - {"none"}
    for measurement in measurements:
        case = words.described(measurement)
        values = {field: known[field].read(case) for field in fields}
        if values.get("exchange") == "none" and len(exchanges) == 1:
            values["exchange"] = next(iter(exchanges))  # where nothing is exchanged there was no choice: no variant
        variants.setdefault(tuple(values.values()), []).append(measurement)
    kept = sorted(variants, key=lambda variant: -len(variants[variant]))[:most]
    kept = [variant for variant in variants if variant in kept]  # in the order measured
    lines = []
    for variant in kept:
        by_colour: dict[Any, list[Measurement]] = {}
        for measurement in variants[variant]:
            by_colour.setdefault(colour_by(measurement), []).append(measurement)
        lines += [Line(colour, variant, sorted(points, key=x)) for colour, points in by_colour.items()]
    lines.sort(key=lambda line: (line.colour, kept.index(line.variant)))
    names, common = _names(kept, {field: known[field] for field in fields})
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


def case_names(measurements: Sequence[Measurement]) -> tuple[dict[str, str], str]:
    """What each case is called where a panel is a case, by id, and what all of ``measurements`` have in common."""
    attention = [m for m in measurements if m.case["measure"] != "exchange"]
    alone = [m for m in measurements if m.case["measure"] == "exchange"]
    names: dict[str, str] = {}
    common = []

    def name(lines: Lines, size: Callable[[Measurement], str]) -> None:
        for line in lines.lines:
            names.update({m.id: SEPARATOR.join(filter(None, (size(m), lines.name(line)))) for m in line.points})
        common.append(lines.common)

    if attention:
        length, length_name = lengths(attention)
        unit = "keys" if length_name == "key length" else "tokens"
        lines = group(attention, length, shard, shard_names(attention), most=len(attention))
        name(lines, lambda m: f"{length(m):,.0f} {unit}")
    if alone:
        ranks = {m.case["ulysses"]: f"{m.case['ulysses']} ranks" for m in alone}
        lines = group(alone, _sent, lambda m: m.case["ulysses"], ranks, OF_EXCHANGE, most=len(alone))
        name(lines, lambda m: f"{labels.size(_sent(m))} a rank")
    return names, SEPARATOR.join(filter(None, common))


def _sent(measurement: Measurement) -> float:
    return float(measurement.case["exchange_bytes"])


def _varying(variants: Iterable[tuple[Any, ...]], fields: tuple[str, ...]) -> str:
    """The fields in which the variants differ."""
    return ", ".join(field for field, values in zip(fields, zip(*variants), strict=True) if len(set(values)) > 1)


def _names(variants: list[tuple[Any, ...]], fields: dict[str, Field]) -> tuple[dict[tuple[Any, ...], str], str]:
    """Each variant by what is its own, and what all have in common."""
    own, common = [], []
    for index, (name, field) in enumerate(fields.items()):
        values = {variant[index] for variant in variants}
        if name == "exchange" and len(values) > 1:
            values.discard("none")
        if len(values) > 1:
            own.append((index, field))
        else:
            common.append(field.common(values.pop()))

    def named(variant: tuple[Any, ...]) -> str:
        return " ".join(words.variant_names([field for _, field in own], [variant[index] for index, _ in own]))

    return {variant: named(variant) for variant in variants}, SEPARATOR.join(filter(None, common))
