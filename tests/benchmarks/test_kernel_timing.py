"""The table that holds our kernel times against others': verdicts follow from planted seconds."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

PATH = Path(__file__).resolve().parents[2] / "benchmarks" / "kernel_timing.py"


@pytest.fixture(scope="module")
def timing() -> Any:
    spec = importlib.util.spec_from_file_location("kernel_timing", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def lines(medians, covered, status="ok"):
    return [
        {
            "id": "case",
            "status": status,
            "reason": "",
            "case": {"op": "sdpa", "heads": 5, "seq_len_q": 256},
            "metrics": {"kernel": {"value": value}},
            "timing": {"method": "graph", "cross_check": {"0": {"covered_seconds": covered}}},
        }
        for value in medians
    ]


@pytest.mark.parametrize(
    ("ours", "covered", "near"),
    [
        (10e-6, 9e-6, True),  # within 1.5 us
        (11e-6, 9e-6, False),
        (102e-6, 100e-6, True),  # within 3 %
        (104e-6, 100e-6, False),
        (96e-6, 100e-6, False),
        (1.0, None, None),
    ],
)
def test_near_is_three_percent_or_one_and_a_half_microseconds(timing, ours, covered, near):
    (row,) = timing.table(lines([ours], covered), {})
    assert row.near is near


@pytest.mark.parametrize(
    ("medians", "agree"), [([2e-3, 2.03e-3], True), ([2e-3, 2.05e-3], False), ([2e-5, 3e-5], None)]
)
def test_sessions_of_a_millisecond_and_more_have_to_agree(timing, medians, agree):
    (row,) = timing.table(lines(medians, 1.0), {})
    assert row.agree is agree


def test_what_others_gave_stands_beside_and_what_failed_is_told(timing, capsys):
    (row,) = timing.table(lines([1e-3], 1e-3), {"case": {"event_pair": 2e-3, "do_bench": None}})
    assert (row.event_pair, row.do_bench) == (2e-3, None)
    assert timing.table(lines([1e-3], 1e-3, status="crash"), {}) == []
    assert "case: crash" in capsys.readouterr().err
    timing.show([row])
    assert "2,000.0 us" in capsys.readouterr().out
