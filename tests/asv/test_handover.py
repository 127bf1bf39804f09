"""What a case's end becomes in asv: samples, NaN or None, session by session, and never the same twice."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from fiabench.asv_plugin import benchmark, handover
from fiabench.asv_plugin.names import EXCHANGED, METRICS
from fiabench.cases.case import Case
from fiabench.results.measurement import FAILED, LEFT_OUT, Measurement

SHARED = ("fia", "BNSD", "bf16", "none", 64, 64, 1, 4, 4, 16, 1)
ON_TWO = Case("ulysses", *SHARED, 2, 2, 2, "separate", 0, "one", 0)
ON_ONE = Case("ulysses", *SHARED, 1, 4, 4, "none", 0, "one", 0)
SAMPLES = {
    "end_to_end": {"0": [9.0, 11.0], "1": [10.0, 8.0]},
    "pack_in": {"0": [1.0, 1.0], "1": [1.5, 0.5]},
    "exchange_in": {"0": [2.0, 3.0], "1": [4.0, 1.0]},
    "kernel": {"0": [5.0, 7.0], "1": [6.0, 4.0]},
}


def line(case: Case, status: str, **more: Any) -> Measurement:
    return Measurement(case.id, case.as_dict() | {"device": "cpu"}, status, **more)


def handed(case: Case, status: str, **more: Any) -> dict[str, handover.Handed]:
    return {name: values[0] for name, values in handover.sessions([line(case, status, **more)]).items()}


def is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


@pytest.mark.parametrize("status", sorted(FAILED))
def test_a_failed_case_is_none_and_what_it_never_had_is_nan(status: str) -> None:
    assert handed(ON_TWO, status) == dict.fromkeys(METRICS)
    alone = handed(ON_ONE, status)
    assert {name for name, value in alone.items() if value is None} == set(METRICS) - set(EXCHANGED)
    assert all(is_nan(alone[name]) for name in EXCHANGED)


@pytest.mark.parametrize("status", sorted(LEFT_OUT))
def test_a_case_left_out_is_nan(status: str) -> None:
    assert all(is_nan(value) for value in handed(ON_TWO, status).values())


def test_samples_are_those_behind_the_metric() -> None:
    found = handed(ON_TWO, "ok", samples=SAMPLES, metrics={"peak_memory": {"value": 4096.0, "unit": "B"}})
    assert found["kernel"] == [6.0, 7.0]  # each iteration's slowest rank
    assert found["total"] == [10.0, 11.0]
    assert found["wait"] == [2.0, 2.0]  # beyond what the last to arrive took
    assert found["transfer"] == [2.0, 1.0]
    assert found["all_to_all"] == [1.5 + 2.0, 1.0 + 1.0]
    assert found["peak_memory"] == 4096.0


def test_sessions_stand_in_their_order_and_the_greatest_number_counts() -> None:
    memory = [{"peak_memory": {"value": value, "unit": "B"}} for value in (2.0, 3.0)]
    lines = [line(ON_ONE, "ok", session=1, samples={"end_to_end": {"0": [2.0]}}, metrics=memory[1])]
    lines += [line(ON_ONE, "ok", session=0, samples={"end_to_end": {"0": [1.0]}}, metrics=memory[0])]
    (found,) = handover.by_case(lines).values()
    assert handover.sessions(found)["total"] == [[1.0], [2.0]]
    assert handover.sessions(found)["peak_memory"] == [3.0, 3.0]


def test_why_is_the_first_failures_reason() -> None:
    assert handover.why([line(ON_TWO, "ok"), line(ON_TWO, "crash", reason="rank 1 was killed")]) == "rank 1 was killed"
    assert handover.why([line(ON_TWO, "ok")]) == ""


def test_each_session_is_taken_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    benchmark.store(tmp_path, "kernel", 0, 1, [[1.0, 2.0], [3.0]], "")
    benchmark.store(tmp_path, "total", 0, 1, [[9.0]], "")
    taken = [benchmark.take(tmp_path, "kernel", 0, 1, "") for _ in range(3)]
    assert taken == [{"samples": [1.0, 2.0], "number": 1}, {"samples": [3.0], "number": 1}, None]
    assert "all 2 sessions were handed over before" in capsys.readouterr().err
    assert benchmark.take(tmp_path, "total", 0, 1, "")["samples"] == [9.0]


def test_failures_come_with_their_reason_and_what_was_never_asked_is_nan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    benchmark.store(tmp_path, "kernel", 0, 0, [None, math.nan, 7.0], "out of memory")
    assert benchmark.take(tmp_path, "kernel", 0, 0, "") is None
    assert "out of memory" in capsys.readouterr().err
    assert is_nan(benchmark.take(tmp_path, "kernel", 0, 0, ""))
    assert benchmark.take(tmp_path, "kernel", 0, 0, "") == 7.0
    assert is_nan(benchmark.take(tmp_path, "kernel", 5, 5, ""))
    assert benchmark.take(tmp_path, "kernel", 5, 5, "the engine is broken") is None


def test_a_case_that_was_never_tried_has_no_sessions() -> None:
    assert handover.sessions([]) == {name: [] for name in METRICS}
