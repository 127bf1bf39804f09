"""What the detector is given of a history, and how its answers get their commits back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fiabench.history.detecting import Judged, detect_changes
from fiabench.history.series import Series, read_series
from tests.history.levels import Level, Planted, history, set_times
from tests.history.planted import CASE


def series_of(planted: Planted) -> Series:
    attempts, unreadable = planted.store.attempts()
    assert not unreadable
    (found,) = read_series(planted.store, attempts, lambda name, case: True)
    return found


def judged(planted: Planted, metric: str = "total") -> Judged:
    (found,) = detect_changes([series_of(planted)], [metric])
    return found


def test_a_change_across_commits_that_were_not_measured_may_be_of_any_of_them(tmp_path: Path) -> None:
    levels: list[Level] = [1.0] * 10 + ["error", None, "wrong"] + [1.4] * 10
    planted = history(tmp_path, levels)
    found = judged(planted)
    (change,) = found.changes
    # The commit that has no run at all is no point of the series.
    assert [found.series.points[place].commit.subject for place in (change.before, change.first, change.at)] == [
        "Commit 9", "Commit 10", "Commit 13",
    ]  # fmt: skip
    assert change.low < 0.4 < change.high
    assert found.level(change.before) == pytest.approx(1e-3, rel=0.02)
    assert found.level(found.newest) == pytest.approx(1.4e-3, rel=0.02)


def test_values_are_those_of_the_points(tmp_path: Path) -> None:
    found = judged(history(tmp_path, [1.0, "crash", 1.0, 1.0]))
    assert [value is None for value in found.values] == [False, True, False, False]
    assert found.newest == 3
    assert found.level_at_most(1) == found.level(0)


@pytest.mark.parametrize(
    ("minutes", "sittings"),
    [
        ([0, 2, 4, 6], [0, 0, 0, 0]),
        ([6, 4, 2, 0], [0, 0, 0, 0]),
        ([0, 2, 600, 602], [0, 0, 1, 1]),
        ([600, 0, 602, 2], [1, 0, 1, 0]),
        ([0, 31, 63, 90], [0, 0, 1, 1]),
    ],
)  # fmt: skip
def test_runs_that_follow_each_other_are_of_one_sitting(
    tmp_path: Path, minutes: list[float], sittings: list[int]
) -> None:
    planted = history(tmp_path, [1.0] * 4)
    set_times(planted, minutes)
    assert [point.sitting for point in series_of(planted).points] == sittings


def test_what_moves_with_the_sittings_is_not_taken_for_the_code(tmp_path: Path) -> None:
    """Six sittings of five commits, of which each is off by three percent or so; memory knows nothing of it."""
    rng = np.random.default_rng(3)
    moods = np.repeat(np.exp(0.03 * rng.standard_normal(6)), 5)
    memory = [1e6] * 20 + [1.5e6] * 10
    planted = history(tmp_path, list(moods), noise=0.003, memory=memory)
    set_times(planted, [300 * (number // 5) + 2 * (number % 5) for number in range(30)])
    assert not judged(planted).changes
    (change,) = judged(planted, "peak_memory").changes
    assert change.at == 20


def test_all_cases_and_metrics_are_judged_in_the_order_asked_for(tmp_path: Path) -> None:
    series = series_of(history(tmp_path, [1.0] * 12))
    found = detect_changes([series, series], ["peak_memory", "total", "wait"])
    assert [one.metric for one in found] == ["peak_memory", "total"] * 2
    assert found[0].series.id == CASE.id


def test_an_interval_that_reaches_below_zero_keeps_nobody_from_judging(tmp_path: Path) -> None:
    planted = history(tmp_path, [1.0] * 10 + [1.5] * 10)
    (cases,) = (planted.store.runs / "box" / planted.hashes[3]).glob("*/cases.jsonl")
    measurement = json.loads(cases.read_text())
    measurement["metrics"]["total"] |= {"low": -1e-3, "high": 4e-3}
    cases.write_text(json.dumps(measurement) + "\n")
    found = judged(planted)
    assert not found.abstains
    assert [change.at for change in found.changes] == [10]
