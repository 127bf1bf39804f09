"""Words and numbers on figures. Pure text, no matplotlib."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from fiabench.results import words
from fiabench.results.environment import provenance, ran_on
from fiabench.results.measurement import Measurement
from fiabench.stats.sessions import WITHIN

SEPARATOR = " · "


def tokens(value: float) -> str:
    """A count on an axis: `512`, `1,024`, `1k`, `25.2k`, `1.05M`; exact below 10,000, else three digits."""
    if value < 10_000 and value % 100:
        return f"{value:,.0f}"
    for scale, prefix in ((1e6, "M"), (1e3, "k")):
        if value >= scale:
            return f"{value / scale:.3g}{prefix}" if value < 1000 * scale else f"{value / scale:,.0f}{prefix}"
    return f"{value:.0f}"


def tokens_apart(values: Iterable[float]) -> Callable[[float], str]:
    """How the counts on one axis read: as :func:`tokens`, or in full where two of them would look alike."""
    counts = set(values)
    return tokens if len(set(map(tokens, counts))) == len(counts) else "{:,.0f}".format


def time_unit(value: float) -> tuple[float, str]:
    """The unit, and its seconds, that a duration reads best in."""
    units = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
    return next((unit for unit in units if value >= 0.9995 * unit[0]), (1e-9, "ns"))


def seconds(value: float) -> str:
    """A duration on an axis, without trailing zeros: `50 µs`, `2 ms`, `1 s`."""
    scale, unit = time_unit(value)
    return f"{value / scale:,.4g} {unit}"


def rate(value: float, unit: str) -> str:
    """A rate on an axis, without trailing zeros: `250 TFLOP/s`, `20 GB/s`, `0`."""
    for scale, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * scale:
            return f"{value / scale:.4g} {prefix}{unit}"
    return f"{value:.4g} {unit}" if value else "0"


def size(value: float) -> str:
    """Bytes on an axis: `64 KiB`, `512 MiB`, `1.5 GiB`."""
    for scale, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if value >= scale:
            return f"{value / scale:.3g} {unit}" if value < 1000 * scale else f"{value / scale:.0f} {unit}"
    return f"{value:.0f} B"


def device_line(environment: dict[str, Any], drawn: Sequence[Measurement]) -> str:
    """What the drawn numbers are of: the device, what stood in for what, who shared what."""
    parts = [ran_on(environment), provenance(environment, drawn), oversubscription(drawn), groups(drawn)]
    return SEPARATOR.join(part for part in parts if part)


def oversubscription(drawn: Sequence[Measurement]) -> str:
    """Which of the cases had more ranks than cores or devices; empty where none had."""
    shared = [measurement for measurement in drawn if measurement.timing.get("oversubscribed")]
    if not shared:
        return ""
    if len(shared) == len(drawn):
        return "oversubscribed: more ranks than cores"
    degrees = sorted({(case.ulysses, case.ring) for case in (measurement.point for measurement in shared)})
    names = [f"u{ulysses}" + (f" x ring{ring}" if ring > 1 else "") for ulysses, ring in degrees]
    return f"{', '.join(names)} oversubscribed: more ranks than cores"


def groups(drawn: Sequence[Measurement]) -> str:
    """Which part of the described deployments ran, where it was not the whole: `tp2: one of 2 groups`."""
    parts: dict[str, set[tuple[int, int]]] = {}
    siblings = {(case.tp, case.cfg) for case in (measurement.point for measurement in drawn)}
    for measurement in drawn:
        if part := words.part_that_ran(measurement):
            case = measurement.point
            parts.setdefault(part, set()).add((case.tp, case.cfg))
    if len(parts) > 2:
        return "a part of each deployment ran"

    def named(tp: int, cfg: int) -> str:
        return f"tp{tp}" + (f" x cfg{cfg}" if cfg > 1 else "")

    return SEPARATOR.join(
        text
        if len(siblings) == 1 or "group" not in text
        else f"{', '.join(named(*of) for of in sorted(those))}: {text}"
        for text, those in parts.items()
    )


def interval_note(drawn: Iterable[Measurement], metric: str) -> str:
    """What the error bars on ``metric`` are."""
    scopes = {measurement.metrics[metric].get("scope", WITHIN) for measurement in drawn}
    return f"error bars: 95 % interval of the median, {' or '.join(sorted(scopes)) or WITHIN}"


def not_drawn_note(measurements: Sequence[Measurement]) -> str:
    """How many cases of the run are in no figure, and why; empty where all were measured."""

    def counted(word: str, those: list[Measurement]) -> str:
        if not those:
            return ""
        kinds = Counter(measurement.status.replace("_", " ") for measurement in those)
        text = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        return f"{len(those)} {'case' if len(those) == 1 else 'cases'} {word} ({text})"

    failed = counted("failed", [measurement for measurement in measurements if measurement.failed])
    left = counted("left out", [m for m in measurements if not m.measured and not m.failed])
    text = " and ".join(part for part in (failed, left) if part)
    return f"not drawn: {text}" if text else ""


def wrapped(parts: Iterable[str], width: int) -> list[str]:
    """``parts`` joined by dots into lines of at most ``width`` characters, broken between parts where possible."""
    lines: list[str] = []
    for part in parts:
        for piece in textwrap.wrap(part, width):
            joined = f"{lines[-1]}{SEPARATOR}{piece}" if lines else piece
            if lines and len(joined) <= width:
                lines[-1] = joined
            else:
                lines.append(piece)
    return lines
