"""What a case's end becomes in asv: samples, NaN or None."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from fiabench.asv_plugin import handover
from fiabench.cases.case import Case
from fiabench.results.measurement import FAILED, LEFT_OUT, Measurement
from fiabench.results.rundir import Run

SHARED = ("fia", "BNSD", "bf16", "none", 64, 64, 1, 4, 4, 16, 1)
ON_TWO = Case("ulysses", *SHARED, 2, 2, 2, "separate", 0, "one", 0)
ON_ONE = Case("ulysses", *SHARED, 1, 4, 4, "none", 0, "one", 0)


def cells(case: Case, status: str, **more: object) -> dict[str, handover.Handed]:
    measurement = Measurement(case.id, case.as_dict() | {"device": "cpu"}, status, **more)  # type: ignore[arg-type]
    (handed,) = handover.hand_over(Run(Path("run"), {}, [measurement])).items()
    cell, values = handed
    assert cell == (64, case.head_shard)
    return values


@pytest.mark.parametrize("status", sorted(FAILED))
def test_a_failed_case_is_none_and_what_it_never_had_is_nan(status: str) -> None:
    assert cells(ON_TWO, status) == dict.fromkeys(handover.METRICS)
    alone = cells(ON_ONE, status)
    assert (alone["kernel"], alone["total"]) == (None, None)
    assert math.isnan(alone["all_to_all"])  # type: ignore[arg-type]
    assert math.isnan(alone["wait"])  # type: ignore[arg-type]


@pytest.mark.parametrize("status", sorted(LEFT_OUT))
def test_a_case_left_out_is_nan(status: str) -> None:
    assert all(math.isnan(value) for value in cells(ON_TWO, status).values())  # type: ignore[arg-type]


def test_samples_are_those_behind_the_metric() -> None:
    samples = {
        "end_to_end": {"0": [9.0, 11.0], "1": [10.0, 8.0]},
        "pack_in": {"0": [1.0, 1.0], "1": [1.5, 0.5]},
        "exchange_in": {"0": [2.0, 3.0], "1": [4.0, 1.0]},
        "kernel": {"0": [5.0, 7.0], "1": [6.0, 4.0]},
    }
    handed = cells(ON_TWO, "ok", samples=samples)
    assert handed["kernel"] == [6.0, 7.0]  # each iteration's slowest rank
    assert handed["total"] == [10.0, 11.0]
    assert handed["wait"] == [2.0, 2.0]  # beyond what the last to arrive took
    assert handed["all_to_all"] == [1.5 + 2.0, 1.0 + 1.0]


def test_reasons_of_failed_cases_are_kept() -> None:
    run = Run(Path("run"), {}, [Measurement(ON_TWO.id, ON_TWO.as_dict(), "crash", reason="rank 1 was killed")])
    assert handover.reasons(run) == {(64, "tp1 x u2"): "rank 1 was killed"}
