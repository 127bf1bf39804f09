"""Is NEW slower than BASE, or does it fail? Measured in turns until that is settled for each case, or time is over."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from fiabench.cases.case import Case
from fiabench.history.pairs import BASE, BEST, NAMES, NEW, STANDS, TYPICAL, Pairing, Round, samples_of
from fiabench.results.environment import stood_in
from fiabench.results.measurement import Measurement
from fiabench.results.metrics import METRICS
from fiabench.results.words import essence
from fiabench.stats.compare import FALSE_DISCOVERIES, LEAST_CHANCE, chance_bound
from fiabench.stats.pairs import MISSED, NOMINAL, Evidence, interval

SLOWER, FASTER, EQUAL, UNDECIDED = "slower", "faster", "equal", "undecided"
"""Slower is NEW where its metric is worse: more of most, and less of what is better where it is higher."""
FAILS, MENDED, BOTH_FAIL, LEFT_OUT = "fails", "mended", "fails on both", "left out"
FLAKY = 3
"""Rounds that may be lost to failures which did not repeat themselves, before they are the verdict."""


@dataclass(frozen=True)
class Verdict:
    """What is said of one case."""

    id: str
    verdict: str
    why: str
    ratio: float | None = None
    """NEW / BASE; None where the two were not measured against each other."""
    low: float | None = None
    high: float | None = None
    """The interval of the ratio, which holds at every look but for NOMINAL, or where they are equal for MISSED; None
    where it has no bound."""
    chance: float | None = None
    """How often at most noise alone makes so much evidence, looked at as often as one likes."""
    visible: float | None = None
    """The smallest difference, relative, that so many rounds settle in 95 of 100 cases; None where there is none."""
    stand: str = ""
    """Which of :data:`fiabench.history.pairs.STANDS` the ratio is of."""
    rounds: int = 0
    pairs: int = 0
    """Of sessions, in all rounds; each quartet has two."""
    seconds: float = 0.0
    reasons: dict[str, str] = field(default_factory=dict)
    """Why the sides that failed did."""
    notes: list[str] = field(default_factory=list)
    """Failures that did not repeat themselves."""
    differences: list[float] = field(default_factory=list)
    """The logarithm of NEW over BASE, one a round."""
    emulated: bool = False
    """Whether fiabench's operator stood in for the NPU's."""

    @property
    def worse(self) -> bool:
        return self.verdict in (SLOWER, FAILS)

    @property
    def judged(self) -> bool:
        """Whether there is something to judge: not where no side, or only one by its nature, can be measured."""
        return self.verdict not in (BOTH_FAIL, LEFT_OUT)

    @property
    def most(self) -> float | None:
        """The greatest relative difference that the interval allows, to the lower side; None where it has no bound."""
        return None if self.low is None or self.high is None else max(self.high, 1 / self.low) - 1

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Contest:
    """One case between the two sides."""

    def __init__(self, case: Case, metric: str, against: float = 0.0) -> None:
        """``against`` see :class:`Evidence`."""
        self.case = case
        self._metric = metric
        self._more_is_better = METRICS[metric].more_is_better
        self.by_stand = {stand: Evidence(against) for stand in STANDS}
        self.stand = BEST
        """By which of STANDS the verdict is."""
        self.failed: dict[int, Measurement] = {}
        """By side how it fails, where it does."""
        self.left_out = ""
        self.notes: list[str] = []
        self.emulated = False
        """Whether fiabench's operator stood in for the NPU's in what was tried."""
        self.apart = False
        """Whether both sides at once need more memory than there is."""
        self.pairs = 0
        self.seconds = 0.0
        self.settled = ""
        """The verdict, once there is one."""
        self._lost: list[tuple[int, Measurement]] = []

    @property
    def evidence(self) -> Evidence:
        """By what stands for a side."""
        return self.by_stand[self.stand]

    @property
    def chance(self) -> float:
        """How often at most noise alone makes such evidence by either of STANDS: of e-values the mean is one."""
        return len(STANDS) / sum(1 / evidence.chance for evidence in self.by_stand.values())

    @property
    def worse(self) -> bool:
        """Whether NEW is on the worse side of what the evidence is against."""
        return self.evidence.above is not self._more_is_better

    @property
    def open(self) -> bool:
        return not (self.settled or self.failed or self.left_out)

    def tried(self, side: int, measurements: Sequence[Measurement]) -> None:
        """Takes note of the sessions of one side alone, of which there are two where the first failed."""
        last = measurements[-1]
        self.emulated |= stood_in(measurements)
        if last.failed:
            self.failed[side] = last
        elif not last.measured:
            self.left_out = f"{NAMES[side]}: {last.reason}"
        elif samples_of(last, self._metric) is None:
            self.left_out = f"has no {self._metric} on {NAMES[side]}"
        if len(measurements) > 1 and not last.failed:
            self.notes.append(f"{NAMES[side]} failed once and not again: {_said(measurements[0])}")

    def take(self, found: Round) -> None:
        """Takes note of a round."""
        self.seconds += found.seconds
        if found.failures:
            self._lose(found.failures)
            return
        self.pairs += 2 * len(found.quartets)
        for stand, evidence in self.by_stand.items():
            evidence.add(found.difference(stand, self._more_is_better))

    def _lose(self, failures: list[tuple[int, Measurement]]) -> None:
        (side, measurement) = failures[0]
        if measurement.status == "out_of_memory" and not self.apart:
            self.apart = True
            self.notes.append("both sides at once need more memory than there is: each had the device to itself")
            return
        self._lost.append(failures[0])
        self.notes.append(f"{NAMES[side]} failed in a round: {_said(measurement)}")
        if len(self._lost) >= FLAKY:
            for lost_side, lost in self._lost:
                self.failed[lost_side] = lost

    def judge(self, bound: float, relevant: float) -> None:
        """Settles the case if its evidence does; ``bound`` is the chance up to which it counts as changed."""
        if not self.evidence.differences:
            return
        reach = math.log1p(relevant)
        if self.chance <= bound:
            self.stand = min(STANDS, key=lambda stand: self.by_stand[stand].chance)
            self.settled = SLOWER if self.worse else FASTER
        elif self.evidence.within(reach) and not self.by_stand[TYPICAL].beyond(reach):
            self.settled = EQUAL

    def verdict(self, relevant: float) -> Verdict:
        """What is to be said now."""
        beside: dict[str, Any] = {
            "pairs": self.pairs, "seconds": self.seconds, "notes": self.notes, "emulated": self.emulated
        }  # fmt: skip
        reasons = {NAMES[side]: _said(self.failed[side]) for side in sorted(self.failed)}
        if self.failed:
            kind = BOTH_FAIL if len(self.failed) > 1 else FAILS if NEW in self.failed else MENDED
            why = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
            return Verdict(self.case.id, kind, why, reasons=reasons, **beside)
        if self.left_out:
            return Verdict(self.case.id, LEFT_OUT, self.left_out, **beside)
        differences = self.evidence.differences
        if not differences:
            return Verdict(self.case.id, UNDECIDED, "no round could be judged in the time that there was", **beside)
        found = interval(differences, MISSED if self.settled == EQUAL else NOMINAL)
        rounds = f"{len(differences)} round{'' if len(differences) == 1 else 's'} of fresh processes"
        return Verdict(
            self.case.id,
            self.settled or UNDECIDED,
            f"{rounds}; {self._why(relevant, found.visible)}",
            ratio=math.exp(found.value),
            low=math.exp(found.low) if math.isfinite(found.low) else None,
            high=math.exp(found.high) if math.isfinite(found.high) else None,
            chance=self.chance,
            visible=math.expm1(found.visible) if found.visible < 1 else None,
            stand=self.stand,
            rounds=len(differences),
            differences=differences,
            **beside,
        )

    def _why(self, relevant: float, visible: float) -> str:
        chance = self.chance
        if self.settled in (SLOWER, FASTER):
            often = f"less than {LEAST_CHANCE}" if chance < LEAST_CHANCE else f"{chance:.1g}"
            small = self.evidence.within(math.log1p(relevant))
            return f"noise alone looks so in {often} of comparisons" + (
                f", but by less than the {relevant:.1%} that is asked for" if small else ""
            )
        if self.settled == EQUAL:
            return f"a difference of {relevant:.1%} would be missed so in at most {MISSED:.0%} of comparisons"
        if visible < 1:
            return f"differences of {math.expm1(visible):.1%} and more would have been settled"
        return "too few to tell anything"


def confirm(
    pairing: Pairing,
    cases: Sequence[Case],
    relevant: float,
    seconds: float,
    each: Callable[[Sequence[Contest]], None] = lambda contests: None,
) -> list[Verdict]:
    """A verdict on each of ``cases``, within about ``seconds``, of which each side's first sessions may take more.

    ``relevant`` is the relative difference that matters. ``each`` sees all contests whenever one has moved. What is
    called changed in several cases is bounded after Benjamini and Hochberg: at most FALSE_DISCOVERIES of it is noise.
    """
    return contest(pairing, [Contest(case, pairing.metric) for case in cases], relevant, seconds, each)


def contest(
    pairing: Pairing,
    contests: Sequence[Contest],
    relevant: float,
    seconds: float,
    each: Callable[[Sequence[Contest]], None],
) -> list[Verdict]:
    """As :func:`confirm`, of contests that were made before; they hold more than their verdicts when it ends."""
    deadline = time.monotonic() + seconds
    by_id = {found.case.id: found for found in contests}
    for part in pairing.parts([found.case for found in contests]):
        first_sessions(pairing, [by_id[case.id] for case in part], (BASE, NEW))
        each(contests)
    lasted: dict[object, float] = {}
    going = True
    while going and any(found.open for found in contests):
        going = False
        for part in pairing.parts([found.case for found in contests if found.open]):
            for apart in (False, True):
                due = [case for case in part if by_id[case.id].apart is apart and by_id[case.id].open]
                place = (part[0].world_size, part[0].variables, part[0].threads, apart)
                if not due or time.monotonic() + lasted.get(place, 0.0) > deadline:
                    continue
                begun = time.monotonic()
                for name, found in pairing.round(due, apart).items():
                    by_id[name].take(found)
                lasted[place] = time.monotonic() - begun
                going = True
                _judge(contests, relevant)
                each(contests)
    return [found.verdict(relevant) for found in contests]


def first_sessions(pairing: Pairing, contests: Sequence[Contest], sides: Sequence[int]) -> None:
    """Tries the cases, which need the same ranks, on each of ``sides`` alone; what fails there is tried once more.

    A failure counts where it repeats itself in fresh processes.
    """
    for side in sides:
        begun = time.monotonic()
        found = {name: [first] for name, first in pairing.alone(side, [one.case for one in contests]).items()}
        again = [one.case for one in contests if found[one.case.id][0].failed]
        if again:
            for name, second in pairing.alone(side, again).items():
                found[name].append(second)
        for one in contests:
            one.tried(side, found[one.case.id])
            one.seconds += (time.monotonic() - begun) / len(contests)


def _judge(contests: Sequence[Contest], relevant: float) -> None:
    family = [found for found in contests if found.evidence.differences and not found.failed]
    if not family:
        return
    bound = chance_bound([found.chance for found in family], NOMINAL, FALSE_DISCOVERIES)
    for found in family:
        if found.open:
            found.judge(bound, relevant)


def _said(measurement: Measurement) -> str:
    """How a session failed, in one line."""
    reason = " ".join(essence(measurement.reason).split())
    return f"{measurement.status.replace('_', ' ')}{f' ({reason})' if reason else ''}"
