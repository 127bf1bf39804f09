"""One measurement in a few lines, what the marks in them mean, and why others have none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fiabench.results import units
from fiabench.results.measurement import Measurement
from fiabench.results.words import essence
from fiabench.stats.intervals import NORMAL_THEORY

_FEW = NORMAL_THEORY
_LONG_REASON = 400
"""Characters from which on a reason is shown by what it comes down to."""


def cell(measurement: Measurement) -> list[str]:
    """One case, a fact a line: latency; kernel and throughput; what exchanges add; what closure misses; or a status."""
    if not measurement.measured:
        return [measurement.status.replace("_", " ")]

    def shown(metric: str) -> str:
        return units.human(measurement.metrics[metric]["value"], measurement.metrics[metric]["unit"])

    lines = [_latency(measurement), *_compared(measurement)]
    if measurement.case["measure"] == "exchange":
        return [*lines, f"busbw {shown('busbw')}", f"wait {shown('wait')}"]
    throughput = [shown("achieved_flops")] + ([f"MFU {shown('mfu')}"] if "mfu" in measurement.metrics else [])
    share = measurement.value("padding")
    padding = [f"padding {100 * share:.2g} %"] if share else []
    if "closure_residual" not in measurement.metrics:
        peak = [f"peak {shown('peak_memory')}"] if "peak_memory" in measurement.metrics else []
        return [*lines, *throughput, *peak, *padding]
    residual = measurement.metrics["closure_residual"]["value"]
    return [
        *lines,
        f"kernel {shown('kernel')}",
        *throughput,
        *_exchanges(measurement, shown),
        f"residual {units.relative(residual)}",
        *padding,
    ]


def _latency(measurement: Measurement) -> str:
    total = measurement.metrics["total"]
    spread = units.spread(total["low"], total["high"], total["value"])
    return f"{units.seconds(total['value'])} {spread}{marks(measurement)}"


def _compared(measurement: Measurement) -> list[str]:
    """What the operator that was measured in turns makes of it."""
    lines = []
    for metric, name in (("ratio", "ratio"), ("dispatch_ratio", "dispatch ratio")):
        if metric in measurement.metrics:
            lines.append(f"{name} {_interval(measurement.metrics[metric])} to {measurement.case['against']}")
    return lines


def _interval(entry: dict[str, Any]) -> str:
    return f"{units.factor(entry['value'])} ({units.factor(entry['low'])} to {units.factor(entry['high'])})"


def _exchanges(measurement: Measurement, shown: Callable[[str], str]) -> list[str]:
    lines = []
    if "all_to_all" in measurement.metrics:
        lines += [f"a2a {shown('all_to_all')}, {shown('all_to_all_share')}", f"wait {shown('wait')}"]
    if "ring_exchange" in measurement.metrics:
        lines.append(f"ring {shown('ring_exchange')}")
    if "merge" in measurement.metrics:
        lines.append(f"merge {shown('merge')}")
    return lines


_EXPLAINED = {
    "ratio": "ratio: total / total of the operator measured in turns with it, the median of the pairs and its interval",
    "dispatch_ratio": "dispatch ratio: the same of the host's time to launch it",
    "all_to_all": "a2a: pack + transfer + unpack, both ways, each exchange begun by all ranks together; then the share "
    "of the phases' sum that is packing, unpacking and the exchanges as they ran within; wait is in neither",
    "transfer_natural": "transfer: each exchange by itself, begun by all ranks together",
    "ring_exchange": "ring: keys and values passed around the ring; merge: partial outputs brought together",
    "closure_residual": "residual: closure, (total without recording - sum of the phases) / total, of the worst rank",
    "padding": "padding: the part of the kernel's rows (heads x tokens) that is none of the model's",
}
"""Metrics of cells whose short names need words."""
_METHODS = {
    "batched": "as the mean of many launches between two marks",
    "graph": "as the mean of many launches replayed as one graph",
}
_KERNELS = 3
"""The longest kernels that a profiler saw, as far as they are told."""
_NOTES = 15
"""Doubts that are told; of more the count is."""
_DOUBTFUL = "?"
_MARKS: dict[str, tuple[str, Callable[[Measurement], Any]]] = {
    "~": (
        "unsettled: the cap on time or samples came before the interval was as narrow as the sweep asks",
        lambda measurement: measurement.status == "unsettled",
    ),
    "!": (
        "host-bound: the device waited for launches, so that this is the host's time and not the device's",
        lambda measurement: measurement.timing.get("host_bound"),
    ),
    "*": (
        "oversubscribed: more ranks than cores, which slow each other down as devices of their own would not",
        lambda measurement: measurement.timing.get("oversubscribed"),
    ),
    _DOUBTFUL: ("doubtful: something was found in the samples", lambda measurement: measurement.flags),
}


def legend(measurements: list[Measurement]) -> list[str]:
    """What the marks and words in the cells mean, as far as they occur, and which outside code ran."""
    measured = [measurement for measurement in measurements if measurement.measured]
    if not measured:
        return _projects(measurements)
    lines = [f"first line: latency of the whole, the median with its 95 % interval ({_scope(measured)})"]
    few = sum(measurement.metrics["total"].get("count", _FEW) < _FEW for measurement in measured)
    if few:
        lines.append(f"few samples: of {_cases(few)} the interval rests on Gaussian noise, as less than {_FEW} must")
    for method, how in _METHODS.items():
        if count := sum(measurement.timing.get("method") == method for measurement in measured):
            lines.append(f"{method}: {_cases(count)} timed {how}")
    attention = [measurement for measurement in measured if measurement.case["measure"] != "exchange"]
    lines += [text for metric, text in _EXPLAINED.items() if any(metric in made.metrics for made in attention)]
    if any("peak_memory" in made.metrics and "closure_residual" not in made.metrics for made in attention):
        held = "of the process" if attention[0].case["device"] == "cpu" else "of the device's allocator"
        lines.append(f"peak: most memory {held} that the case took on a rank")
    return lines + meanings(measured, "see below") + _projects(measurements)


def marks(measurement: Measurement) -> str:
    """What stands behind a number that is not to be taken at its face."""
    return "".join(mark for mark, (_, holds) in _MARKS.items() if measurement.measured and holds(measurement))


def meanings(measurements: Sequence[Measurement], doubts: str) -> list[str]:
    """What the marks mean that ``measurements`` have, a line each; ``doubts`` says where they are told."""
    there = set("".join(map(marks, measurements)))
    return [
        f"{mark} {text}{f', {doubts}' if mark == _DOUBTFUL else ''}"
        for mark, (text, _) in _MARKS.items()
        if mark in there
    ]


def _cases(count: int) -> str:
    return "one case" if count == 1 else f"{count} cases"


def _scope(measured: list[Measurement]) -> str:
    """Whether the intervals hold how sessions differ."""
    counts = {len(measurement.each_session) for measurement in measured}
    if counts == {1}:
        return "within this session only: `--sessions 3` measures how sessions differ"
    least, most = min(counts), max(counts)
    return f"over {most if least == most else f'{least} to {most}'} sessions, with how they differ"


def notes(measurements: list[Measurement]) -> list[str]:
    """What is doubtful about those that were measured, a line each."""
    lines = [f"doubtful: {made.id}: {flag}" for made in measurements if made.measured for flag in made.flags]
    beyond = len(lines) - _NOTES
    return lines if beyond <= 0 else [*lines[:_NOTES], f"doubtful: {beyond} more (`show --json` has all)"]


def cross_checks(measurements: list[Measurement]) -> list[str]:
    """What a profiler saw of each case's first rank, a line each."""
    lines = []
    for made in measurements:
        found = made.timing.get("cross_check", {}).get("0")
        if not found:
            continue
        if "missing" in found:
            lines.append(f"{found['method']}: {made.id}: {found['missing']}")
            continue
        kernels = [f"{kernel['name']} {units.seconds(kernel['seconds'])}" for kernel in found["kernels"][:_KERNELS]]
        share = f"{units.percent(found['ratio'])} of what was measured"
        lines.append(f"{found['method']}: {made.id}: {', '.join(kernels)}; in all {share}")
    return lines


def _projects(measurements: list[Measurement]) -> list[str]:
    """Each outside project's code that ran, as its measurements recorded it."""
    lines = []
    for measurement in measurements:
        for name, origin in measurement.timing.get("projects", {}).items():
            lines.append(f"{name}: {origin_name(origin)}, {origin['file']}")
    return list(dict.fromkeys(lines))


def origin_name(origin: dict[str, Any]) -> str:
    """Which state of an outside project ran: `0.5.11 (commit 8d0e2b1a4c5f and changes)`."""
    commit = f"commit {origin['commit'][:12]}{' and changes' if origin['dirty'] else ''}" if origin["commit"] else ""
    version = origin["version"] or ""
    return f"{version} ({commit})" if version and commit else version or commit or "unknown version"


def reasons(measurements: list[Measurement]) -> list[str]:
    """Each reason for which cases were left out or failed, on one line, with the first of its cases and their count."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    for measurement in measurements:
        if not measurement.measured:
            said = " ".join(measurement.reason.split())
            if len(said) > _LONG_REASON:
                said = f"{essence(measurement.reason)} (the whole message is in cases.jsonl)"
            by_reason.setdefault((measurement.status, said), []).append(measurement.id)
    return [
        f"{status.replace('_', ' ')}: {reason} [{ids[0]}{f' and {len(ids) - 1} more' if len(ids) > 1 else ''}]"
        for (status, reason), ids in by_reason.items()
    ]
