"""How long things take on a simulated device, in seconds: pure arithmetic on a spec and a case. Imports no torch.

Kernels follow a roofline: the slower of computing and of moving the least bytes. The share of the peak that computing
reaches is that of published calls, by the work of one call, log-linear in between; below the smallest a call takes as
long as that one, above the largest the share stays. Copies read and write at the memory's bandwidth. An all-to-all
sends an equal part to each rank of its group, to those in the node and those beyond at once, and has a latency for
every round through the buffer. Nothing overlaps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from fiabench.cases import costs
from fiabench.cases.case import Case
from fiabench.simulation.spec import Spec
from fiabench.ulysses.blocks import blocks


class Work(NamedTuple):
    """Something that a rank does by itself."""

    phase: str
    seconds: float


class Exchange(NamedTuple):
    """Something for which the ranks of a group meet: nobody ends before the last has come, and the bytes have gone."""

    phase: str
    ranks: tuple[int, ...]
    """The group, by global rank."""
    seconds: float


def schedule(case: Case, spec: Spec, rank: int) -> list[Work | Exchange]:
    """What global ``rank`` does in one iteration, in order; every rank of a case has the same phases in that order."""
    if case.measure == "exchange":
        group = ulysses_group(case, rank)
        return [Exchange("exchange_in", group, all_to_all_seconds(spec, group, case.exchange_bytes))]
    kernels = _kernels(case, spec, rank)
    if case.measure == "kernel" or case.ulysses == 1:
        return kernels
    group = ulysses_group(case, rank)
    query, key = _shard_bytes(case)
    parts = [query + 2 * key] if case.exchange == "packed" else [query, key, key]
    copied = copy_seconds(spec, query + 2 * key)
    incoming = sum(all_to_all_seconds(spec, group, part) for part in parts)
    return [
        Work("pack_in", copied),
        Exchange("exchange_in", group, incoming),
        Work("unpack_in", copied),
        *kernels,
        Work("pack_out", copy_seconds(spec, query)),
        Exchange("exchange_out", group, all_to_all_seconds(spec, group, query)),
        Work("unpack_out", copy_seconds(spec, query)),
    ]


def _kernels(case: Case, spec: Spec, rank: int) -> list[Work | Exchange]:
    if case.measure == "kernel" or case.ring == 1:
        return [Work("kernel", kernel_seconds(spec, case))]
    group = ring_group(case, rank)
    output = case.element_bytes * _rows(case, case.tokens_per_rank_q * case.ulysses, case.heads_per_rank)
    steps: list[Work | Exchange] = []
    seen = blocks(case, group.index(rank))
    for step, block in enumerate(seen):
        steps.append(Work("kernel", kernel_seconds(spec, block.of(case)) if block else 0.0))
        steps.append(Work("merge", copy_seconds(spec, 2 * output) if block else 0.0))
        if step + 1 < case.ring:
            passed = costs.ring_bytes(case) // (case.ring - 1)
            steps.append(Exchange("ring_exchange", group, pass_on_seconds(spec, group, passed)))
    return steps


def _rows(case: Case, tokens: int, heads: int) -> int:
    return case.batch_per_rank * tokens * heads * case.head_dim


def _shard_bytes(case: Case) -> tuple[int, int]:
    """Bytes of one rank's whole buffer for q (or the output), and for k or v, padding and replication included."""
    queries = _rows(case, case.tokens_per_rank_q, case.heads_per_rank * case.ulysses)
    keys = _rows(case, case.tokens_per_rank_kv, case.kv_heads_per_rank * case.ulysses)
    return case.element_bytes * queries, case.element_bytes * keys


def ulysses_group(case: Case, rank: int) -> tuple[int, ...]:
    """The neighbouring ranks among which ``rank`` exchanges."""
    first = rank // case.ulysses * case.ulysses
    return tuple(range(first, first + case.ulysses))


def ring_group(case: Case, rank: int) -> tuple[int, ...]:
    """The ranks, ``ulysses`` apart, among which ``rank`` passes keys and values on."""
    block = case.sequence_ranks
    first = rank // block * block + rank % case.ulysses
    return tuple(range(first, first + block, case.ulysses))


def kernel_seconds(spec: Spec, case: Case) -> float:
    """One call of the kernel, without launching it. ``case`` has no ring."""
    flops, moved = costs.kernel_flops(case), costs.kernel_min_bytes(case)
    return max(_compute_seconds(spec, flops, case.dtype), moved / (spec.memory.gb_s * 1e9 * spec.memory.share))


def _compute_seconds(spec: Spec, flops: float, dtype: str) -> float:
    """Interpolated on log-log axes of the seconds that the work would take at the peak, and those that it takes."""
    points = sorted(
        (4 * at.heads * at.tokens**2 * spec.kernel.head_dim / (spec.kernel.peak_tflops * 1e12), at.microseconds * 1e-6)
        for at in spec.kernel.anchors
    )
    ideal = flops / (spec.peaks["flops"][dtype])
    if ideal <= points[0][0]:
        return points[0][1] if flops else 0.0
    if ideal >= points[-1][0]:
        return points[-1][1] * ideal / points[-1][0]
    upper = next(index for index, (at, _) in enumerate(points) if at >= ideal)
    (low, low_seconds), (high, high_seconds) = points[upper - 1], points[upper]
    part = math.log(ideal / low) / math.log(high / low)
    return low_seconds * (high_seconds / low_seconds) ** part


def copy_seconds(spec: Spec, size: int) -> float:
    """A copy of ``size`` bytes within a rank's memory: read once, written once."""
    return 2 * size / (spec.memory.gb_s * 1e9 * spec.memory.share)


def all_to_all_seconds(spec: Spec, ranks: Sequence[int], size: int) -> float:
    """One all-to-all among ``ranks`` once all have come; ``size`` is one rank's whole buffer in bytes."""
    each = size / len(ranks)
    nodes = [rank // spec.node.ranks for rank in ranks]
    rounds = math.ceil(size / spec.buffer_bytes) if spec.buffer_bytes else 1
    slowest = 0.0
    for node in set(nodes):
        near, far = nodes.count(node) - 1, len(ranks) - nodes.count(node)
        # In a mesh every pair has its own link, and the others' parts go beside it.
        within = each / _pair(spec) * (1 if spec.node.links == "mesh" and near else near)
        slowest = max(slowest, within, far * each / (spec.across.gb_s * 1e9 * spec.across.share))
    return rounds * _latency(spec, nodes) + slowest


def pass_on_seconds(spec: Spec, ranks: Sequence[int], size: int) -> float:
    """``size`` bytes from every rank of a ring to the next, at the pace of the slowest link."""
    nodes = [rank // spec.node.ranks for rank in ranks]
    pace = _pair(spec)
    if len(set(nodes)) > 1:
        pace = min(pace, spec.across.gb_s * 1e9 * spec.across.share)
    return _latency(spec, nodes) + size / pace


def _pair(spec: Spec) -> float:
    """Bytes/s between two ranks of a node that have the link for themselves."""
    links = max(1, spec.node.ranks - 1) if spec.node.links == "mesh" else 1
    return spec.node.gb_s * 1e9 * spec.node.share / links


def _latency(spec: Spec, nodes: Sequence[int]) -> float:
    return (spec.across if len(set(nodes)) > 1 else spec.node).microseconds * 1e-6


def largest_exchange(case: Case) -> int:
    """Bytes of the largest single all-to-all of a case; 0 where it has none."""
    if case.measure == "exchange":
        return case.exchange_bytes
    if case.measure == "kernel" or case.ulysses == 1:
        return 0
    query, key = _shard_bytes(case)
    return query + 2 * key if case.exchange == "packed" else query


def unsupported(case: Case, spec: Spec) -> str:
    """Why the device cannot do ``case``, as far as its spec says; empty where it can."""
    if case.measure != "exchange" and case.dtype not in spec.peak.tflops:
        return f"dtype {case.dtype}: {spec.name} has {' and '.join(spec.peak.tflops)}"
    size = largest_exchange(case)
    if spec.buffer and spec.buffer.beyond == "refuse" and size > spec.buffer_bytes:
        return f"buffer: exchanges {size / 2**20:,.0f} MiB at once, a communicator's buffer has {spec.buffer.mb:g}"
    return ""
