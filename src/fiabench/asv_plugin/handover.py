"""From a run directory to what asv's benchmarks hand over. Imports no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from math import nan
from typing import TypeAlias

from fiabench.asv_plugin.names import METRICS, NUMBERS
from fiabench.asv_plugin.placing import metrics as metrics_of
from fiabench.results.measurement import Measurement
from fiabench.results.metrics import series

Handed: TypeAlias = "list[float] | float | None"
"""Samples in seconds, or a number; NaN where the case or its metric was left out; None where the case failed."""


def by_case(lines: Iterable[Measurement]) -> dict[str, list[Measurement]]:
    """The lines of a run by case id, in the order of their sessions."""
    found: dict[str, list[Measurement]] = defaultdict(list)
    for line in sorted(lines, key=lambda line: line.session):
        found[line.id].append(line)
    return found


def sessions(lines: list[Measurement]) -> dict[str, list[Handed]]:
    """What each session of one case hands over, by metric; of a number the greatest of the sessions every time."""
    each = [_one(line) for line in lines]
    found = {name: [handed[name] for handed in each] for name in METRICS}
    for name in NUMBERS:
        numbers = [value for value in found[name] if isinstance(value, float)]
        if numbers and len(numbers) == len(each):
            found[name] = [max(numbers)] * len(each)
    return found


def why(lines: list[Measurement]) -> str:
    """Why the case failed, in the first session that did; empty where none did."""
    return next((line.reason or line.status for line in lines if line.failed), "")


def _one(line: Measurement) -> dict[str, Handed]:
    has = metrics_of(line.point)
    if line.failed:
        return {name: None if name in has else nan for name in METRICS}
    if not line.measured:
        return dict.fromkeys(METRICS, nan)
    samples = series(line.point, line.samples)
    handed: dict[str, Handed] = {}
    for name in METRICS:
        if name in NUMBERS:
            value = line.value(name)
            handed[name] = nan if value is None else value
        else:
            handed[name] = samples[name].tolist() if name in has and name in samples else nan
    return handed
