"""How many samples a settled number takes, beside what one would take who knew the noise."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from fiabench.devices.base import Device
from fiabench.evidence.planted import KERNEL, SPEC, UNDISTURBED, Kind, attention
from fiabench.evidence.ranks import on_ranks
from fiabench.evidence.simulated import STOPPING
from fiabench.measure import one
from fiabench.simulation import assemble
from fiabench.simulation.device import SimulatedDevice
from fiabench.simulation.effects import Disturbance, Seeds, noise, parse_effects
from fiabench.simulation.groups import SimulatedGroups
from fiabench.simulation.world import World
from fiabench.ulysses.groups import RankGroups

SERIES = 5_000
LEVEL = 0.95
MOST = 80
"""Samples that an oracle takes at most."""
CPU_KERNEL = attention(1, "sdpa", "fp32", 1024, 64, "none")
WIDTHS = (0.005, 0.01, 0.02, 0.05)
"""Half-widths to ask for on real timings, whose noise is not ours to choose."""
_ORDERS = 100
"""Orders in which the recorded durations are measured again."""


def oracle(kind: Kind) -> int:
    """The fewest samples, and no fewer than a settled number has, whose median lies within the wanted half-width of
    the truth in 95 % of series of ``kind``, whose samples are independent."""
    factors = np.ones(SERIES * MOST)
    for place, effect in enumerate(parse_effects(kind.plants)):
        drawn = noise(effect.shape, effect.numbers, random.Random(place))
        factors *= np.fromiter(itertools.islice(drawn, factors.size), float, factors.size)
    errors = factors.reshape(SERIES, MOST) / kind.truth - 1
    for count in range(STOPPING.min_samples, MOST):
        if np.mean(np.abs(np.median(errors[:, :count], axis=1)) <= STOPPING.half_width) >= LEVEL:
            return count
    return MOST


class OnCpu(NamedTuple):
    """The criterion and fixed counts on the same real timings of a kernel on this box's CPU."""

    timings: int
    half_width: float | None
    """The narrowest of WIDTHS that fixed counts reach on these timings; None where they reach none of them."""
    fixed: int
    """The fewest samples, the same each time and no fewer than a settled number has, whose median lies within the
    half-width of the median of all timings in 95 % of the orders."""
    mean_samples: float
    """That the criterion takes for that half-width."""
    near: float
    """The part of its numbers that lie within it."""

    @property
    def ratio(self) -> float:
        return self.mean_samples / self.fixed if self.fixed else float("nan")


def on_cpu(timings: int) -> OnCpu:
    """Times a kernel ``timings`` times in one run, and holds the criterion against fixed counts on what it took."""
    (seconds,) = on_ranks(1, _record, timings)
    return replayed(seconds)


def _record(groups: RankGroups, device: Device, timings: int) -> list[float]:
    stopping = replace(STOPPING, criterion="fixed_count", max_samples=timings)
    return one.measure(CPU_KERNEL, device, groups, stopping, {}).samples["kernel"]


def replayed(seconds: Sequence[float]) -> OnCpu:
    """The engine on recorded durations, in random orders.

    In the order recorded a neighbour of the box, who stays for longer than 80 samples, would decide: no count of
    samples then comes near the median of the whole run, and there is no oracle to compare with.
    """
    factors = np.asarray(seconds) / np.median(seconds)
    draw = np.random.default_rng(0)
    series = [draw.permutation(factors) for _ in range(_ORDERS)]
    ahead = np.array([factors[:MOST] for factors in series])
    for half_width in WIDTHS:
        for fixed in range(STOPPING.min_samples, ahead.shape[1] + 1):
            if np.mean(np.abs(np.median(ahead[:, :fixed], axis=1) - 1) <= half_width) >= LEVEL:
                found = [_again(factors, half_width) for factors in series]
                values = np.array([np.median(samples) for samples in found]) / UNDISTURBED
                near = float(np.mean(np.abs(values - 1) <= half_width))
                return OnCpu(factors.size, half_width, fixed, float(np.mean([len(samples) for samples in found])), near)
    return OnCpu(factors.size, None, 0, float("nan"), float("nan"))


class _Recorded(Disturbance):
    """Noise that was measured."""

    def __init__(self, factors: np.ndarray) -> None:
        super().__init__([], Seeds(0, 0), KERNEL, 0)
        self._factors = itertools.cycle(factors.tolist())

    def noise(self) -> float:
        return next(self._factors)


def _again(factors: np.ndarray, half_width: float) -> list[float]:
    """The kernel's samples by the engine where iterations take ``factors`` [n] times UNDISTURBED, one by one."""
    world, stopping = World(1), replace(STOPPING, half_width=half_width)

    def on_rank(rank: int) -> list[float]:
        device = SimulatedDevice("sim:recorded", SPEC, world, rank, _Recorded(factors))
        return assemble.measure(KERNEL, device, SimulatedGroups(world, device), stopping, {}).samples["kernel"]

    (samples,) = world.run(on_rank)
    assert samples is not None  # there is no other rank to wait for
    return samples
