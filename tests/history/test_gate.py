"""`history gate` over histories whose truth is planted: what fails it, what does not, and what it says of the rest."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fiabench.history.gating import ALARM
from fiabench.history.store import Store
from tests.history.levels import CASE, Level, Planted, history
from tests.history.planted import add, line

Gated = Callable[..., dict[str, Any]]


@pytest.fixture
def gated(capsys: pytest.CaptureFixture[str]) -> Gated:
    """What the gate says of a history; its exit code has to fit that."""

    def run(planted: Planted, *arguments: object) -> dict[str, Any]:
        capsys.readouterr()
        code = planted.run("gate", "--json", *arguments)
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert code == (0 if found["passes"] else 1)
        return found

    return run


def alarms(planted: Planted, found: dict[str, Any]) -> set[tuple[str, int]]:
    """Metric and number of the commit."""
    return {
        (finding["metric"], planted.hashes.index(finding["commit"]))
        for finding in found["findings"]
        if finding["outcome"] == ALARM
    }


@pytest.mark.parametrize(
    ("levels", "wanted"),
    [
        ([1.0] * 24, set()),
        ([1.0] * 12 + [1.2] * 12, {("total", 12)}),
        ([1.0] * 12 + [0.8] * 12, set()),
        ([1.0] * 8 + [1.2] * 8 + [1.0] * 8, set()),
        ([1.0] * 8 + [1.2] * 8 + [1.05] * 8, set()),
        ([1.0] * 8 + [1.2] * 8 + [1.17] * 8, {("total", 8)}),
        ([1.0] * 8 + [0.8] * 8 + [1.0] * 8, {("total", 16)}),
        ([1.0] * 8 + [1.2] * 8 + [1.5] * 8, {("total", 8), ("total", 16)}),
        ([1.0] * 20 + ["error"] * 4, {("status", 20)}),
        ([1.0] * 12 + ["wrong"] * 4 + [1.0] * 8, set()),
        ([1.0] * 12 + ["crash", "wrong"], {("status", 13)}),
        (["error"] * 4, set()),
        ([1.0] * 12 + ["unsupported"] * 2, set()),
    ],
)  # fmt: skip
def test_what_stands_for_the_worse_at_the_newest_commit_fails_it(
    tmp_path: Path, gated: Gated, levels: list[Level], wanted: set[tuple[str, int]]
) -> None:
    planted = history(tmp_path, levels)
    assert alarms(planted, gated(planted)) == wanted


def test_a_quiet_case_has_beside_it_what_would_have_been_seen(tmp_path: Path, gated: Gated) -> None:
    small = gated(history(tmp_path / "a", [1.0] * 24, noise=0.005))["quiet"]
    large = gated(history(tmp_path / "b", [1.0] * 24, noise=0.03))["quiet"]
    visible = [next(one["visible"] for one in quiet if one["metric"] == "total") for quiet in (small, large)]
    assert 0.005 < visible[0] < visible[1] < 0.5


def test_memory_that_is_the_same_at_every_commit_steps_where_it_does(tmp_path: Path, gated: Gated) -> None:
    planted = history(tmp_path, [1.0] * 12, memory=[2**20] * 10 + [2**20 + 4096] * 2)
    assert alarms(planted, gated(planted)) == {("peak_memory", 10)}
    assert alarms(planted, gated(planted, "--min-effect", "1%")) == set()
    assert alarms(planted, gated(planted, "--metric", "total")) == set()


def test_what_the_newest_run_alone_says_is_a_suspect(tmp_path: Path, gated: Gated) -> None:
    planted = history(tmp_path, [1.0] * 11 + [1.5], memory=[2**20] * 11 + [2**20 + 4096])
    found = gated(planted)
    assert found["passes"]
    assert {(one["metric"], one["outcome"], one["commit"]) for one in found["findings"]} == {
        (metric, "suspect", planted.hashes[-1]) for metric in ("total", "peak_memory")
    }
    assert all(" confirm " in one["decide"] for one in found["findings"])


def test_less_than_the_least_effect_is_listed_and_fails_nothing(tmp_path: Path, gated: Gated) -> None:
    planted = history(tmp_path, [1.0] * 12 + [1.1] * 12)
    assert alarms(planted, gated(planted, "--min-effect", "8%")) == {("total", 12)}
    found = gated(planted, "--min-effect", "12%")
    assert [finding["outcome"] for finding in found["findings"]] == ["small"]


@pytest.mark.parametrize(
    ("base", "wanted"), [(2, {8, 16}), (7, {8, 16}), (8, {16}), (15, {16}), (16, set()), (23, set())]
)
def test_a_named_base_is_held_against_what_came_after_it(
    tmp_path: Path, gated: Gated, base: int, wanted: set[int]
) -> None:
    planted = history(tmp_path, [1.0] * 8 + [1.2] * 8 + [1.5] * 8)
    found = gated(planted, "--base", planted.hashes[base])
    assert alarms(planted, found) == {("total", place) for place in wanted}
    for finding in found["findings"]:
        level = 1.0 if base < 8 else 1.2
        assert finding["ratio"] == pytest.approx(1.5 / level, rel=0.03)


def test_as_of_a_commit_later_ones_and_other_branches_do_not_count(tmp_path: Path, gated: Gated) -> None:
    planted = history(tmp_path, [1.0] * 12 + [1.3] * 12)
    planted.toy.git("checkout", "--quiet", "-b", "side", planted.hashes[11])
    asides, rng = [planted.toy.commit(f"# aside {text}\n", "Aside") for text in "ab"], np.random.default_rng(4)
    for aside in asides:
        add(planted.store, aside, [line(aside, 5e-3, rng)])
    assert gated(planted, "--at", planted.hashes[11])["passes"]
    planted.hashes.extend(asides)
    assert alarms(planted, gated(planted, "--at", "side")) == {("total", 24)}
    assert alarms(planted, gated(planted, "--at", "main")) == {("total", 12)}


def test_better_than_the_named_base_is_no_alarm_though_it_was_better_yet(tmp_path: Path, gated: Gated) -> None:
    planted = history(tmp_path, [1.5] * 8 + [1.0] * 8 + [1.2] * 8)
    assert alarms(planted, gated(planted)) == {("total", 16)}
    assert alarms(planted, gated(planted, "--base", planted.hashes[3])) == set()


def test_what_fails_at_the_base_already_fails_nothing(tmp_path: Path, gated: Gated) -> None:
    planted = history(tmp_path, [1.0] * 10 + ["error"] * 6)
    assert alarms(planted, gated(planted, "--base", planted.hashes[9])) == {("status", 10)}
    found = gated(planted, "--base", planted.hashes[12])
    assert found["passes"]
    assert "at the base already" in found["unjudged"][0]["why"]


def test_the_accepted_change_leaves_the_gate_stays_visible_and_is_the_base(
    tmp_path: Path, gated: Gated, capsys: pytest.CaptureFixture[str]
) -> None:
    planted = history(tmp_path, [1.0] * 8 + [1.2] * 8 + [1.5] * 8)
    assert planted.run("accept", "toy", planted.hashes[8], "--reason", "needed by #12") == 0
    found = gated(planted)
    assert alarms(planted, found) == {("total", 16)}
    assert [(one["metric"], one["reason"]) for one in found["accepted"]] == [("total", "needed by #12")]
    assert planted.run("accept", "toy", planted.hashes[16], "--reason", "and by #13") == 0
    assert gated(planted)["passes"]
    capsys.readouterr()
    assert planted.run("show") == 0
    out = capsys.readouterr().out
    assert "; accepted: needed by #12" in out
    assert "; accepted: and by #13" in out


def test_an_accepted_failure_leaves_the_gate_until_it_is_another(tmp_path: Path, gated: Gated) -> None:
    planted = history(tmp_path, [1.0] * 10 + ["error"] * 2)
    assert planted.run("accept", "toy", planted.hashes[10], "--reason", "known", "--metric", "status") == 0
    assert gated(planted)["passes"]
    rng = np.random.default_rng(3)
    commits = [planted.toy.commit("# anew\n", "Mend it"), planted.toy.commit("# anew 2\n", "Break it")]
    add(planted.store, commits[0], [line(commits[0], 1e-3, rng)])
    path = add(planted.store, commits[1], [])
    (path.parent / f"{path.name}.failed").write_text("was not done after 9 s\n")
    planted.hashes.extend(commits)
    assert alarms(planted, gated(planted)) == {("status", 13)}


def test_an_entry_that_accepts_nothing_is_named(tmp_path: Path, gated: Gated) -> None:
    planted = history(tmp_path, [1.0] * 16)
    file = tmp_path / "accepted.yaml"
    entry = {"case": "toy", "commit": planted.hashes[5], "metric": "total", "reason": "once"}
    file.write_text(json.dumps([entry, entry | {"case": "no such case"}]))
    found = gated(planted, "--accepted", file)
    assert [(one["case"], one["reason"]) for one in found["stale"]] == [("toy", "once")]


def test_a_reference_case_takes_the_box_s_moods_out(tmp_path: Path, gated: Gated) -> None:
    """The box has a mood at each commit, and is slower by a fifth from commit 8 on; the code is slower from 16 on."""
    planted = history(tmp_path, [None] * 24)
    rng = np.random.default_rng(1)
    moods = np.exp(0.05 * rng.standard_normal(24) + np.log(1.2) * (np.arange(24) >= 8))
    for number, commit in enumerate(planted.hashes):
        own, still = (
            line(commit, 1e-3 * level * moods[number] * float(np.exp(0.005 * rng.standard_normal())), rng)
            for level in (1.3 if number >= 16 else 1.0, 1.0)
        )
        still.id = still.id.replace("toy", "sdpa")
        still.case = still.case | {"op": "sdpa"}
        add(planted.store, commit, [own, still])
    assert alarms(planted, gated(planted, "toy", "--metric", "total")) != {("total", 16)}
    assert alarms(planted, gated(planted, "toy", "--metric", "total", "--reference", "sdpa")) == {("total", 16)}


def test_the_summary_for_a_pull_request_names_the_case_the_commit_and_why(tmp_path: Path) -> None:
    planted = history(tmp_path, [1.0] * 12 + [1.3] * 12)
    file = tmp_path / "summary.md"
    assert planted.run("gate", "--markdown", file) == 1
    text = file.read_text()
    assert text.startswith("### Performance: 1 worse\n")
    (row,) = (line for line in text.splitlines() if line.startswith("| toy"))
    assert f"at {planted.hashes[12][:10]} Commit 12 |" in row
    assert "the code's" in row
    assert f"confirm {planted.hashes[11][:10]} {planted.hashes[23][:10]} --project toy=" in row
    assert "<details><summary>Quiet, and what would have been seen: 1</summary>" in text


def test_on_the_terminal_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planted = history(tmp_path, [1.0] * 12 + [1.3] * 12)
    assert planted.run("gate") == 1
    out = capsys.readouterr().out
    assert out.startswith("1 worse\n")
    assert f"at {planted.hashes[12][:10]} Commit 12" in out
    assert "peak memory: no change; any change for good would have been seen" in out


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_commits_are_not_judged_and_said_so(tmp_path: Path, gated: Gated, count: int) -> None:
    planted = history(tmp_path, [1.0] * (count - 1) + [3.0])
    found = gated(planted)
    assert found["passes"]
    assert {one["metric"] for one in found["unjudged"]} == {"total", "peak_memory"}
    assert all(one["why"] for one in found["unjudged"])


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), 0.0, -1.0])
def test_what_is_no_duration_is_not_judged_and_said_so(tmp_path: Path, gated: Gated, odd: float) -> None:
    planted = history(tmp_path, [1.0] * 12)
    (cases,) = (planted.store.runs / "box" / planted.hashes[5]).glob("*/cases.jsonl")
    measurement = json.loads(cases.read_text())
    measurement["metrics"]["total"]["value"] = odd
    cases.write_text(json.dumps(measurement) + "\n")
    found = gated(planted)
    (one,) = found["unjudged"]
    assert one["metric"] == "total"
    assert f"found {odd:g}" in one["why"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "nothing: found no such case; allowed: " + CASE.id),
        (["--base", "nowhere"], "--base nowhere: is no commit of"),
        (["--at", "nowhere"], "--at nowhere: is no commit of"),
        (["--accepted", "no-such.yaml"], "--accepted: found no file no-such.yaml"),
        (["--machine", "moon"], "--machine: found 'moon'; allowed: box"),
        (["--min-effect", "much"], "found 'much'; allowed: percent above 0"),
        (["--min-effect", "-3%"], "found '-3%'; allowed: percent above 0"),
        (["--budget", "soon"], "found 'soon'"),
        (["--metric", "totl"], "did you mean total?"),
        (["--reference", "toys"], "--reference toys: found 0 such cases; allowed: one of " + CASE.id),
        (["--markdown", "no/such/folder/summary.md"], "--markdown no/such/folder/summary.md: found no folder"),
    ],
)  # fmt: skip
def test_bad_input(quiet: Planted, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    assert quiet.run("gate", *arguments) == 2
    assert said in capsys.readouterr().err


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return history(tmp_path_factory.mktemp("quiet"), [1.0] * 4)


def test_an_empty_history_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toy = history(tmp_path, [None])
    assert toy.run("gate") == 2
    assert "holds no history; allowed: none yet" in capsys.readouterr().err
    Store.of(tmp_path, "toy").note_failure("box", toy.hashes[0], "asv measured nothing")
    assert toy.run("gate") == 2
    assert "no case was measured: asv measured nothing" in capsys.readouterr().err
