"""The metrics: declared once here, and computed from a case's samples.

Samples are seconds by phase and rank, in the order taken. Instrumented iterations give the phases;
other iterations, interleaved with them and without inner recording, give `end_to_end`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from fiabench.cases import costs
from fiabench.cases.case import Case
from fiabench.stats.intervals import summarise
from fiabench.stats.serial import dependence
from fiabench.stats.sessions import WITHIN

PHASES = (
    "pack_in", "exchange_in", "unpack_in", "kernel", "ring_exchange", "merge", "pack_out", "exchange_out", "unpack_out",
)  # fmt: skip
END_TO_END = "end_to_end"
DISPATCH = "dispatch"
"""Seconds that the host took to launch an end-to-end iteration, where the device is timed apart from the host."""
ALIGNED = "aligned_"
"""Begins the names of the exchanges' samples that were taken by themselves, begun by all ranks together."""
BASELINE = "baseline_"
"""Begins the names of the samples of the operator that is measured in turns with the one under test."""

Samples = dict[str, dict[str, list[float]]]


class Metric(NamedTuple):
    """What a metric is called, its unit inside, which direction is better, and what it means."""

    name: str
    unit: str
    better: str
    label: str
    about: str

    @property
    def more_is_better(self) -> bool:
        return self.better == "higher"


METRICS = {
    metric.name: metric
    for metric in (
        Metric("kernel", "s", "lower", "kernel", "the operator on the slowest rank"),
        Metric("all_to_all", "s", "lower", "all-to-all", "pack + transfer + unpack, both directions, without waiting"),
        Metric("transfer", "s", "lower", "transfer", "the exchanges by themselves, begun by all ranks together"),
        Metric("transfer_natural", "s", "lower", "transfer within", "the exchanges within, on the rank that came last"),
        Metric("completion", "s", "lower", "completion", "the exchanges within, waiting included, on the slowest rank"),
        Metric("wait", "s", "lower", "wait", "time in exchanges spent waiting for a later rank, worst rank"),
        Metric("ring_exchange", "s", "lower", "ring exchange", "keys and values passed around the ring, slowest rank"),
        Metric("merge", "s", "lower", "merge", "the ring's partial outputs brought together, slowest rank"),
        Metric("exposed", "s", "lower", "exposed", "what is in the total beside the kernel and merging, slowest rank"),
        Metric("total", "s", "lower", "total", "one attention end to end without inner recording, slowest rank"),
        Metric(
            "all_to_all_share",
            "ratio",
            "lower",
            "a2a share",
            "pack, transfer within and unpack / sum of the phases",
        ),
        Metric("closure_residual", "ratio", "near zero", "residual", "(total - sum of the phases) / total, worst rank"),
        Metric("achieved_flops", "FLOP/s", "higher", "throughput", "one rank's FLOPs / kernel"),
        Metric("mfu", "ratio", "higher", "MFU", "achieved FLOP/s / the device's dense peak for the dtype"),
        Metric("tokens_per_s", "tokens/s", "higher", "tokens/s", "batch * seq_len_q / total"),
        Metric("algbw", "B/s", "higher", "algbw", "one rank's whole buffer / transfer"),
        Metric("busbw", "B/s", "higher", "busbw", "algbw * (P - 1) / P"),
        Metric("ratio", "ratio", "lower", "ratio", "total / total of the operator measured in turns with it"),
        Metric("dispatch", "s", "lower", "dispatch", "the host's launching of one attention, slowest rank"),
        Metric("dispatch_ratio", "ratio", "lower", "dispatch ratio", "dispatch / that of the operator in turns"),
        Metric("first_call", "s", "lower", "first call", "the first iteration of the case's shape, slowest rank"),
        Metric(
            "padding", "ratio", "lower", "padding", "the part of the kernel's rows (heads x tokens) that is padding"
        ),
        Metric("peak_memory", "B", "lower", "peak memory", "most memory that the case took on one rank"),
    )
}
DIRECTED = tuple(name for name, metric in METRICS.items() if metric.better in ("lower", "higher"))
"""Those of which a ratio says which of two is better."""


def compute(
    case: Case,
    samples: Samples,
    peak_flops: float | None,
    peak_memory: float | None,
    first_call: float | None = None,
) -> dict[str, Any]:
    """The metrics of ``case`` by name, for ``cases.jsonl``.

    ``peak_flops`` is the device's dense peak in FLOP/s for the case's dtype, None where unknown;
    ``peak_memory`` is in bytes, ``first_call`` in seconds. A metric that the samples cannot give is left out.
    """
    metrics = {name: _entry(name, value) for name, value in _values(case, samples, peak_flops)}
    numbers = {"first_call": first_call, "padding": costs.padding(case) or None, "peak_memory": peak_memory}
    return metrics | {name: _entry(name, value) for name, value in numbers.items() if value is not None}


def series(case: Case, samples: Samples) -> dict[str, np.ndarray]:
    """The values behind each metric that is a median: one an iteration, in the order taken, in the metric's unit.

    The order and number of `total` differ from the others': its iterations are not the instrumented ones.
    """
    values = _values(case, samples, None)
    return {name: value for name, value in values if isinstance(value, np.ndarray)}


def _entry(name: str, value: float | np.ndarray) -> dict[str, Any]:
    declared = METRICS[name]
    entry: dict[str, Any] = {"unit": declared.unit, "better": declared.better}
    if isinstance(value, np.ndarray):
        summary = summarise(value, widening=dependence(value).widening)
        # Widened intervals of few samples reach below zero, where no duration and no ratio of two is.
        entry |= {"value": summary.median, "low": max(0.0, summary.low), "high": summary.high, "level": summary.level}
        entry |= {"quantiles": summary.quantiles, "count": summary.count, "scope": WITHIN}
    else:
        entry["value"] = float(value)
    return entry


def _values(case: Case, samples: Samples, peak_flops: float | None) -> Iterator[tuple[str, float | np.ndarray]]:
    """Pairs of metric and value: an array of one value an iteration, or a number."""
    phases = {name: by_rank(samples[name]) for name in PHASES if name in samples}
    end_to_end = by_rank(samples[END_TO_END]).max(axis=0)
    total = float(np.median(end_to_end))
    yield "total", end_to_end
    if "kernel" in phases:
        kernel = phases["kernel"].max(axis=0)
        yield "kernel", kernel
        achieved = costs.kernel_flops(case) / float(np.median(kernel))
        yield "achieved_flops", achieved
        if peak_flops:
            yield "mfu", achieved / peak_flops
        yield "tokens_per_s", costs.tokens(case) / total
    if "exchange_in" in phases:
        aligned = {name: by_rank(samples[ALIGNED + name]) for name in phases if ALIGNED + name in samples}
        yield from _exchange_values(case, phases, aligned)
    for phase in ("ring_exchange", "merge"):
        if phase in phases:
            yield phase, phases[phase].max(axis=0)
    if len(phases) > 1 and "kernel" in phases:
        computing = phases["kernel"] + phases.get("merge", 0.0)
        beside = np.median(by_rank(samples[END_TO_END]), axis=1) - np.median(computing, axis=1)
        yield "exposed", float(beside.max())
        yield "closure_residual", _residual(by_rank(samples[END_TO_END]), phases) / total
    for metric, phase in (("ratio", END_TO_END), ("dispatch_ratio", DISPATCH)):
        if BASELINE + phase in samples:
            yield metric, by_rank(samples[phase]).max(axis=0) / by_rank(samples[BASELINE + phase]).max(axis=0)
    if DISPATCH in samples:
        yield "dispatch", by_rank(samples[DISPATCH]).max(axis=0)


def _exchange_values(
    case: Case, phases: dict[str, np.ndarray], aligned: dict[str, np.ndarray]
) -> Iterator[tuple[str, float | np.ndarray]]:
    """``aligned`` holds the exchanges that could be taken by themselves: all of them, or none."""
    exchanges = {name: durations for name, durations in phases.items() if name.startswith("exchange")}
    last = {name: last_to_arrive(durations, case.ulysses) for name, durations in exchanges.items()}
    within = _summed(last.values()).max(axis=0)
    alone = [last_to_arrive(durations, case.ulysses) for durations in aligned.values()]
    transfer = _summed(alone).max(axis=0) if alone else within
    waits = _summed(durations - last[name] for name, durations in exchanges.items())
    moves = [durations.max(axis=0) for name, durations in phases.items() if name.startswith(("pack", "unpack"))]
    all_to_all = sum(moves, start=transfer)
    yield "all_to_all", all_to_all
    yield "transfer", transfer
    if alone:
        yield "transfer_natural", within
    yield "completion", _summed(exchanges.values()).max(axis=0)
    yield "wait", waits.max(axis=0)
    if "kernel" in phases:
        yield "all_to_all_share", sum(moves, start=within) / _sum_of_phases(phases).max(axis=0)
    seconds = float(np.median(transfer))
    yield "algbw", costs.exchanged_bytes(case) / seconds
    yield "busbw", costs.wire_bytes(case) / seconds


def _summed(durations: Iterable[np.ndarray]) -> np.ndarray:
    return np.asarray(sum(durations))


def _residual(end_to_end: np.ndarray, phases: dict[str, np.ndarray]) -> float:
    """Seconds of an iteration that are in none of its phases, on the rank where they are most; negative where
    recording made the phases longer than the whole.

    Rank by rank: what one rank loses between two phases the others spend waiting within one, so that the slowest
    rank's sum would have it.
    """
    missing = np.median(end_to_end, axis=1) - np.median(_sum_of_phases(phases), axis=1)
    return float(missing[np.argmax(np.abs(missing))])


def by_rank(durations: dict[str, list[float]]) -> np.ndarray:
    """One phase's samples as an array [ranks, iterations] in seconds."""
    return np.array([durations[rank] for rank in sorted(durations, key=int)])


def last_to_arrive(durations: np.ndarray, ulysses: int) -> np.ndarray:
    """For each of [ranks, iterations] the least of the rank's Ulysses group: what the bytes took, without waiting.

    Ranks exchange within their group, so each group has its own last rank.
    """
    groups = durations.reshape(-1, ulysses, durations.shape[1])
    return np.broadcast_to(groups.min(axis=1, keepdims=True), groups.shape).reshape(durations.shape)


class LateRank(NamedTuple):
    """The rank of a Ulysses group that most often comes last to one exchange."""

    phase: str
    rank: int
    part: float
    """Of the iterations, in which it is the last."""
    wait: float
    """Seconds that the others wait for it, of those iterations the median of the longest wait."""


def late_ranks(case: Case, samples: Samples) -> list[LateRank]:
    """For each exchange and Ulysses group the rank that comes last most often; none of a single rank."""
    found = []
    for phase in ("exchange_in", "exchange_out"):
        if phase not in samples or case.ulysses < 2:
            continue
        durations = by_rank(samples[phase])
        for first in range(0, durations.shape[0], case.ulysses):
            group = durations[first : first + case.ulysses]
            last = group.argmin(axis=0)
            rank = int(np.bincount(last).argmax())
            waits = (group.max(axis=0) - group.min(axis=0))[last == rank]
            found.append(LateRank(phase, first + rank, waits.size / last.size, float(np.median(waits))))
    return found


def _sum_of_phases(phases: dict[str, np.ndarray]) -> np.ndarray:
    """Each instrumented iteration's phases added up within a rank: [ranks, iterations]."""
    return _summed(phases.values())
