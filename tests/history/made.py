"""Contenders whose durations are known: what two commits would take on a box with a mood of its own."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence

from fiabench.cases.case import Case
from fiabench.history.repository import Commit
from fiabench.results.measurement import Measurement

CASE = Case(
    "kernel", "toy", "BNSD", "fp32", "none", 64, 64, 1, 1, 1, 16, 1, 1, 1, 1, "none", 0, "one", 1
)  # fmt: skip


def commit(name: str) -> Commit:
    return Commit(name * 40, 0, "2026-01-01", f"the commit {name}")


class Box:
    """Where sessions take place one after the other; ``mood`` gives the logarithm of what each adds, by its number."""

    def __init__(self, mood: Callable[[int], float] = lambda number: 0.0) -> None:
        self.mood = mood
        self.sessions: list[str] = []
        """Whose they were, in order."""
        self.alive: set[str] = set()


class Made:
    """A commit that takes ``seconds`` of each case, scattered by ``spread``, and ends as ``ends`` says.

    ``ends`` is asked before each session: a status and a reason, or nothing where it is measured.
    """

    whole = False

    def __init__(
        self,
        name: str,
        box: Box,
        seconds: float = 1.0,
        spread: float = 0.0,
        ends: Callable[[Made], tuple[str, str] | None] = lambda made: None,
    ) -> None:
        self.commit = commit(name)
        self.name = name
        self.box = box
        self.seconds = seconds
        self.spread = spread
        self.ends = ends
        self.draw = random.Random(name)
        self.count = 0
        self.starting = 0.0
        """Seconds."""

    def start(self, case: Case) -> None:
        time.sleep(self.starting)
        self.box.alive.add(self.name)

    def join(self) -> None:
        pass

    def close(self) -> None:
        self.box.alive.discard(self.name)

    def measure(self, cases: Sequence[Case]) -> dict[str, Measurement]:
        self.box.alive.add(self.name)
        return {case.id: self._measure(case) for case in cases}

    def _measure(self, case: Case) -> Measurement:
        self.count += 1
        mood = self.box.mood(len(self.box.sessions))
        self.box.sessions.append(self.name)
        ending = self.ends(self)
        if ending:
            return Measurement(case.id, case.as_dict(), *ending)
        own = self.draw.gauss(0.0, self.spread)
        seconds = [self.seconds * math.exp(mood + own)] * 5
        samples = {"end_to_end": {"0": seconds}, "kernel": {"0": seconds}}
        metrics = {"total": {"value": seconds[0]}, "tokens_per_s": {"value": 1 / seconds[0]}}
        return Measurement(case.id, case.as_dict(), "ok", samples=samples, metrics=metrics)
