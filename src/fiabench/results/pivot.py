"""Measurements as people think of them: sequence length down, head shard across, one table for the rest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from fiabench.results import units
from fiabench.results.measurement import Measurement

_SHARD = ("tp", "ulysses", "exchange", "heads_per_rank", "kv_heads_per_rank", "described_world_size", "world_size")
_COMMON = (
    "measure",
    "op",
    "layout",
    "dtype",
    "mask",
    "batch",
    "heads",
    "kv_heads",
    "head_dim",
    "seq_len_kv",
    "replicas",
)

_LEVEL = 0.95

Key = tuple[Any, ...]


@dataclass
class Section:
    """One table: what all of its cases have in common, and a cell for each row and column that was measured."""

    title: str
    row_label: str
    rows: list[int] = field(default_factory=list)
    columns: list[Key] = field(default_factory=list)
    """Values of _SHARD."""
    cells: dict[tuple[int, Key], list[Measurement]] = field(default_factory=dict)


def sections(measurements: Iterable[Measurement]) -> list[Section]:
    """The tables of a run, rows and columns in rising order."""
    tables: dict[Key, Section] = {}
    for measurement in measurements:
        case = measurement.case
        exchange_alone = case["measure"] == "exchange"
        row = case["exchange_bytes"] if exchange_alone else case["seq_len_q"]
        key = tuple(
            "same" if name == "seq_len_kv" and case[name] == case["seq_len_q"] else case[name] for name in _COMMON
        )
        if exchange_alone:
            key = (case["measure"], case["dtype"])
        if key not in tables:
            tables[key] = Section(_title(case), "bytes a rank" if exchange_alone else "tokens")
        column = tuple((case | measurement.timing).get(name) for name in _SHARD)
        tables[key].cells.setdefault((row, column), []).append(measurement)
    for table in tables.values():
        table.rows = sorted({row for row, _ in table.cells})
        table.columns = sorted({column for _, column in table.cells}, key=_column_order)
    return list(tables.values())


def _column_order(column: Key) -> tuple[int, int, int, Key]:
    tp, ulysses, exchange = column[:3]
    return tp, ulysses, ("none", "separate", "packed").index(exchange), column[3:]


def _title(case: dict[str, Any]) -> str:
    if case["measure"] == "exchange":
        return f"all-to-all alone · {case['dtype']}"
    heads = f"{case['heads']}" if case["heads"] == case["kv_heads"] else f"{case['heads']}/{case['kv_heads']}"
    parts = [
        case["op"],
        case["layout"],
        case["dtype"],
        "no mask" if case["mask"] == "none" else case["mask"],
        f"{heads} heads x {case['head_dim']}",
        f"batch {case['batch']}",
    ]
    if case["seq_len_kv"] != case["seq_len_q"]:
        parts.append(f"{case['seq_len_kv']:,} kv tokens")
    if case["measure"] == "kernel":
        parts.append("kernel alone")
    if case["replicas"] == "all":
        parts.append("all groups at once")
    return " · ".join(parts)


def column_title(column: Key) -> list[str]:
    """A head shard in words, a line each: its degrees, its heads, how it exchanges, what part of the world ran."""
    tp, ulysses, exchange, heads, kv_heads, described, world_size = column
    lines = [f"tp{tp} x u{ulysses}"]
    if heads:
        lines.append(f"{heads} heads" if heads == kv_heads else f"{heads}/{kv_heads} heads")
    if exchange != "none":
        lines.append(exchange)
    if described and world_size and described != world_size:
        lines.append(
            f"one of {described // world_size} groups"
            if ulysses == world_size
            else f"{world_size} of {described} ranks"
        )
    return lines


def row_title(section: Section, row: int) -> str:
    return units.size(row) if section.row_label.startswith("bytes") else f"{row:,}"


def cell(measurement: Measurement) -> list[str]:
    """One case, a fact a line: latency; kernel and throughput; what the exchanges add; what closure misses."""
    if not measurement.measured:
        return [measurement.status.replace("_", " ")]
    marks = "~" if measurement.status == "unsettled" else ""
    marks += "*" if measurement.timing.get("oversubscribed") else ""
    marks += "!" if measurement.timing.get("host_bound") else ""
    total = measurement.metrics["total"]
    spread = (total["high"] - total["low"]) / (2 * total["value"])
    lines = [f"{units.seconds(total['value'])} ±{units.percent(spread)}{marks}"]

    def shown(metric: str) -> str:
        return units.human(measurement.metrics[metric]["value"], measurement.metrics[metric]["unit"])

    if measurement.case["measure"] == "exchange":
        return [*lines, f"busbw {shown('busbw')}", f"wait {shown('wait')}"]
    throughput = [shown("achieved_flops")] + ([f"MFU {shown('mfu')}"] if "mfu" in measurement.metrics else [])
    if "all_to_all" not in measurement.metrics:
        return [*lines, *throughput]
    residual = measurement.metrics["closure_residual"]["value"]
    return [
        *lines,
        f"kernel {shown('kernel')}",
        *throughput,
        f"a2a {shown('all_to_all')} = {shown('all_to_all_share')}",
        f"wait {shown('wait')}",
        f"residual {'+' if residual >= 0 else ''}{units.percent(residual)}",
    ]


def legend(measurements: list[Measurement]) -> list[str]:
    """What the marks and words in the cells mean, as far as they occur."""
    measured = [measurement for measurement in measurements if measurement.measured]
    if not measured:
        return []
    lines = ["first line: latency of the whole, the median with its 95 % interval (within this session only)"]
    least = min(measurement.metrics["total"]["level"] for measurement in measured)
    if least < _LEVEL:
        lines.append(f"few samples: the weakest of these intervals covers {units.percent(least)} rather than 95 %")
    if any("closure_residual" in measurement.metrics for measurement in measured):
        lines.append(
            "a2a: pack + transfer + unpack, both ways; its share is of the sum of the phases; wait is not in it"
        )
        lines.append("residual: closure, (total without recording - sum of the phases) / total, of the worst rank")
    if any(measurement.status == "unsettled" for measurement in measured):
        lines.append("~ unsettled: the cap on time or samples came before the interval was as narrow as the sweep asks")
    if any(measurement.timing.get("host_bound") for measurement in measured):
        lines.append(
            "! host-bound: the device waited for launches, so that this is the host's time and not the device's"
        )
    if any(measurement.timing.get("oversubscribed") for measurement in measured):
        lines.append(
            "* oversubscribed: more ranks than cores, which slow each other down as devices of their own would not"
        )
    return lines


def reasons(measurements: list[Measurement]) -> list[str]:
    """Each reason for which cases were left out or failed, on one line, with the first of its cases and their count."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    for measurement in measurements:
        if not measurement.measured:
            by_reason.setdefault((measurement.status, " ".join(measurement.reason.split())), []).append(measurement.id)
    return [
        f"{status.replace('_', ' ')}: {reason} [{ids[0]}{f' and {len(ids) - 1} more' if len(ids) > 1 else ''}]"
        for (status, reason), ids in by_reason.items()
    ]
