"""How often the suite's numbers are right on the simulated device: its engine, its statuses, intervals and flags."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import NamedTuple

import numpy as np

from fiabench.cases.case import Case
from fiabench.cases.schema import Sampling
from fiabench.evidence.planted import KERNEL, KINDS, NOISE, RANKS, SPEC, ULYSSES, UNDISTURBED
from fiabench.measure.sampling import Stopping
from fiabench.results.measurement import Measurement
from fiabench.results.sessions import over_sessions
from fiabench.simulation import assemble
from fiabench.simulation.assemble import Simulation
from fiabench.simulation.effects import Seeds, parse_effects
from fiabench.simulation.model import Exchange, schedule
from fiabench.stats.sessions import WITHIN
from fiabench.workers.machine import Machine
from fiabench.workers.merge import merge

CLOSE = 0.0075
"""A settled median this near to the truth, relative to it, is right."""
BETWEEN = 0.003
"""Standard deviation between sessions."""
SLOW = 1.05
"""The factor of the slow rank."""
DELAYS = (0.0, 0.001, 0.002, 0.005)
"""Seconds."""
JITTER = 2e-4
"""Seconds of wait that four ranks of 1 % noise have without a delay, and twice as many."""
STOPPING = Stopping(**Sampling().model_dump(exclude={"deadline_seconds"}))
"""A sweep's own where it says nothing of sampling."""
TRANSFER = sum(step.seconds for step in schedule(ULYSSES, SPEC, 0) if isinstance(step, Exchange))
"""Seconds that both exchanges take, undisturbed."""
_DEVICE = "sim:evidence"
_MACHINE = Machine(_DEVICE, SPEC.ranks, SPEC.memory_bytes, 1, {}, SPEC)
_CHANGE = ("throttling", "the level", "the samples rise", "the samples fall")
"""How flags begin that say of a change of level."""
_MODES = "modes hold"
"""What stands in a flag that names several modes."""
Map = Callable[[Callable[[int], "Outcome"], Iterable[int]], Iterable["Outcome"]]


def measure(case: Case, plants: Sequence[str], seed: int, session: int = 0) -> Measurement:
    """``case`` on the simulated device with ``plants`` in it, as a run's line."""
    simulation = Simulation(_DEVICE, SPEC, parse_effects(plants), Seeds(seed, session))
    outcomes = simulation.run(case, lambda device, groups: assemble.measure(case, device, groups, STOPPING, {}))
    found = merge(case, [{"outcome": asdict(outcome)} for outcome in outcomes if outcome], _MACHINE, None)
    found.session = session
    return found


class Outcome(NamedTuple):
    """What a measurement says of the kernel alone. Durations in parts of UNDISTURBED."""

    settled: bool
    value: float
    low: float
    high: float
    taken: int
    """Samples."""
    scope: str
    changed: bool
    """Whether a flag names a change of level."""
    several_modes: bool
    """Whether a flag names several modes."""
    flagged: bool
    """Whether there is any flag."""
    disturbed: bool
    """Whether the device got slower while samples were taken, where it does so at one moment."""

    def holds(self, truth: float) -> bool:
        return self.low <= truth <= self.high

    def confidently_wrong(self, truth: float) -> bool:
        return self.settled and not self.flagged and not self.holds(truth)


def outcome_of(line: Measurement, begins: float = math.nan) -> Outcome:
    """What ``line`` says; ``begins`` is when the device got slower, in seconds after the case's start, where it did."""
    total, timing = line.metrics["total"], line.timing
    starts = sum(timing[f"{part}_seconds"] for part in ("group", "setup", "check", "warmup"))
    last = starts + timing["sampling_seconds"] - line.samples["end_to_end"]["0"][-1]
    return Outcome(
        settled=line.status == "ok",
        value=total["value"] / UNDISTURBED,
        low=total["low"] / UNDISTURBED,
        high=total["high"] / UNDISTURBED,
        taken=total["count"],
        scope=total["scope"],
        changed=any(flag.startswith(_CHANGE) for flag in line.flags),
        several_modes=any(_MODES in flag for flag in line.flags),
        flagged=bool(line.flags),
        disturbed=starts <= begins <= last,
    )


class Planted:
    """One seed's measurement of a kind; a value that another process can be given."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, seed: int) -> Outcome:
        kind = KINDS[self.kind]
        return outcome_of(measure(KERNEL, kind.of(seed), seed), kind.begins(seed) if kind.throttled else math.nan)


def rates(kind: str, seeds: int, run: Map = map) -> dict[str, float]:
    """What became of ``seeds`` measurements of ``kind``, as parts of all of them unless the name says otherwise."""
    truth = KINDS[kind].truth
    outcomes = list(run(Planted(kind), range(seeds)))
    return {
        "settled": part(outcome.settled for outcome in outcomes),
        "settled_close": part(abs(outcome.value / truth - 1) <= CLOSE for outcome in outcomes if outcome.settled),
        "covered": part(outcome.holds(truth) for outcome in outcomes),
        "confidently_wrong": part(outcome.confidently_wrong(truth) for outcome in outcomes),
        "modes_or_unsettled": part(outcome.several_modes or not outcome.settled for outcome in outcomes),
        "changed_of_disturbed": part(outcome.changed for outcome in outcomes if outcome.disturbed),
        "changed": part(outcome.changed for outcome in outcomes),
        "disturbed": part(outcome.disturbed for outcome in outcomes),
        "flagged": part(outcome.flagged for outcome in outcomes),
        "mean_samples": float(np.mean([outcome.taken for outcome in outcomes])),
    }


def over(seed: int) -> dict[int, Outcome]:
    """One, three and eight sessions of the same case, each with a level of its own."""
    plants = (f"noise=gaussian:{NOISE}", f"session={BETWEEN}")
    lines = [measure(KERNEL, plants, seed, session) for session in range(8)]
    return {count: outcome_of(over_sessions(lines[:count])[0]) for count in (1, 3, 8)}


def session_rates(seeds: int, run: Callable[..., Iterable[dict[int, Outcome]]] = map) -> dict[int, dict[str, float]]:
    """By the number of sessions, how often their interval holds the truth and how often it is wrong unseen."""
    found = list(run(over, range(seeds)))
    return {
        count: {
            "covered": part(outcomes[count].holds(1.0) for outcomes in found),
            "confidently_wrong": part(outcomes[count].confidently_wrong(1.0) for outcomes in found),
            "labelled": part(outcomes[count].scope == WITHIN for outcomes in found),
        }
        for count in (1, 3, 8)
    }


class Ranks(NamedTuple):
    """What a measurement on four ranks says, and of the slow one."""

    named: bool
    """Whether the slow rank is called slow, and no other."""
    clean_flagged: bool
    """Whether the same ranks have any flag where none is slow."""


def slow_rank(seed: int) -> Ranks:
    """Four ranks of an attention, one of them slow."""
    noise, slow = f"noise=gaussian:{NOISE}", seed % RANKS
    flags = measure(ULYSSES, (noise, f"slow-rank={slow}:{SLOW}"), seed).flags
    called = [flag for flag in flags if " is slow" in flag or flag.startswith("so are")]
    named = len(called) == 1 and called[0].startswith(f"rank {slow} is slow")
    return Ranks(named, bool(measure(ULYSSES, (noise,), seed).flags))


class Delayed:
    """Whether a delay planted on one rank comes back as wait, and the transfer as it is without one."""

    def __init__(self, delay: float) -> None:
        self.delay = delay
        """Seconds."""

    def __call__(self, seed: int) -> bool:
        found = measure(ULYSSES, (f"noise=gaussian:{NOISE}", f"delay={seed % RANKS}:{self.delay}"), seed)
        wait, transfer = found.metrics["wait"]["value"], found.metrics["transfer"]["value"]
        return -1e-9 <= wait - self.delay <= JITTER and abs(transfer / TRANSFER - 1) <= CLOSE


def part(values: Iterable[bool]) -> float:
    """The part of ``values`` that is true; nan where there are none."""
    found = list(values)
    return float(np.mean(found)) if found else float("nan")
