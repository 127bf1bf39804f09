"""Series with drawn values, in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fiabench.history.repository import Commit
from fiabench.history.series import Point, Series
from fiabench.results.measurement import Measurement
from tests.history.planted import CASE

STACK = {"torch": "2.5.1"}


def commits(count: int) -> list[Commit]:
    return [Commit(f"{number:040x}", number, "2026-01-01", f"Commit {number}") for number in range(count)]


def series(levels: Mapping[str, Sequence[float]], seed: int = 1, noise: float = 0.01, op: str = "toy") -> Series:
    """The toy's case, or ``op``'s, on the box, each of its metrics around ``levels``, one a commit."""
    rng = np.random.default_rng(seed)
    case = CASE._replace(op=op)
    values = {name: np.array(own) * np.exp(noise * rng.standard_normal(len(own))) for name, own in levels.items()}
    (count,) = {len(own) for own in values.values()}
    found = Series("box", case.id, case)
    for place, commit in enumerate(commits(count)):
        metrics = {name: {"value": float(own[place])} for name, own in values.items()}
        line = Measurement(case.id, case.as_dict(), "ok", metrics=metrics)
        found.points.append(Point(commit, "ok", "", line, STACK, []))
    return found
