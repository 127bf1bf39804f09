"""How runs of several sweeps, devices and kinds are put together to the histories of cases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fiabench.history import upgrading
from fiabench.history.gating import failing
from fiabench.history.series import NOTHING, UNORDERED, Series, read_series
from fiabench.history.store import ASKED, FAILED, Store
from fiabench.results.measurement import Measurement
from tests.history.levels import Planted, history
from tests.history.planted import add, failed, line

RNG = np.random.default_rng(3)
LONGER = {"id": "longer"}
SIMULATED = {
    "device": "npu", "device_name": "simulated 910B3", "simulated": True,
    "simulation": {"plants": [], "spec": {"across": {"nodes": 1}, "node": {"ranks": 8}}},
}  # fmt: skip


def note(path: Path, **asked: Any) -> None:
    """What asv's plugin leaves beside a run directory."""
    known = {"digest": "1", "group": "World1_toy", "filters": [], "device": "auto", "quick": False, "answered": True}
    path.with_suffix(ASKED).write_text(json.dumps(known | asked))


def fail(store: Store, commit: str, time: str, **asked: Any) -> None:
    """An attempt that left nothing but its reason."""
    path = store.runs / "box" / commit / f"2026010{time}-000000-000000"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(path.name + FAILED).write_text("tools/sweep.py run ended with exit code 9\n")
    if asked:
        note(path, **asked)


def read(planted: Planted) -> list[Series]:
    attempts, _ = planted.store.attempts()
    return read_series(planted.store, attempts, lambda name, case: True)


def longer(commit: str) -> Measurement:
    """The case of another sweep."""
    made = line(commit, 2e-3, RNG, **LONGER)
    made.case["seq_len_q"] = 1024
    return made


def of_two_sweeps(place: Path) -> Planted:
    """The toy's sweep at each of four commits, another one at the first three."""
    planted = history(place, [1.0] * 4)
    for commit in planted.hashes:
        note(next((planted.store.runs / "box" / commit).glob("*/run.json")).parent)
    for commit in planted.hashes[:3]:
        note(add(planted.store, commit, [longer(commit)], time="2"), digest="2")
    return planted


@pytest.mark.parametrize("named", [{"cases": ["longer"]}, {}], ids=["named", "known by the same request"])
def test_a_failure_is_one_of_the_cases_that_were_to_be_measured(tmp_path: Path, named: dict[str, Any]) -> None:
    planted = of_two_sweeps(tmp_path)
    toy = planted.toy.commit("", "Commit 4")
    planted.hashes.append(toy)
    fail(planted.store, planted.hashes[3], "3", digest="2", **named)
    fail(planted.store, toy, "3", digest="2", **named)
    statuses = {series.id: [point.status for point in series.points] for series in read(planted)}
    assert statuses.pop("longer") == ["ok"] * 3 + [NOTHING] * 2
    assert list(statuses.values()) == [["ok"] * 4]


def test_where_nobody_knows_what_was_asked_for_all_failed(tmp_path: Path) -> None:
    planted = of_two_sweeps(tmp_path)
    planted.hashes.append(planted.toy.commit("", "Commit 4"))
    fail(planted.store, planted.hashes[4], "3")
    assert [series.points[-1].status for series in read(planted)] == [NOTHING, NOTHING]


def test_a_quick_run_and_a_failure_displace_no_measurement(tmp_path: Path) -> None:
    planted = history(tmp_path, [1.0] * 2, noise=0.0)
    first, second = planted.hashes
    for time, torch in (("2", "2.5.1"), ("3", "2.6.0")):  # the same stack, and another one
        versions = {"versions": {"torch": torch, "numpy": "2.0"}}
        note(add(planted.store, first, [line(first, 9e-3, RNG)], time=time, **versions), quick=True)
    add(planted.store, second, [failed(second, "error", "RuntimeError: busy")], time="2")
    (series,) = read(planted)
    values = [value.value for point in series.points if (value := point.value("total"))]
    assert values == pytest.approx([1e-3, 1e-3], rel=0.01)


def test_a_quick_run_counts_where_there_is_no_other(tmp_path: Path) -> None:
    planted = history(tmp_path, [1.0, None])
    for time, seconds in (("1", 9e-3), ("2", 8e-3)):
        note(add(planted.store, planted.hashes[1], [line(planted.hashes[1], seconds, RNG)], time=time), quick=True)
    (series,) = read(planted)
    found = series.points[1].value("total")
    assert found
    assert found.value == pytest.approx(8e-3, rel=0.01)


def test_an_upgrade_compares_what_counts(tmp_path: Path) -> None:
    planted = history(tmp_path, [1.0])
    (commit,) = planted.hashes
    add(planted.store, commit, [line(commit, 1e-3, RNG), longer(commit)], machine="other")
    note(add(planted.store, commit, [line(commit, 9e-3, RNG), longer(commit)], time="2"), quick=True)
    (runs, others) = upgrading.sides("box", "other", planted.store, "")
    found = {found.id: found for run in runs for found in run.measurements}
    assert len(found) == sum(len(run.lines) for run in runs) == 2
    assert next(one for name, one in found.items() if name != "longer").value("total") == pytest.approx(1e-3, rel=0.05)
    assert len(others) == 1


def test_each_device_has_a_history_of_its_own(tmp_path: Path) -> None:
    planted = history(tmp_path, [1.0] * 3)
    commit = planted.hashes[1]
    add(planted.store, commit, [line(commit, 5e-5, RNG)], time="2", **SIMULATED)
    add(planted.store, commit, [line(commit, 4e-4, RNG)], time="3", device="npu", device_name="Ascend910B3")
    fail(planted.store, planted.hashes[2], "4", device="cpu")
    planted.hashes.append(planted.toy.commit("", "Commit 3"))
    fail(planted.store, planted.hashes[3], "4", device="cpu")
    found = {series.machine: [point.status for point in series.points] for series in read(planted)}
    assert found == {
        "box (cpu)": ["ok"] * 3 + [NOTHING], "box (simulated 910B3)": ["ok"], "box": ["ok"],
    }  # fmt: skip
    planted.store.note_failure("box", planted.hashes[3], "no submodule")
    assert [series.points[-1].status for series in read(planted)] == [NOTHING] * 3


def test_a_run_that_cannot_be_read_is_a_gap_and_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planted = history(tmp_path, [1.0] * 3)
    (header,) = (planted.store.runs / "box" / planted.hashes[2]).glob("*/run.json")
    header.write_text("{broken")
    assert planted.run("gate") == 0
    out = capsys.readouterr().out
    assert "failing" not in out
    assert "passed over:" in out
    (series,) = read(planted)
    assert [point.status for point in series.points] == ["ok", "ok"]


def shown(planted: Planted, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert planted.run(*(arguments or ("show",))) in (0, 1)
    return " ".join(capsys.readouterr().out.split())


def test_a_failure_with_another_cause_is_another_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planted = history(tmp_path, [1.0, 1.0, None, None, None])
    reasons = ["ModuleNotFoundError: no torch_npu", "rank 1: SyntaxError: line 3", "rank 0: SyntaxError: line 7"]
    for commit, reason in zip(planted.hashes[2:], reasons):
        add(planted.store, commit, [failed(commit, "error", reason)])
    (series,) = read(planted)
    assert list(series.endings()) == [(2, 2), (3, 4)]
    assert failing(series) == (1, 3)
    said = shown(planted, capsys)
    assert f"error since {planted.hashes[2][:10]} Commit 2, until {planted.hashes[3][:10]} Commit 3: Module" in said
    assert f"error since {planted.hashes[3][:10]} Commit 3, to this day: rank 1: SyntaxError" in said
    said = shown(planted, capsys, "gate")
    assert f"error since {planted.hashes[3][:10]} Commit 3: rank 0: SyntaxError" in said
    assert f"it failed otherwise since {planted.hashes[2][:10]} Commit 2" in said


def test_what_came_with_commits_that_were_not_measured_is_said_of_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planted = history(tmp_path, [*[1.0] * 12, None, *[1.4] * 10, None, None, "error"], noise=0.002)
    (series,) = read(planted)
    assert [place for place, point in enumerate(series.points) if point.skipped] == [12, 22]
    step, failure = (planted.hashes[place][:10] for place in (13, 25))
    for command in ("show", "gate"):
        said = shown(planted, capsys, command)
        assert f"error since {failure} Commit 25, or at one of the 2 commits that were not measured before it" in said
        assert f"at {step} Commit 13" in said
        assert ", or at the commit that was not measured before it" in said
        assert "bisect` finds out" in said


def test_of_branches_those_commits_count_that_lead_there(tmp_path: Path) -> None:
    """One with two commits of which the second was measured, and the first line's merge of it."""
    planted = history(tmp_path, [1.0])
    toy, place = planted.toy, planted.store
    toy.git("checkout", "--quiet", "-b", "side")
    side = [toy.commit(f"# side {number}", f"Side {number}") for number in range(2)]
    toy.git("checkout", "--quiet", "main")
    toy.git("merge", "--quiet", "--no-ff", "--message", "Merge", "side")
    merge = toy.git("rev-parse", "HEAD")
    add(place, merge, [line(merge, 1e-3, RNG)])
    (series,) = read(planted)
    assert [point.skipped for point in series.points] == [0, 0]  # along the first parents nothing lies between
    add(place, side[1], [line(side[1], 1e-3, RNG)])
    (series,) = read(planted)
    assert [(point.commit.hash, point.skipped) for point in series.points[1:]] == [(side[1], 1), (merge, 0)]


def test_without_its_repository_nothing_is_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planted = history(tmp_path, [*[1.0] * 12, *[1.3] * 11, "error"])
    planted.toy.path.rename(tmp_path / "elsewhere")
    assert planted.run("gate") == 2
    assert UNORDERED in " ".join(capsys.readouterr().err.split())
    said = shown(planted, capsys)
    assert f"box: nothing is judged: {UNORDERED}" in said
    assert f"total: not judged: {UNORDERED}" in said
    assert " since " not in said
    assert "2026-01-02" not in said


def test_commits_that_are_gone_from_the_repository_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planted = history(tmp_path, [1.0] * 12)
    for gone in ("b" * 40, "c" * 40):
        add(planted.store, gone, [line(gone, 5e-3, RNG)])
    said = shown(planted, capsys, "gate")
    assert "nothing worse" in said
    assert "2 of the measured commits are not in the repository, and left out: bbbbbbbbbb, cccccccccc" in said
    assert UNORDERED not in said
