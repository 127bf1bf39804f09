"""Which steps one series has: forward one by one while they explain it better, then backward whatever was in vain."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fiabench.stats.changes.explaining import explained
from fiabench.stats.changes.fitting import fitted, without_steps
from fiabench.stats.changes.noise import Family
from fiabench.stats.changes.scan import scan

LOOKED_AT = 2.0
"""Nats that a place has to gain in the first scan, where noise is Gaussian, to be looked at more closely."""
KEPT = 3.0
"""Nats that a step has to gain to count as one while others are looked for: well below what is flagged."""
TWO_KEPT = 15.0
"""Nats that two steps have to gain together to count where neither does alone."""
MOST_STEPS = 8
_PLACES = 4
"""So many places of a scan are looked at closely."""
_WORTH = 0.4
"""Of the greatest gain, that another place has to have to be looked at in the same scan: the next is for the rest."""
_LIKELY = 4
"""So many covariances, with or without a trend, are used to look for further steps."""
_APART = 3
"""Places of one scan that are looked at are so far apart."""
FEWEST_BEFORE = 4
"""Values before a step, or nobody can tell what it rose from."""


@dataclass(frozen=True)
class Step:
    """A place where the level may change."""

    index: int
    gain: float
    """Nats by which the series is explained better with it, given the other steps."""
    kept: bool
    """Whether it is among the steps that the others are judged with."""


class Found(NamedTuple):
    """What was found in one series."""

    steps: list[Step]
    """By index."""
    nats: float
    """How well the kept ones explain the series; nan where none is."""


def find_steps(family: Family, series: np.ndarray, clean: np.ndarray, gains: np.ndarray) -> Found:
    """The steps of ``series`` [n], standardised, and other places that were looked at. ``clean`` is the same
    without values that are far off, and ``gains`` are those of its scan without any step."""
    kept: list[int] = []
    seen: dict[int, float] = {}
    nats = math.nan
    while len(kept) < MOST_STEPS:
        places = _places(gains, kept)
        if not places:
            break
        levels = explained(family, series, [kept, *([*kept, place] for place in places)])
        closer = levels[1:] - levels[0]
        seen.update({place: float(gain) for place, gain in zip(places, closer) if not kept or place not in seen})
        best = int(closer.argmax())
        added = [places[best]]
        nats_with = float(levels[best + 1])
        if closer[best] < KEPT:
            # Two steps may hide each other: alone, neither looks like one beside a drift.
            second = _places(_given(family, clean, [*kept, *added]), [*kept, *added])[:1]
            if not second:
                break
            nats_with = float(explained(family, series, [[*kept, *added, *second]])[0])
            if nats_with - levels[0] < TWO_KEPT:
                break
            added += second
            seen[second[0]] = nats_with - float(levels[best + 1])
        kept += added
        nats = nats_with
        gains = _given(family, clean, kept)
    final = {place: seen[place] for place in kept}
    if len(kept) > 1:
        final, nats = _pruned(family, series, kept)
    # Whatever a place gained by itself: beside the kept ones it gains less than they had to.
    others = {
        place: min(gain, KEPT) for place, gain in seen.items() if all(abs(place - cut) >= _APART for cut in final)
    }
    found = [Step(cut, gain, True) for cut, gain in final.items()]
    found += [Step(place, gain, False) for place, gain in others.items()]
    return Found(sorted(found, key=lambda step: step.index), nats)


def _places(gains: np.ndarray, kept: list[int]) -> list[int]:
    """The indices of the greatest gains, some values apart from each other and from ``kept``."""
    open_gains = gains.copy()
    open_gains[: FEWEST_BEFORE - 1] = -np.inf
    for cut in kept:
        open_gains[max(0, cut - 2) : cut + 1] = -np.inf
    found: list[int] = []
    while len(found) < _PLACES:
        row = int(open_gains.argmax())
        if open_gains[row] < max(LOOKED_AT, _WORTH * gains.max()):
            break
        found.append(row + 1)
        open_gains[max(0, row - _APART + 1) : row + _APART] = -np.inf
    return found


def _given(family: Family, series: np.ndarray, kept: list[int]) -> np.ndarray:
    """The gains of a further step: a scan of what is left once the kept steps' sizes are taken out, with those
    covariances that explain it best."""
    rest = without_steps(series, kept)
    rest = rest - rest.mean()
    spread = rest.std()
    if not spread:
        return np.full(series.size - 1, -np.inf)
    rest /= spread
    likely = [family.contrasts[index] for index in np.argsort(-fitted(family, rest).nats)[:_LIKELY]]
    return scan(family, rest[:, None], likely).gains[:, 0]


def _pruned(family: Family, series: np.ndarray, kept: list[int]) -> tuple[dict[int, float], float]:
    """The steps that are worth their place beside the others, with what each gains, and how well they explain all."""
    steps = sorted(kept)
    while True:
        levels = explained(family, series, [steps, *([*steps[:i], *steps[i + 1 :]] for i in range(len(steps)))])
        gains = levels[0] - levels[1:]
        worst = int(gains.argmin())
        if gains[worst] >= KEPT or len(steps) == 1:
            return dict(zip(steps, gains.tolist())), float(levels[0])
        del steps[worst]
