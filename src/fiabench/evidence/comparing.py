"""How often two runs are told apart rightly, on sessions whose truth is known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fiabench.evidence.noise import sessions
from fiabench.stats.compare import FASTER, NOMINAL, SLOWER, compare
from fiabench.stats.sessions import over_sessions, spread_between

BETWEEN = 0.003
"""Standard deviation between sessions."""
CHANGE = 0.02
"""Planted into B, relative."""
CHANGED = frozenset({SLOWER, FASTER})


class Compared(NamedTuple):
    """The rates of every kind of comparison."""

    alone: dict[int, tuple[dict[str, float], dict[str, float]]]
    """By the sessions of a side: without a change, and with one of CHANGE."""
    pooled: dict[str, float]
    """Three sessions a side, 20 cases, one of them changed."""
    discoveries: dict[float, dict[str, float]]
    """By the part of 100 cases that changed."""


def study(seeds: int) -> Compared:
    """Everything, with as many pairs as ``seeds``, a fifth as many runs of 20 cases and a tenth of 100."""
    pairs, runs, large = (max(1, seeds // part) for part in (1, 5, 10))
    return Compared(
        {count: (alone(pairs, count, 0.0), alone(pairs, count, CHANGE)) for count in (8, 3)},
        pooled(runs, 20, 3, CHANGE),
        {part: discoveries(large, 100, 3, part, CHANGE) for part in (0.0, 0.1, 0.5)},
    )


def alone(seeds: int, count: int, change: float) -> dict[str, float]:
    """One case with ``count`` sessions a side, B slower by ``change``: how often changed, undecided, how often what
    was visible is told, and what that was at the median."""
    found = []
    for seed in range(seeds):
        source = np.random.default_rng([seed, count, round(1e4 * change)])
        a = sessions(source, count, 1.0, BETWEEN)
        b = sessions(source, count, 1.0 + change, BETWEEN)
        found += compare([(a, b)])
    verdicts = [difference.verdict for difference in found]
    return {
        "changed": sum(verdict in CHANGED for verdict in verdicts) / seeds,
        "undecided": verdicts.count("undecided") / seeds,
        "told": sum(difference.visible is not None for difference in found) / seeds,
        "median_visible": float(np.median([difference.visible or np.nan for difference in found])),
    }


def pooled(runs: int, cases: int, count: int, change: float, alike: bool = True) -> dict[str, float]:
    """``cases`` with ``count`` sessions a side, the first slower by ``change``: how often it is found, and how often
    noise alone passes the nominal bound in the others, one by one. Cases that are not ``alike`` differ between
    sessions by factors (log-normal, 0.5)."""
    found, passed = 0, []
    for run in range(runs):
        source = np.random.default_rng([run, cases, count])
        pairs = []
        for case in range(cases):
            loudness = 1.0 if alike else float(np.exp(0.5 * source.standard_normal()))
            a = sessions(source, count, 1.0, loudness * BETWEEN)
            b = sessions(source, count, 1.0 + change * (case == 0), loudness * BETWEEN)
            pairs.append((a, b))
        judged = compare(pairs)
        found += judged[0].verdict == SLOWER
        passed += [difference.chance is not None and difference.chance <= NOMINAL for difference in judged[1:]]
    return {"found": found / runs, "unchanged_past_nominal": float(np.mean(passed))}


def discoveries(runs: int, cases: int, count: int, part: float, change: float) -> dict[str, float]:
    """``cases`` at once of which ``part`` changed: the mean part of the reported changes that are none, and of the
    changes that are reported."""
    false, power = [], []
    for run in range(runs):
        source = np.random.default_rng([run, cases, round(100 * part)])
        changed = source.random(cases) < part
        pairs = [
            (sessions(source, count, 1.0, BETWEEN), sessions(source, count, 1.0 + change * own, BETWEEN))
            for own in changed
        ]
        reported = np.array([difference.verdict in CHANGED for difference in compare(pairs)])
        false.append((reported & ~changed).sum() / max(1, reported.sum()))
        if changed.any():
            power.append((reported & changed).sum() / changed.sum())
    rates = {"false_discoveries": float(np.mean(false))}
    return rates | ({"found": float(np.mean(power))} if power else {})


def coverage(seeds: int, count: int, others: int) -> float:
    """How often the interval over ``count`` sessions holds the truth, their spread pooled with that of ``others`` cases
    of three sessions each; with one session and no others it is the interval within the session."""
    covered = 0
    for seed in range(seeds):
        source = np.random.default_rng([seed, count, others])
        prior = spread_between([sessions(source, 3, 1.0, BETWEEN) for _ in range(others)]) if others else None
        found = over_sessions(sessions(source, count, 1.0, BETWEEN), prior)
        covered += found.low <= 1 <= found.high
    return covered / seeds
