"""Which of several measurements of a case at one commit counts: the newest of the best there is."""

from __future__ import annotations

from collections.abc import Iterable

from fiabench.results.measurement import Measurement

LEFT_OUT, FAILED, QUICK, MEASURED = range(4)


def rank(lines: Iterable[Measurement], quick: bool) -> int:
    """Of a case in one run: ``lines`` are its sessions, ``quick`` whether asv asked for three samples alone."""
    there = list(lines)
    if any(line.failed for line in there):
        return FAILED
    if not all(line.measured for line in there):
        return LEFT_OUT
    return QUICK if quick else MEASURED
