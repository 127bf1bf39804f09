"""One measurement from the answers of all ranks."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fiabench.measure.one import Outcome
from fiabench.workers.machine import Machine
from fiabench.workers.merge import merge
from tests.ulysses.points import make_case

MACHINE = Machine("cpu", 2, 2**34, 2, {})
CASE = make_case(heads=4, ulysses=2)


def answers(*outcomes: Outcome) -> list[dict[str, Any]]:
    return [{"outcome": asdict(outcome)} for outcome in outcomes]


def measured(kernel: float, host_bound: bool = False) -> Outcome:
    phases = ("pack_in", "exchange_in", "unpack_in", "pack_out", "exchange_out", "unpack_out")
    samples = {phase: [0.001, 0.001] for phase in phases} | {"kernel": [kernel] * 2, "end_to_end": [kernel + 0.006] * 2}
    check = {"passed": True, "max_error": kernel, "tolerance": 0.05, "rows": 16}
    timing = {"host_bound": host_bound, "first_iteration_seconds": 0.1, "sensors": {}, "wanted_half_width": 0.005}
    return Outcome("ok", "", check, timing, samples, 1000)


def test_samples_stand_by_phase_and_rank() -> None:
    merged = merge(CASE, answers(measured(0.01), measured(0.02)), MACHINE, None)
    assert merged.status == "ok"
    assert merged.samples["kernel"] == {"0": [0.01, 0.01], "1": [0.02, 0.02]}
    assert merged.value("kernel") == 0.02
    assert merged.check["max_error"] == 0.02, "the worst rank's check counts"
    assert merged.check["rows"] == 32


def test_one_rank_that_waits_for_its_host_makes_the_number_the_hosts() -> None:
    assert merge(CASE, answers(measured(0.01), measured(0.01, True)), MACHINE, None).timing["host_bound"] is True
    assert merge(CASE, answers(measured(0.01), measured(0.01)), MACHINE, None).timing["host_bound"] is False


def test_a_failure_of_one_rank_is_the_cases_and_names_the_rank() -> None:
    merged = merge(CASE, answers(Outcome("wrong", ""), Outcome("wrong", "head 3: error")), MACHINE, None)
    assert (merged.status, merged.reason) == ("wrong", "rank 1: head 3: error")
    assert merged.metrics == {}


def test_a_failure_of_every_rank_is_told_once() -> None:
    merged = merge(CASE, answers(Outcome("error", "no 1"), Outcome("error", "no 2")), MACHINE, None)
    assert (merged.status, merged.reason) == ("error", "no 1")
