"""Finds the lasting changes of a series, and judges many series together."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from dataclasses import replace

import numpy as np

from fiabench.stats.changes import clear
from fiabench.stats.changes.described import described, grown, sure_from, visible_change
from fiabench.stats.changes.explaining import explained
from fiabench.stats.changes.fitting import Fit, fitted, of_scan, without_steps
from fiabench.stats.changes.found import THRESHOLD, Change, Detection, History
from fiabench.stats.changes.given import FEWEST, Given, cleaned, given
from fiabench.stats.changes.noise import Family, known_sessions, unknown_sessions
from fiabench.stats.changes.scan import scan, standardised
from fiabench.stats.changes.search import FEWEST_BEFORE, LOOKED_AT, Found, Step, find_steps
from fiabench.stats.changes.wandering import Steps, are_wild
from fiabench.stats.compare import chance_bound

NOMINAL = 0.01
"""The part of series without a change in which one is flagged, each judged by itself."""
FALSE_DISCOVERIES = 0.05
"""The part of the series said to have changed, of many judged together, that may have not."""
NEEDED = 5.0
"""Nats by which a step has to explain a series better than every kind of noise: with it NOMINAL is kept."""
WORTH_PAIRS = 2.0
"""Nats from which on a step among the newest values is worth a measurement in pairs."""
WORTH = WORTH_PAIRS / NEEDED
"""The same as a score."""
FRESH = 3
"""A step is among the newest while no more values than these lie after it."""
LONGEST = 320
"""Values judged at once; longer series are judged in windows."""
_WINDOW = 256
_BATCH = 128
"""Series scanned at once: enough that what each batch needs anew does not count, and memory stays bounded."""
_ALIKE = 1e-12
"""In logarithms: what differs by less differs by how it was rounded."""
_NOTHING = Found([], math.nan)
Known = MutableMapping[str, Detection]
"""What was found by what it was found in: a series, or a window of a long one, by its :func:`_name`."""
Spread = Callable[[Callable[[int], list[Detection]], range], Iterable[list[Detection]]]
WILD = (
    "its level keeps changing, as from session to session: steps cannot be told from it without the sessions' identity "
    "or a reference case"
)


def detect(
    values: Sequence[float] | np.ndarray,
    *,
    sessions: Sequence[object] | np.ndarray | None = None,
    intervals: Sequence[Sequence[float]] | np.ndarray | None = None,
    reference: Sequence[float] | np.ndarray | None = None,
) -> Detection:
    """The changes of one series; see :class:`History` for the arguments. ValueError where one is not what it says."""
    return detect_each([History(values, sessions, intervals, reference)])[0]


def detect_all(histories: Sequence[History], known: Known | None = None, spread: Spread = map) -> list[Detection]:
    """The changes of every series, judged as one family: of the series said to have changed FALSE_DISCOVERIES at most
    have not, in expectation, and none is flagged that would not be by itself. What falls behind stays a candidate.

    What is ``known`` is taken from there, and what is not is put there. ``spread`` is `map`, or does as `map` does in
    several processes.
    """
    alone = detect_each(histories, known, spread)
    chances = [_chance(max((change.score for change in found.candidates), default=0.0)) for found in alone]
    judged = [place for place, found in enumerate(alone) if not found.abstains]
    bound = chance_bound([chances[place] for place in judged], NOMINAL, FALSE_DISCOVERIES)
    return [
        replace(found, flags=tuple(change for change in found.flags if _chance(change.score) <= bound))
        for found in alone
    ]


def detect_each(histories: Sequence[History], known: Known | None = None, spread: Spread = map) -> list[Detection]:
    """The changes of every series, each judged by itself; for the rest see :func:`detect_all`."""
    prepared = [given(history) for history in histories]
    begins = [_begins(one.logs.size) for one in prepared]
    answers = iter(_judge_all([part for one, own in zip(prepared, begins) for part in _parts(one, own)], known, spread))
    return [_whole(one, own, [next(answers) for _ in own]) for one, own in zip(prepared, begins)]


def _begins(count: int) -> list[int]:
    """Where the windows begin that so many values are judged in: they overlap by half; one for a series that is judged
    at once."""
    return [0] if count <= LONGEST else [*range(0, count - _WINDOW, _WINDOW // 2), count - _WINDOW]


def _parts(one: Given, begins: Sequence[int]) -> list[Given]:
    return [one] if len(begins) == 1 else [one.window(begin, begin + _WINDOW) for begin in begins]


def _whole(one: Given, begins: Sequence[int], answers: Sequence[Detection]) -> Detection:
    """What was found in a series, by what was found in its windows."""
    return _of_windows(one, begins, answers) if len(begins) > 1 else answers[0]


def _chance(score: float) -> float:
    """How often a series without a change has such a score, by the decay of chance with evidence: a likelihood ratio of
    x is reached by noise at most once in x."""
    return min(1.0, NOMINAL * math.exp(min((1.0 - score) * NEEDED, 700.0)))


def _not_judged(one: Given) -> Detection | None:
    """The answer where there is nothing to judge."""
    count = one.logs.size
    if count < FEWEST:
        return Detection((), (), (), f"{count} value{'' if count == 1 else 's'}: at least {FEWEST} are needed", None)
    if np.ptp(one.logs) <= _ALIKE:
        return Detection((), (), (), "", 0.0)
    return None


def _judge_all(parts: Sequence[Given], known: Known | None, spread: Spread) -> list[Detection]:
    """What is found in each of ``parts``; those that are ``known`` or twice there are not judged again."""
    known = {} if known is None else known
    names = [_name(part) for part in parts]
    alike: dict[tuple[int, tuple[int, ...]], dict[str, Given]] = defaultdict(dict)
    for name, part in zip(names, parts):
        if name not in known:
            alike[part.logs.size, part.sessions][name] = part
    batches = [
        list(new.items())[begin : begin + _BATCH] for new in alike.values() for begin in range(0, len(new), _BATCH)
    ]

    def judge(place: int) -> list[Detection]:
        return _judge([part for _, part in batches[place]])

    for batch, found in zip(batches, spread(judge, range(len(batches)))):
        known.update(zip((name for name, _ in batch), found))
    return [known[name] for name in names]


def _name(one: Given) -> str:
    """The same for what is judged alike."""
    taken = hashlib.blake2b(repr(one.sessions).encode(), digest_size=16)
    for numbers in (one.places, one.logs, one.errors):
        taken.update(numbers.tobytes())
    return taken.hexdigest()


def _judge(batch: Sequence[Given]) -> list[Detection]:
    """Series of one length and one layout of sessions."""
    answers = [_not_judged(one) for one in batch]
    moving = [place for place, answer in enumerate(answers) if answer is None]
    for place, found in zip(moving, _search([batch[place] for place in moving])):
        answers[place] = clear.with_clear_steps(found, batch[place], FRESH, WORTH, WILD)
    return [answer for answer in answers if answer is not None]


def _search(batch: Sequence[Given]) -> list[Detection]:
    """Series that are no shorter than FEWEST and not constant."""
    if not batch:
        return []
    sessions = batch[0].sessions
    family = _family(len(batch[0].logs), sessions)
    series = standardised(np.array([one.logs for one in batch]))
    clean = cleaned(series)
    shrunk = clean.std(axis=1)
    clean = standardised(clean)
    first = scan(family, np.ascontiguousarray(clean.T))
    promising = first.gains[FEWEST_BEFORE - 1 :].max(axis=0) >= LOOKED_AT
    found = [
        find_steps(family, series[i], clean[i], first.gains[:, i]) if promising[i] else _NOTHING
        for i in range(len(batch))
    ]
    fits = [
        _fit_of_rest(family, clean[i], found[i].steps) or of_scan(family, first.null[:, i], one.logs.size)
        for i, one in enumerate(batch)
    ]
    wild = set() if sessions else _wild(family, series, found, fits)
    judged = []
    for place, (one, fit) in enumerate(zip(batch, fits)):
        candidates = _changes(family, one, found[place].steps, first.gains[:, place])
        spread = float(one.logs.std()) * float(shrunk[place])
        visible = max(spread * visible_change(family, fit, NEEDED), sure_from(one.errors))
        judged.append(_detection(candidates, place in wild, visible))
    return judged


def _fit_of_rest(family: Family, clean: np.ndarray, steps: Sequence[Step]) -> Fit | None:
    """What the covariances make of a series without the steps that would be flagged; None where there is none."""
    cuts = [step.index for step in steps if step.gain >= NEEDED]
    if not cuts:
        return None
    rest = without_steps(clean, cuts)
    return fitted(family, rest - rest.mean())


def _wild(family: Family, series: np.ndarray, found: Sequence[Found], fits: Sequence[Fit]) -> set[int]:
    """Which series, of those in which a step would be flagged, are too wild for it."""
    asked = [place for place, one in enumerate(found) if any(step.gain >= NEEDED for step in one.steps)]
    rivals = []
    for place in asked:
        steps = found[place].steps
        cuts = [step.index for step in steps if step.kept]
        greatest = max(steps, key=lambda step: step.gain)
        nats = {len(cuts): found[place].nats + _costs(family, cuts)}
        if len(cuts) > 1:
            alone = [greatest.index]
            nats[1] = float(explained(family, series[place], [alone])[0]) + _costs(family, alone)
        rivals.append(Steps(nats, greatest.index, hanging=1.0 - fits[place].independent(family)))
    return {place for place, wild in zip(asked, are_wild(family, series[asked], rivals)) if wild}


def _costs(family: Family, cuts: Sequence[int]) -> float:
    """How old the steps are is no matter to what explains the series."""
    return float(sum(family.place_costs[cut - 1] for cut in cuts))


def _family(count: int, sessions: tuple[int, ...]) -> Family:
    # Sessions of one value each differ as values do, and one session for all does not differ at all; but either way it
    # is known that no levels change underneath.
    if 1 < len(set(sessions)) < len(sessions):
        return known_sessions(sessions)
    return unknown_sessions(count)


def _detection(candidates: tuple[Change, ...], wild: bool, visible: float) -> Detection:
    if wild:
        return Detection((), candidates, (), WILD, None)
    flags = tuple(change for change in candidates if change.score >= THRESHOLD)
    fresh = tuple(change for change in candidates if change.suspect and change.score * NEEDED >= WORTH_PAIRS)
    return Detection(flags, candidates, fresh, "", grown(visible))


def _changes(family: Family, one: Given, steps: Sequence[Step], gains: np.ndarray) -> tuple[Change, ...]:
    kept = [step.index for step in steps if step.kept]
    changes = []
    for step in steps:
        others = [cut for cut in kept if cut != step.index]
        size = described(family, one, step.index, others, gains)
        certain = size.certain(one.errors, step.index, others)
        score = step.gain / NEEDED
        changes.append(
            Change(
                index=int(one.places[step.index]),
                magnitude=grown(size.size),
                score=float(score if certain else min(score, 0.99)),
                low=grown(size.low),
                high=grown(size.high),
                suspect=bool(one.logs.size - step.index <= FRESH),
                first=int(one.places[size.first - 1]) + 1,
            )
        )
    return tuple(changes)


def _of_windows(one: Given, begins: Sequence[int], answers: Sequence[Detection]) -> Detection:
    """Each window answers for its middle, the last for the newest values as well."""
    # More windows find more by chance, each of them.
    dearer = math.log(len(begins)) / NEEDED
    candidates: dict[int, Change] = {}
    for number, (begin, answer) in enumerate(zip(begins, answers)):
        newest = number == len(begins) - 1
        from_here = 0 if number == 0 else _WINDOW // 4
        to_here = _WINDOW if newest else 3 * _WINDOW // 4
        inside = range(int(one.places[begin + from_here]), int(one.places[begin + to_here - 1]) + 1)
        for change in () if answer.abstains else answer.candidates:
            if change.index in inside:
                here = replace(change, score=change.score - dearer, suspect=change.suspect and newest)
                candidates.setdefault(change.index, here)
    last = answers[-1]
    found = tuple(candidates[index] for index in sorted(candidates))
    if last.abstains:
        return Detection((), found, (), last.abstains, None)
    flags = tuple(change for change in found if change.score >= THRESHOLD)
    suspects = tuple(change for change in found if change.suspect)
    return Detection(flags, found, suspects, "", last.visible)
