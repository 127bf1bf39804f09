"""`gate --confirm` on real ranks of a toy repository: a false suspect is cleared, a true one upheld.

What the history says is planted; what the commits are is real.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fiabench.history.gating import ALARM, CLEARED, OF_BOX
from tests.history.levels import Level, history
from tests.history.toy import CRASHES, PLAIN, TWICE

COUNT = 16

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize(
    ("text", "newest", "outcome", "verdict"),
    [
        pytest.param(PLAIN, 1.9, CLEARED, "equal", marks=pytest.mark.long),
        pytest.param(TWICE, 1.9, ALARM, "slower", marks=pytest.mark.long),
        (PLAIN, "error", CLEARED, None),
        (CRASHES, "error", ALARM, "fails"),
    ],
)  # fmt: skip
def test_the_newest_commit_fails_the_gate_where_pairs_say_so_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, newest: Level, outcome: str, verdict: str | None
) -> None:
    planted = history(tmp_path, [1.0] * (COUNT - 1) + [newest], texts=[PLAIN] * (COUNT - 1) + [text])
    summary = tmp_path / "summary.md"
    arguments = ["--confirm", "--machine", "box", "--device", "cpu", "--min-effect", "20%", "--budget", "4m"]
    code = planted.run("gate", *arguments, "--json", "--markdown", summary)
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert (finding["outcome"], code) == (outcome, int(outcome == ALARM)), finding
    assert finding["commit"] == planted.hashes[-1]
    if verdict:
        assert finding["verdict"]["verdict"] == verdict
    assert f"**{'Worse, and the code' if code else 'Cleared by measuring in turns'}" in summary.read_text()


@pytest.mark.long
def test_pairs_on_one_box_decide_whose_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The commits are alike, and the stack changed where the history steps."""
    levels: list[Level] = [1.0] * 8 + [1.9] * 8
    planted = history(tmp_path, levels, facts={0: {"cann": "8.0"}, 8: {"cann": "8.1"}})
    arguments = ["--confirm", "--machine", "box", "--device", "cpu", "--min-effect", "20%", "--budget", "4m"]
    assert planted.run("gate", *arguments, "--json") == 0
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert finding["fault"]["whose"] == "undecided"
    assert (finding["outcome"], finding["verdict"]["verdict"]) == (OF_BOX, "equal")


def test_what_cannot_be_measured_here_says_so_and_fails_as_it_did(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def finding(*arguments: str) -> dict[str, Any]:
        assert planted.run("gate", "--confirm", "--json", *arguments) == 1
        (found,) = json.loads(capsys.readouterr().out)["findings"]
        assert found["verdict"] is None
        return dict(found)

    planted = history(tmp_path, [1.0] * 8 + [1.9] * 8)
    other = tmp_path / "other.yaml"
    other.write_text((tmp_path / "sweep.yaml").read_text().replace("512", "64"))
    said = finding("--machine", "box", "--sweep", str(other))["unconfirmed"]
    assert said == "toy has no such case"
