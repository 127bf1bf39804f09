"""What is planted into a simulation on demand, drawn from seeds: the same seed gives the same run. Imports no torch."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from fiabench.cases.case import Case
from fiabench.cases.errors import InputError, Problem, nearest
from fiabench.cases.filters import parse_filters

FORMS = {
    "noise": "gaussian:SD, t3:SD, bimodal:GAP:WEIGHT or ar:SD:CORRELATION, of each iteration",
    "session": "SD of a fresh process's own level",
    "drift": "RATE or RATE:SECONDS, the slowing in each that many seconds (1 by default)",
    "throttle": "SECONDS:FACTOR, slower from that moment of a case on",
    "slow-rank": "RANK:FACTOR",
    "delay": "RANK:SECONDS, by which the rank begins each iteration late",
    "hang": "RANK",
    "oom": "RANK",
    "wrong": "RANK",
}
"""Every kind of effect, and what follows its `=`. `@FIELD=VALUE,...` at the end plants it in those cases only."""
_OF_RANK = ("slow-rank", "delay", "hang", "oom", "wrong")
_NOISES = {"gaussian": 1, "t3": 1, "bimodal": 2, "ar": 2}
"""Kind of noise to the count of its numbers."""
_COUNTS = {
    "session": (1, 1), "drift": (1, 2), "throttle": (2, 2),
    "slow-rank": (1, 1), "delay": (1, 1), "hang": (0, 0), "oom": (0, 0), "wrong": (0, 0),
}  # fmt: skip
"""The other kinds to the least and the most count of their numbers, beside the rank."""
_T3_SPREAD = 3**0.5
"""Standard deviation of Student's t with three degrees of freedom: so scaled, SD is that of the noise."""


class Effect(NamedTuple):
    """One planted effect as parsed; ``numbers`` in the order of :data:`FORMS`, ``rank`` -1 where it is no rank's."""

    kind: str
    shape: str
    """Of a noise, else empty."""
    rank: int
    numbers: tuple[float, ...]
    applies: Callable[[Case], bool]


def parse_effects(texts: Iterable[str], projects: Iterable[str] = ()) -> list[Effect]:
    """The effects that ``texts`` describe. Raises InputError with everything that is wrong."""
    found, problems = [], []
    for text in texts:
        try:
            found.append(_parse(text, list(projects)))
        except _Wrong as wrong:
            problems.append(Problem("", None, None, f"--plant {text}", wrong.found, wrong.allowed, wrong.hint))
    if problems:
        raise InputError(problems)
    return found


class _Wrong(Exception):
    def __init__(self, found: str, allowed: str, hint: str = "") -> None:
        super().__init__(found)
        self.found, self.allowed, self.hint = found, allowed, hint


def _parse(text: str, projects: list[str]) -> Effect:
    what, *where = text.split("@")
    kind, equals, value = what.partition("=")
    if kind not in FORMS or not equals:
        raise _Wrong(repr(kind), f"KIND=..., of {', '.join(FORMS)}", nearest(kind, FORMS))
    applies = parse_filters(where, projects)
    words = value.split(":")
    shape, rank = "", -1
    if kind == "noise":
        shape, *words = words
        if shape not in _NOISES:
            raise _Wrong(repr(shape), FORMS[kind], nearest(shape, _NOISES))
        least, most = _NOISES[shape], _NOISES[shape]
    else:
        least, most = _COUNTS[kind]
    if kind in _OF_RANK:
        if not words[0].isdigit():
            raise _Wrong(f"rank {words[0]!r}", FORMS[kind])
        rank, words = int(words[0]), words[1:]
    try:
        numbers = tuple(map(float, words))
    except ValueError:
        raise _Wrong(repr(value), FORMS[kind]) from None
    if not least <= len(numbers) <= most or not all(0 <= number < 1e6 for number in numbers):
        raise _Wrong(repr(value), FORMS[kind])
    problem = _out_of_range(kind, shape, numbers)
    if problem:
        raise _Wrong(repr(value), problem)
    return Effect(kind, shape, rank, numbers, applies)


def _out_of_range(kind: str, shape: str, numbers: tuple[float, ...]) -> str:
    if shape in ("bimodal", "ar") and numbers[1] >= 1:
        return f"{FORMS[kind]}; the second below 1"
    if kind in ("slow-rank", "throttle") and not numbers[-1]:
        return f"{FORMS[kind]}; a factor above 0"
    if kind == "drift" and len(numbers) == 2 and not numbers[1]:
        return f"{FORMS[kind]}; seconds above 0"
    return ""


def check_ranks(effects: Iterable[Effect], ranks: int) -> None:
    """Raises InputError where an effect is planted on a rank that no case has."""
    for effect in effects:
        if effect.rank >= ranks:
            raise InputError.plain(
                f"--plant {effect.kind}={effect.rank}: the largest case has {ranks} ranks; allowed: below {ranks}"
            )


@dataclass(frozen=True)
class Seeds:
    """From where one case's draws come: the same seeds give the same case, whatever ran before."""

    seed: int
    session: int
    """Counts the processes of a run: each has a level of its own where `session` is planted."""

    def source(self, *words: object) -> random.Random:
        return random.Random(repr((self.seed, self.session, *words)))


class Disturbance:
    """What the planted effects do to one rank during one case."""

    def __init__(self, effects: Iterable[Effect], seeds: Seeds, case: Case, rank: int) -> None:
        here = [effect for effect in effects if effect.rank in (-1, rank) and effect.applies(case)]
        self._levels = [
            # Of the process, so of all its ranks and cases.
            max(0.01, 1 + seeds.source("session", place).gauss(0, effect.numbers[0]))
            for place, effect in enumerate(here)
            if effect.kind == "session"
        ]
        self._noises = [
            noise(effect.shape, effect.numbers, seeds.source(place, case.id, rank))
            for place, effect in enumerate(here)
            if effect.kind == "noise"
        ]
        self._trends = [effect for effect in here if effect.kind in ("drift", "slow-rank")]
        self._throttles = [effect.numbers for effect in here if effect.kind == "throttle"]
        self.delay = sum(effect.numbers[0] for effect in here if effect.kind == "delay")
        """Seconds by which the rank begins each iteration late."""
        kinds = {effect.kind for effect in here}
        self.hangs, self.out_of_memory, self.wrong = (kind in kinds for kind in ("hang", "oom", "wrong"))

    def noise(self) -> float:
        """The next iteration's factor on everything, exchanges too."""
        factor = 1.0
        for level in self._levels:
            factor *= level
        for series in self._noises:
            factor *= next(series)
        return factor

    def slowing(self, seconds: float) -> float:
        """The factor on the rank's own work that many seconds after the case began."""
        factor = self.throttling(seconds)
        for kind, _, _, numbers, _ in self._trends:
            if kind == "slow-rank":
                factor *= numbers[0]
            elif kind == "drift":
                factor *= 1 + numbers[0] * seconds / (numbers[1] if len(numbers) > 1 else 1.0)
        return factor

    def throttling(self, seconds: float) -> float:
        """The part of that factor for which the clock is lowered, as the device's sensor says."""
        factor = 1.0
        for begins, slower in self._throttles:
            if seconds >= begins:
                factor *= slower
        return factor


def noise(shape: str, numbers: tuple[float, ...], source: random.Random) -> Iterator[float]:
    """Factors whose median is 1, or of bimodal noise with a weight below one half the lower mode's, which is 1.

    `gaussian`, `t3` (heavy tails) and `ar` (each follows the one before) have the standard deviation ``numbers[0]``;
    `bimodal` is 1 + GAP with the probability WEIGHT, else 1. Never below 0.01.
    """
    size, state = numbers[0], source.gauss(0, 1)
    while True:
        if shape == "gaussian":
            deviation = source.gauss(0, 1)
        elif shape == "t3":
            squares = sum(source.gauss(0, 1) ** 2 for _ in range(3))
            deviation = source.gauss(0, 1) / (squares / 3) ** 0.5 / _T3_SPREAD
        elif shape == "ar":
            deviation = state
            state = numbers[1] * state + (1 - numbers[1] ** 2) ** 0.5 * source.gauss(0, 1)
        else:
            deviation = float(source.random() < numbers[1])
        yield max(0.01, 1 + size * deviation)
