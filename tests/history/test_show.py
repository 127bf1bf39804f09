"""`history show` over histories whose truth is planted: tables, spark lines, JSON, what stands out, what changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from fiabench.cli.history import main
from fiabench.cli.history_tables import spark
from fiabench.history.repository import Repository
from fiabench.history.store import FAILED, Store
from tests.history.planted import CASE, add, failed, line
from tests.history.toy import PLAIN, Toy

CRASH = (
    "RuntimeError: call failed\nEZ9999: Inner Error!\n"
    "EZ9999[PID: 1] (EZ9999):  [CheckQShape] shape [1, 5] should be equal to [1, 20].[FUNC:CompareShape]"
)
SHAPE = "[CheckQShape] shape [1, 5] should be equal to [1, 20]."


class History(NamedTuple):
    place: Path
    hashes: list[str]
    store: Store

    def show(self, *arguments: str) -> int:
        return main(["show", "--project", "toy", "--store", str(self.place), *arguments])


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    """Twelve commits: a crash at 3 and 4, a slowdown by half from 7 on, memory twice as much from 9 on, torch anew at
    10, a commit that could not be checked out at 11."""
    place = tmp_path_factory.mktemp("shown")
    toy = Toy(place / "repository")
    hashes = [toy.commit(f"{PLAIN}# {number}\n", f"Commit {number}") for number in range(12)]
    store, rng = Store.of(place, "toy"), np.random.default_rng(1)
    store.configure(Repository(toy.path), place)
    for number, commit in enumerate(hashes[:-1]):
        seconds, memory = 1e-3 * (1.5 if number >= 7 else 1.0), 1e6 * (2 if number >= 9 else 1)
        versions = {"torch": "2.6.0" if number >= 10 else "2.5.1", "numpy": "2.0"}
        made = failed(commit, "error", CRASH) if number in (3, 4) else line(commit, seconds, rng, memory)
        add(store, commit, [made], versions=versions)
    store.note_failure("box", hashes[-1], "asv measured nothing (exit code 1): no submodule")
    return History(place, hashes, store)


@pytest.fixture
def shown(history: History, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert history.show("--json") == 0
    (series,) = json.loads(capsys.readouterr().out)["series"]
    found: dict[str, Any] = series
    return found


def test_commits_stand_in_the_order_of_history(history: History, shown: dict[str, Any]) -> None:
    assert [point["commit"] for point in shown["commits"]] == history.hashes
    assert [point["subject"] for point in shown["commits"]] == [f"Commit {number}" for number in range(12)]
    assert (shown["id"], shown["machine"]) == (CASE.id, "box")
    for number, point in enumerate(shown["commits"]):
        if number in (3, 4, 11):
            assert point["metrics"] == {}
            continue
        total = point["metrics"]["total"]
        assert total["low"] <= total["value"] <= total["high"]
        assert total["value"] == pytest.approx(1.5e-3 if number >= 7 else 1e-3, rel=0.01)


def test_each_event_is_at_its_commit(history: History, shown: dict[str, Any]) -> None:
    steps = {(step["metric"], step["commit"]): step["ratio"] for step in shown["steps"]}
    assert set(steps) == {("total", history.hashes[7]), ("peak_memory", history.hashes[9])}
    assert steps["total", history.hashes[7]] == pytest.approx(1.5, rel=0.02)
    assert steps["peak_memory", history.hashes[9]] == pytest.approx(2)
    crash, lost = shown["failures"]
    assert (crash["status"], crash["first"], crash["last"]) == ("error", history.hashes[3], history.hashes[4])
    assert (lost["first"], lost["reason"]) == (history.hashes[11], "asv measured nothing (exit code 1): no submodule")


def test_a_change_of_the_box_is_told_from_one_of_the_code(history: History, shown: dict[str, Any]) -> None:
    changes = {number: point["changes"] for number, point in enumerate(shown["commits"]) if point["changes"]}
    assert changes == {10: [{"fact": "torch", "before": "2.5.1", "now": "2.6.0"}]}


def test_the_table_says_it_all_in_words(history: History, capsys: pytest.CaptureFixture[str]) -> None:
    assert history.show() == 0
    out = capsys.readouterr().out
    assert "total ▁▁▁✗✗▁▁████✗" in out
    assert f"error since {history.hashes[3][:10]} Commit 3, until {history.hashes[5][:10]} Commit 5: {SHAPE}" in out
    assert f"total +50 % at {history.hashes[7][:10]} Commit 7" in out
    assert f"peak memory +100 % at {history.hashes[9][:10]} Commit 9" in out
    assert "now torch 2.6.0 (was 2.5.1)" in out
    assert "not NPU figures" in out
    (row,) = (text for text in out.splitlines() if "Commit 4 " in text)
    assert f"error: {SHAPE}" in row


def test_a_dumb_terminal_gets_ascii(
    history: History, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert history.show() == 0
    out = capsys.readouterr().out
    assert out.isascii()
    assert "total ___xx__####x" in out


@pytest.mark.parametrize("columns", [120, 80, 60])
def test_no_status_is_lost_on_a_narrow_terminal(
    history: History, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("fiabench.cli.history.console", lambda: Console(force_terminal=True, color_system=None))
    assert history.show() == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(cell_len, lines)) <= columns
    starts = [next(at for at, text in enumerate(lines) if name[:10] in text.split()[:2]) for name in history.hashes]
    for number, (start, end) in enumerate(zip(starts, [*starts[1:], starts[-1] + 4])):
        row = " ".join(" ".join(lines[start:end]).replace("│", " ").split())
        assert f"Commit {number} " in row
        assert ("error: [CheckQShape]" if number in (3, 4) else "asv measured" if number == 11 else "ok") in row


def test_the_newest_run_counts_and_a_failure_takes_nothing_away(
    history: History, capsys: pytest.CaptureFixture[str]
) -> None:
    commit, rng = history.hashes[0], np.random.default_rng(2)
    path = add(history.store, commit, [line(commit, 3e-3, rng)], machine="other", time="1")
    add(history.store, commit, [line(commit, 4e-3, rng)], machine="other", time="2")
    (path.parent / f"20260109-000000-000000{FAILED}").write_text("was not done after 9 s\n")
    assert history.show("--json") == 0
    series = json.loads(capsys.readouterr().out)["series"]
    (point,) = next(one for one in series if one["machine"] == "other")["commits"]
    assert point["metrics"]["total"]["value"] == pytest.approx(4e-3, rel=0.01)


def test_what_another_version_wrote_is_named_and_the_rest_shown(
    history: History, capsys: pytest.CaptureFixture[str]
) -> None:
    commit = history.hashes[1]
    path = add(history.store, commit, [], machine="box", time="2")
    header = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps(header | {"format": 99}))
    try:
        assert history.show() == 0
        out = capsys.readouterr().out
        assert "passed over:" in out
        assert "found format 99" in out
        assert "Commit 1 " in out
    finally:
        (path / "run.json").unlink()


def test_only_what_is_asked_for(history: History, capsys: pytest.CaptureFixture[str]) -> None:
    assert history.show("q512", "--filter", "op=toy", "--metric", "kernel") == 0
    assert "kernel ▁" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "nothing: found no such case; allowed: " + CASE.id),
        (["--metric", "totl"], "did you mean total?"),
        (["--filter", "ops=toy"], "found the unknown field 'ops'"),
        (["--project", "others"], "holds no history; allowed: --project toy"),
        (["--project", "../toy"], "--project: found '../toy'"),
    ],
)
def test_bad_input(history: History, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    assert history.show(*arguments) == 2
    assert said in capsys.readouterr().err


def test_a_spark_line_does_not_blow_noise_up() -> None:
    assert spark([1.0, 1.01, 0.99, None], plain=False) == "▁▂▁✗"
    assert spark([1.0, 2.0, 1.5], plain=True) == "_#="
    assert spark([], plain=True) == ""
