"""Rates of false alarms and of steps seen, for any detector."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fiabench.evidence.detector.kinds import Kind, labels
from fiabench.evidence.detector.peers import Detector, Peer

LENGTHS = (60, 200)
SCALES = (1.0, 0.2)
"""What the logarithms of a series, noise and step, are multiplied by."""
STEPS = (0.02, 0.03, 0.05)
AGES = (1, 2, 3, 5, 10, 20)
"""Commits from the step on."""
ASKED_STEP, ASKED_AGES = 0.05, (1, 3, 10)
SHORT, SHORT_STEP, SHORT_AGE = (12, 24, 48), 0.10, 3
"""Of young histories: lengths, and the step and its age that are looked at in them."""
NEAR = 3
"""A flag counts for a step if it is as many commits away, or fewer."""
LEVEL = 100.0

Say = Callable[[str], None]


class Rate(NamedTuple):
    """How often a detector flagged."""

    peer: str
    kind: str
    length: int
    """Values in each series."""
    scale: float
    step: float
    """0 where there was none, and the rate is that of false alarms."""
    age: int
    seen: int
    series: int

    @property
    def percent(self) -> float:
        return 100 * self.seen / self.series


class Sizes(NamedTuple):
    """Series to each rate."""

    nulls: int
    asked: int
    """Of the step and the ages that are asked for."""
    others: int
    peers: int
    """Of detectors that are looked at for comparison."""


def false_alarms(peer: Peer, kind: Kind, count: int, scale: float, series: int) -> Rate:
    """Series without a step of which any value was flagged as slower."""
    logs = scale * kind.draw(_source(kind, count, 0.0, 0), series, count)
    flags = _ask(peer.detect, kind, logs)
    return Rate(peer.name, kind.name, count, scale, 0.0, 0, sum(map(bool, flags)), series)


def power(peer: Peer, kind: Kind, count: int, scale: float, step: float, age: int, series: int) -> Rate:
    """Series whose last ``age`` values are 1 + ``step`` times as large, in which a flag is near."""
    logs = kind.draw(_source(kind, count, step, age), series, count)
    logs[:, count - age :] += math.log1p(step)
    flags = _ask(peer.detect, kind, scale * logs)
    seen = sum(any(abs(index - (count - age)) <= NEAR for index in one) for one in flags)
    return Rate(peer.name, kind.name, count, scale, step, age, seen, series)


def rates(own: Peer, peers: tuple[Peer, ...], kinds: tuple[Kind, ...], sizes: Sizes, say: Say) -> list[Rate]:
    """Everything: false alarms at every scale, all steps at the first, what is asked for at the others."""
    found: list[Rate] = []
    for count in LENGTHS:
        for kind in kinds:
            say(f"{own.name}: {kind.name}, {count} values")
            found += [false_alarms(own, kind, count, scale, sizes.nulls) for scale in SCALES]
            for step in STEPS:
                for age in AGES:
                    series = sizes.asked if step == ASKED_STEP and age in ASKED_AGES else sizes.others
                    found.append(power(own, kind, count, SCALES[0], step, age, series))
            for scale in SCALES[1:]:
                found += [power(own, kind, count, scale, ASKED_STEP, age, sizes.asked) for age in ASKED_AGES]
    for count in SHORT:
        say(f"{own.name}: {count} values")
        for kind in kinds:
            found.append(false_alarms(own, kind, count, SCALES[0], sizes.asked))
            found.append(power(own, kind, count, SCALES[0], SHORT_STEP, SHORT_AGE, sizes.asked))
    for peer in peers:
        for count in LENGTHS:
            say(f"{peer.name}: {count} values")
            for kind in (kind for kind in kinds if not kind.told):
                found.append(false_alarms(peer, kind, count, SCALES[0], sizes.peers))
                found += [power(peer, kind, count, SCALES[0], ASKED_STEP, age, sizes.peers) for age in ASKED_AGES]
    return found


def differing(own: Peer, kinds: tuple[Kind, ...], count: int, series: int) -> tuple[int, int]:
    """Of how many series, with a step and without, the flags differ when the logarithms are multiplied by 0.2 or 5."""
    different = total = 0
    for kind in kinds:
        for age in (0, ASKED_AGES[1]):
            logs = kind.draw(_source(kind, count, 1.0, age), series, count)
            if age:
                logs[:, count - age :] += math.log1p(ASKED_STEP)
            plain = _ask(own.detect, kind, logs)
            for scale in (0.2, 5.0):
                scaled = _ask(own.detect, kind, scale * logs)
                different += sum(a != b for a, b in zip(plain, scaled))
                total += series
    return different, total


def _ask(detect: Detector, kind: Kind, logs: np.ndarray) -> list[list[int]]:
    return detect(LEVEL * np.exp(logs), labels(logs.shape[1]) if kind.told else None)


def _source(kind: Kind, count: int, step: float, age: int) -> np.random.Generator:
    """The same series for every detector and every scale."""
    return np.random.default_rng([count, age, round(1000 * step), sum(map(ord, kind.name))])
