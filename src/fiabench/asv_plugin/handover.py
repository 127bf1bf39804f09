"""From a run directory to what asv's benchmarks hand over. Imports no torch."""

from __future__ import annotations

from math import nan
from typing import TypeAlias

from fiabench.results import metrics
from fiabench.results.measurement import Measurement
from fiabench.results.rundir import Run

METRICS = ("kernel", "all_to_all", "wait", "total")
"""Durations, one value an iteration, that asv gets; lower is better, as asv always has it."""
EXCHANGED = frozenset({"all_to_all", "wait"})
"""Those that a case without exchanges does not have."""

Cell = tuple[int, str]
"""Sequence length and head shard."""
Handed: TypeAlias = "list[float] | float | None"
"""Samples in seconds; NaN where the sweep leaves the case or its metric out; None where the case failed."""


def hand_over(run: Run) -> dict[Cell, dict[str, Handed]]:
    """What each measured, failed or left-out case of ``run`` hands over, by cell and metric."""
    return {_cell(measurement): _metrics(measurement) for measurement in run.measurements}


def reasons(run: Run) -> dict[Cell, str]:
    """Why the cases of ``run`` that failed did."""
    return {_cell(measurement): measurement.reason for measurement in run.measurements if measurement.failed}


def _cell(measurement: Measurement) -> Cell:
    return measurement.case["seq_len_q"], measurement.point.head_shard


def _metrics(measurement: Measurement) -> dict[str, Handed]:
    if measurement.failed:
        alone = measurement.case["exchange"] == "none"
        return {name: nan if alone and name in EXCHANGED else None for name in METRICS}
    if not measurement.measured:
        return dict.fromkeys(METRICS, nan)
    series = metrics.series(measurement.point, measurement.samples)
    return {name: series[name].tolist() if name in series else nan for name in METRICS}
