"""Two commits measured in turns: rounds of fresh processes, in each of them quartets of short sessions.

Processes that do the same differ by some tenths of a percent for as long as they live, so the unit is the round: both
sides start anew for it. Within a round sessions go in quartets A B B A and B A A B by turns, so that a steady drift of
the box cancels, and which comes first is drawn: what is left of the box's moods then speaks for neither side.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np

from fiabench.cases.case import Case
from fiabench.history.contenders import Contender
from fiabench.results import metrics
from fiabench.results.measurement import Measurement

BASE, NEW = 0, 1
NAMES = ("BASE", "NEW")
TYPICAL, BEST = "median", "best twentieth"
"""What may stand for a side in a round. The median of its sessions, which is what a duration usually means. And what it
takes when nothing gets in its way: the quantile TAIL of all its samples, from their better end. On two cores with six
busy neighbours the former differed by 15 % from round to round, the latter by 0.7 %; but what only some calls feel is
not in it."""
STANDS = (BEST, TYPICAL)
TAIL = 0.05
MOST_QUARTETS = 12
MEASURING = 2.0
"""A round takes quartets until measuring has taken this many times what starting did: with more, rounds would be few;
with fewer, each would say little on a busy box."""


@dataclass
class Round:
    """What one round says of one case."""

    samples: tuple[list[np.ndarray], list[np.ndarray]] = field(default_factory=lambda: ([], []))
    """Of each side's sessions."""
    quartets: list[float] = field(default_factory=list)
    """The logarithm of NEW over BASE by the medians of two sessions of each side."""
    failures: list[tuple[int, Measurement]] = field(default_factory=list)
    """What was not measured, with its side; the round has no difference then."""
    seconds: float = 0.0

    def difference(self, stand: str, higher: bool = False) -> float:
        """The round's logarithm of NEW over BASE, by that one of STANDS; ``higher`` is whether higher is better."""
        if stand == TYPICAL:
            return median(self.quartets)
        tail = 1 - TAIL if higher else TAIL
        base, new = (float(np.quantile(np.concatenate(side), tail)) for side in self.samples)
        return math.log(new / base)


class Pairing:
    """BASE and NEW, and how they are measured against each other."""

    def __init__(self, sides: tuple[Contender, Contender], metric: str, draw: random.Random) -> None:
        self.sides = sides
        self.metric = metric
        self._draw = draw

    @property
    def whole(self) -> bool:
        """Whether a session is better of all cases at once than of each by itself."""
        return any(side.whole for side in self.sides)

    def parts(self, cases: Sequence[Case]) -> list[list[Case]]:
        """``cases`` as they are measured in one round: those that need the same ranks, or all where that is best."""
        return [list(cases)] if self.whole else together(cases)

    def alone(self, side: int, cases: Sequence[Case]) -> dict[str, Measurement]:
        """A session of each of ``cases`` on one side, which has the box to itself, in fresh processes."""
        contender = self.sides[side]
        contender.start(cases[0])
        try:
            return contender.measure(cases)
        finally:
            contender.close()

    def round(self, cases: Sequence[Case], apart: bool = False) -> dict[str, Round]:
        """A round of ``cases``, one of their :meth:`parts`, by id. ``apart``: never are both sides alive at once."""
        rounds = {case.id: Round() for case in cases}
        blocks = [list(cases)] if self.whole else [[case] for case in cases]
        first = self._draw.choice((BASE, NEW))
        begun = time.monotonic()
        try:
            if not apart:
                for side in (first, 1 - first):
                    self.sides[side].start(cases[0])
                for contender in self.sides:
                    contender.join()
            starting = time.monotonic() - begun
            for number in range(MOST_QUARTETS):
                for block in blocks:
                    self._quartet(block, first if number % 2 == 0 else 1 - first, apart, rounds)
                if self.whole or apart or time.monotonic() - begun > (1 + MEASURING) * starting:
                    break
        finally:
            for contender in self.sides:
                contender.close()
        for found in rounds.values():
            found.seconds = (time.monotonic() - begun) / len(rounds)
        return rounds

    def _quartet(self, block: Sequence[Case], lead: int, apart: bool, rounds: dict[str, Round]) -> None:
        """The sessions of one side, of the other twice, and of the first again."""
        taken: dict[str, tuple[list[np.ndarray], list[np.ndarray]]] = {case.id: ([], []) for case in block}
        for side in (lead, 1 - lead, 1 - lead, lead):
            due = [case for case in block if not rounds[case.id].failures]
            if not due:
                return
            for name, measurement in self.sides[side].measure(due).items():
                samples = samples_of(measurement, self.metric)
                if samples is None:
                    rounds[name].failures.append((side, measurement))
                else:
                    taken[name][side].append(samples)
            if apart:
                self.sides[side].close()
        for name, sides in taken.items():
            if not rounds[name].failures:
                base, new = (np.mean([math.log(np.median(session)) for session in side]) for side in sides)
                rounds[name].quartets.append(float(new - base))
                for side, sessions in enumerate(sides):
                    rounds[name].samples[side].extend(sessions)


def samples_of(measurement: Measurement, metric: str) -> np.ndarray | None:
    """The session's values in the metric's unit: of a metric without samples the one that it has.

    None where it was not measured, or is not above zero, so that nothing can be a part more than it.
    """
    if not measurement.measured:
        return None
    found = metrics.series(measurement.point, measurement.samples).get(metric)
    samples = np.array([measurement.value(metric) or 0.0]) if found is None else found
    return samples if samples.min() > 0 else None


def together(cases: Sequence[Case]) -> list[list[Case]]:
    """``cases`` parted by what ranks they need, each part in its order."""
    parts: dict[tuple[object, ...], list[Case]] = {}
    for case in cases:
        parts.setdefault((case.world_size, case.variables, case.threads), []).append(case)
    return list(parts.values())
