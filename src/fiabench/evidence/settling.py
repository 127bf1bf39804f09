"""How often a number is settled rightly, on series whose truth is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from fiabench.evidence import noise
from fiabench.evidence.noise import Kind, Source
from fiabench.stats.findings import Findings, examine
from fiabench.stats.ranks import slow_ranks
from fiabench.stats.stopping import MedianInterval

MOST = 400
"""Samples at which a series counts as unsettled."""
CLOSE = 0.0075
"""A settled median this near to the truth is right."""
CRITERION = MedianInterval()
Map = Callable[[Callable[[int], "Outcome"], Iterable[int]], Iterable["Outcome"]]


class Outcome(NamedTuple):
    """How one simulated measurement ended."""

    taken: int
    """Samples."""
    settled: bool
    covered: bool
    """Whether the interval holds the truth."""
    covered_within: bool
    """Whether it holds the mean level of the samples that it was made from, which differs where the level changes."""
    error: float
    several_modes: bool
    changed: bool
    dependent: bool
    disturbed: bool
    """Whether what was planted fell within the samples taken."""

    @property
    def flagged(self) -> bool:
        return self.several_modes or self.changed or self.dependent


def measure(deviations: np.ndarray, begins: int = 0, planted: np.ndarray | None = None) -> Outcome:
    """Samples [n] of 1 + ``deviations`` one after the other until the criterion is content, or all are taken.

    ``begins`` is the first disturbed sample, ``planted`` [n] the planted change of level.
    """
    series = 1 + deviations
    count = CRITERION.min_samples
    while True:
        decision = CRITERION.judge(series[:count], 0.0)
        if decision.settled or count == series.size:
            break
        count = min(series.size, count + decision.wanted)
    taken = series[:count]
    interval = decision.interval
    assert interval is not None  # a look at min_samples and more has one
    found: Findings = examine(taken, CRITERION.half_width)
    level = 1.0 if planted is None else 1 + float(np.median(planted[:count]))
    return Outcome(
        taken=count,
        settled=decision.settled,
        covered=interval.low <= 1 <= interval.high,
        covered_within=interval.low <= level <= interval.high,
        error=abs(float(np.median(taken)) - 1),
        several_modes=len(found.modes) > 1,
        changed=bool(found.changes),
        dependent=found.dependence.detected,
        disturbed=begins < count,
    )


class Series:
    """One seed's measurement of a kind; a value that another process can be given."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, seed: int) -> Outcome:
        source = np.random.default_rng([seed, sum(map(ord, self.kind))])
        if self.kind == "step":
            deviations, at = noise.step(source, MOST, 0.05)
            return measure(deviations, begins=at)
        kind = KINDS[self.kind]
        return measure(kind.draw(source, MOST), planted=kind.level(MOST) if kind.level else None)


KINDS: dict[str, Kind] = {
    kind.name: kind for kinds in (noise.SETTLING, noise.EQUAL_MODES, noise.DEPENDENT, noise.DRIFTING) for kind in kinds
}
STEP = "step"


def rates(kind: str, seeds: int, run: Map = map) -> dict[str, float]:
    """What became of ``seeds`` measurements of ``kind``, as parts of all of them unless the name says otherwise."""
    outcomes = list(run(Series(kind), range(seeds)))
    settled = [outcome for outcome in outcomes if outcome.settled]
    silent = [outcome for outcome in settled if not outcome.flagged]
    disturbed = [outcome for outcome in outcomes if outcome.disturbed]
    part = {
        "settled": len(settled) / seeds,
        "settled_close": _part(outcome.error <= CLOSE for outcome in settled),
        "covered": _part(outcome.covered for outcome in outcomes),
        "confident_wrong": sum(not outcome.covered for outcome in silent) / seeds,
        "confident_wrong_of_level_measured": sum(not outcome.covered_within for outcome in silent) / seeds,
        "confident_far_off": sum(outcome.error > CLOSE for outcome in silent) / seeds,
        "several_modes": _part(outcome.several_modes for outcome in outcomes),
        "modes_or_unsettled": _part(outcome.several_modes or not outcome.settled for outcome in outcomes),
        "changed": _part(outcome.changed for outcome in outcomes),
        "changed_of_disturbed": _part(outcome.changed for outcome in disturbed),
        "dependent": _part(outcome.dependent for outcome in outcomes),
        "flagged": _part(outcome.flagged for outcome in outcomes),
        "mean_samples": float(np.mean([outcome.taken for outcome in outcomes])),
    }
    return {name: round(value, 4) for name, value in part.items()}


def slow_rank_rates(seeds: int, ranks: int, samples: int, size: float) -> dict[str, float]:
    """How often the one slow rank of ``ranks`` is named, and alone, and how often any of equal ranks is."""
    named, false = 0, 0
    for seed in range(seeds):
        source = np.random.default_rng([seed, ranks])
        durations, slow = noise.slow_rank(source, ranks, samples, size)
        named += [found.rank for found in slow_ranks(durations)] == [slow]
        false += bool(slow_ranks(noise.slow_rank(source, ranks, samples, 0.0)[0]))
    return {"named": named / seeds, "clean_named": false / seeds}


def oracle(kind: Kind, seeds: int = 20_000) -> int:
    """The fewest samples, and no fewer than the criterion's least, whose median lies within the wanted half-width of
    the truth in 95 % of series: what one would take who knew the noise."""
    source: Source = np.random.default_rng(0)
    count = CRITERION.min_samples
    while True:
        medians = np.median(kind.draw(source, seeds * count).reshape(seeds, count), axis=1)
        if float(np.mean(np.abs(medians) <= CRITERION.half_width)) >= 0.95:
            return count
        count += 1


def _part(values: Iterable[bool]) -> float:
    found = list(values)
    return float(np.mean(found)) if found else float("nan")
