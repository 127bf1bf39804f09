"""What real ranks on this box's CPU give back of delays really slept, of a bare exchange, and of a total."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from fiabench.cases.case import Case
from fiabench.devices.base import Device
from fiabench.evidence.planted import RANKS, attention
from fiabench.evidence.ranks import on_ranks
from fiabench.evidence.simulated import STOPPING
from fiabench.measure import one
from fiabench.measure.build import REAL, build
from fiabench.measure.pipeline import Pipeline, Step
from fiabench.measure.subjects import Projects
from fiabench.results.measurement import Measurement
from fiabench.ulysses.groups import RankGroups
from fiabench.workers.machine import guess_machine
from fiabench.workers.merge import merge

DELAYS = (0.0, 0.001, 0.002, 0.005, 0.02, 0.1)
"""Seconds slept on the late rank before its first exchange."""
SMALL_DELAY = 0.005
"""From here on a delay is told by what part of it is missed, below by how much."""
LATE = 1
SMALL = attention(max(2, min(RANKS, len(os.sched_getaffinity(0)))), "sdpa", "fp32", 256, 64, "packed")
"""A case that takes little beside the delays, on as many ranks as there are cores: more are late of themselves."""
LARGE = attention(RANKS, "sdpa", "fp32", 4096, 128, "packed")
"""A case whose first exchange is one all-to-all of 6 MiB a rank."""
LONG = {
    "Ulysses 4, separate": attention(RANKS, "sdpa", "fp32", 4096, 64, "separate"),
    "Ulysses 4, packed": attention(RANKS, "sdpa", "fp32", 4096, 64, "packed"),
    "Ulysses 2 x ring 2": attention(2, "sdpa", "fp32", 4096, 64, "separate", ring=2),
}
"""Cases of more than 20 ms."""


class Closure(NamedTuple):
    """What of a total is in none of its phases."""

    residual: float
    """Relative to the total."""
    flagged: bool


class Real(NamedTuple):
    """What real ranks gave back."""

    waits: dict[float, float]
    """Seconds slept to seconds of wait."""
    exchange_ratio: float
    """The aligned exchange over a bare one."""
    closures: dict[str, Closure]


def samples_of(rounds: int) -> int:
    """Of an attention, beside ``rounds`` pairs of exchanges."""
    return max(3, rounds * 3 // 10)


def study(rounds: int, say: Callable[[str], None]) -> Real:
    """Everything, with ``rounds`` pairs of exchanges; ``say`` is told how far it is."""
    samples = samples_of(rounds)
    waits = {}
    for delay in DELAYS:
        say(f"a delay of {1e3 * delay:g} ms")
        waits[delay] = float(measure(SMALL, samples, delay).metrics["wait"]["value"])
    say("exchanges")
    ratio = exchanges(rounds).ratio
    closures = {}
    for name, case in LONG.items():
        say(name)
        found = measure(case, samples)
        flagged = any(flag.startswith("closure") for flag in found.flags)
        closures[name] = Closure(found.metrics["closure_residual"]["value"], flagged)
    return Real(waits, ratio, closures)


def measure(case: Case, samples: int, delay: float = 0.0) -> Measurement:
    """``case`` with so many samples, LATE beginning its first exchange ``delay`` seconds late, as a run's line."""
    outcomes = on_ranks(case.world_size, _measure, case, samples, delay)
    return merge(case, [{"outcome": outcome} for outcome in outcomes], guess_machine("cpu"), None)


def _measure(groups: RankGroups, device: Device, case: Case, samples: int, delay: float) -> dict[str, Any]:
    def build_late(case: Case, rank: int, groups: RankGroups, device: Device, projects: Projects) -> Pipeline:
        pipeline = build(case, rank, groups, device, projects)
        if delay and rank == LATE:
            first = next(place for place, step in enumerate(pipeline.steps) if "exchange_in" in step.phases)
            pipeline.steps.insert(first, Step(None, lambda: time.sleep(delay)))
        return pipeline

    stopping = replace(STOPPING, criterion="fixed_count", max_samples=samples)
    return asdict(one.measure(case, device, groups, stopping, {}, REAL._replace(build=build_late)))


class Pairs(NamedTuple):
    """The aligned exchange and a bare one, in turns. Seconds by pair, each on the rank that came last."""

    aligned: list[float]
    bare: list[float]

    @property
    def ratio(self) -> float:
        """The median of the pairs' ratios."""
        return float((torch.tensor(self.aligned) / torch.tensor(self.bare)).median())


def exchanges(pairs: int) -> Pairs:
    """The first exchange of LARGE as the engine takes it by itself, beside torch's all-to-all of as many bytes."""
    return Pairs(*on_ranks(RANKS, _exchanges, pairs)[0])


def _exchanges(groups: RankGroups, device: Device, pairs: int) -> tuple[list[float], list[float]]:
    groups.make(LARGE)
    pipeline = build(LARGE, groups.rank, groups, device, {})
    pipeline.run()
    exchange = pipeline.exchanges[0]
    elements = 3 * LARGE.tokens_per_rank_q * LARGE.heads * LARGE.head_dim
    send = torch.zeros(elements)
    received = torch.zeros(elements)
    group = groups.ulysses(RANKS)

    def aligned() -> float:
        groups.align()
        ((_, start, end),) = exchange.record(device)
        device.synchronize()
        return device.seconds(start, end)

    def bare() -> float:
        groups.align()
        begun = time.perf_counter()
        dist.all_to_all_single(received, send, group=group)
        return time.perf_counter() - begun

    ways = {"aligned": aligned, "bare": bare}
    found: dict[str, list[float]] = {name: [] for name in ways}
    for pair in range(-2, pairs):  # the first two warm both up
        order = list(ways) if pair % 2 else list(reversed(ways))
        for name in order:
            mine: Tensor = torch.tensor(ways[name](), dtype=torch.float64)
            last = float(groups.gather(mine).min())
            if pair >= 0:
                found[name].append(last)
    return found["aligned"], found["bare"]
