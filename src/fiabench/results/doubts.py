"""What makes a measurement doubtful, in words: found in its samples, never a reason to hide them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fiabench.cases.case import Case
from fiabench.results.metrics import END_TO_END, Samples, by_rank, late_ranks
from fiabench.results.units import percent, seconds
from fiabench.stats.findings import examine
from fiabench.stats.ranks import slow_ranks

RESIDUAL = 0.03
"""Closure beyond this part of the total is worth a word: recording changed what was recorded, or phases are missing."""
CLOCK_FALL = 0.05
"""A clock that falls by this part while samples are taken makes them samples of two devices."""
LATE = 0.05
"""Waiting for a late rank is worth a word from this part of the total on."""
OFTEN = 0.8
"""A rank that comes last in this part of the iterations does so for a reason."""
MOST_NAMED = 2
"""Ranks that are named; of more their count is said."""


def doubts(
    case: Case, samples: Samples, residual: float | None, sensors: dict[str, dict[str, list[float]]], tolerance: float
) -> list[str]:
    """What is to be said of ``samples`` before anybody acts on them, the gravest first.

    ``residual`` is the closure's, None where there are no phases; ``sensors`` are each rank's readings by name;
    changes below ``tolerance``, relative to the median, are passed over.
    """
    return [
        *_throttling(sensors),
        *examine(by_rank(samples[END_TO_END]).max(axis=0), tolerance).flags(),
        *_slow_ranks(samples),
        *_late_ranks(case, samples),
        *_closure(residual),
    ]


def _throttling(sensors: dict[str, dict[str, list[float]]]) -> Iterator[str]:
    falls = []
    for rank, readings in sensors.items():
        clocks = np.array(readings.get("clock_mhz", []))
        if clocks.size:
            highest = np.maximum.accumulate(clocks)
            worst = int((clocks / highest).argmin())
            fall = 1 - float(clocks[worst] / highest[worst])
            if fall >= CLOCK_FALL:
                falls.append((fall, rank, float(highest[worst]), float(clocks[worst])))
    for fall, rank, before, after in sorted(falls, reverse=True)[:MOST_NAMED]:
        yield f"throttling: the clock of rank {rank} fell by {percent(fall)}, from {before:.0f} to {after:.0f} MHz"
    if len(falls) > MOST_NAMED:
        yield f"throttling: so did the clocks of {len(falls) - MOST_NAMED} other ranks"


def _slow_ranks(samples: Samples) -> Iterator[str]:
    """Of kernels alone: in an exchange it is the others who take longer, as they wait for the slow one."""
    if "kernel" not in samples:
        return
    found = slow_ranks(by_rank(samples["kernel"]))
    for slow in found[:MOST_NAMED]:
        yield f"rank {slow.rank} is slow: its kernel takes {percent(slow.excess)} longer than the others'"
    if len(found) > MOST_NAMED:
        yield f"so are {len(found) - MOST_NAMED} other ranks"


def _late_ranks(case: Case, samples: Samples) -> Iterator[str]:
    total = float(np.median(by_rank(samples[END_TO_END]).max(axis=0)))
    found = [late for late in late_ranks(case, samples) if late.part >= OFTEN and late.wait >= LATE * total]
    for late in found[:MOST_NAMED]:
        wait = f"{seconds(late.wait)}, {percent(late.wait / total)} of the total"
        yield f"rank {late.rank} comes last in {100 * late.part:.0f} % of {late.phase}: the others wait {wait}"
    if len(found) > MOST_NAMED:
        yield f"so do {len(found) - MOST_NAMED} other ranks"


def _closure(residual: float | None) -> Iterator[str]:
    if residual is not None and abs(residual) > RESIDUAL:
        what = (
            "are in none of its phases" if residual > 0 else "are in its phases and not in the total: recording cost it"
        )
        yield f"closure: {percent(abs(residual))} of the total {what}"
