"""Whose fault a planted step is: through real histories whose box changed, or did not, at the step."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fiabench.history.blame import BOX, CODE, UNDECIDED
from fiabench.history.detecting import Judged, detect_changes
from fiabench.history.series import read_series
from tests.history.levels import Planted, history
from tests.history.planted import add, failed, line

OLD = {"versions": {"torch": "2.5.1", "torch_npu": "2.5.1"}, "cann": "8.0"}
NEW = {"versions": {"torch": "2.5.1", "torch_npu": "2.6.0"}, "cann": "8.1"}


def judged(planted: Planted) -> Judged:
    attempts, _ = planted.store.attempts()
    (found,) = detect_changes(read_series(planted.store, attempts, lambda name, case: True), ["total"])
    return found


def stepping(place: Path, stack_at: int) -> Planted:
    """A slowdown by 30 % at commit 8, and another stack from ``stack_at`` on."""
    return history(place, [1.0] * 8 + [1.3] * 8, facts={0: OLD, stack_at: NEW})


@pytest.mark.parametrize(("stack_at", "whose"), [(4, CODE), (8, UNDECIDED), (12, CODE)])
def test_a_step_is_the_code_s_unless_the_box_changed_with_it(tmp_path: Path, stack_at: int, whose: str) -> None:
    (change,) = judged(stepping(tmp_path, stack_at)).changes
    assert change.at == 8
    assert change.fault.whose == whose
    if whose == UNDECIDED:
        assert "torch_npu 2.5.1 -> 2.6.0" in change.fault.why
        assert "cann 8.0 -> 8.1" in change.fault.why


@pytest.mark.parametrize(("commit", "stack", "level", "whose"), [
    (7, NEW, 1.3, BOX), (7, NEW, 1.0, CODE), (8, OLD, 1.0, BOX), (8, OLD, 1.3, CODE),
])  # fmt: skip
def test_a_commit_that_was_measured_on_both_stacks_decides(
    tmp_path: Path, commit: int, stack: dict[str, object], level: float, whose: str
) -> None:
    """Whether the other stack's run came before the history's own or after it."""
    planted = stepping(tmp_path, 8)
    rng = np.random.default_rng(5)
    for time in ("0", "2"):
        again = line(planted.hashes[commit], 1e-3 * level, rng)
        path = add(planted.store, planted.hashes[commit], [again], time=time, **stack)
        found = judged(planted)
        assert [change.fault.whose for change in found.changes] == [whose], time
        for file in path.iterdir():
            file.unlink()
        path.rmdir()


def test_a_failure_that_came_with_the_stack_is_decided_alike(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planted = history(tmp_path, [1.0] * 8 + ["error"] * 2, facts={0: OLD, 8: NEW})

    def whose() -> str:
        capsys.readouterr()
        assert planted.run("gate", "--json") == 0
        (finding,) = json.loads(capsys.readouterr().out)["findings"]
        assert finding["metric"] == "status"
        return str(finding["fault"]["whose"])

    assert whose() == UNDECIDED
    reason = "RuntimeError: query shape [1, 5], not [1, 20]"
    add(planted.store, planted.hashes[7], [failed(planted.hashes[7], "error", reason)], time="0", **NEW)
    assert whose() == BOX


def test_of_a_commit_where_nothing_ran_no_stack_is_called_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planted = history(tmp_path, [1.0, None])
    planted.store.note_failure("box", planted.hashes[1], "no submodule")
    assert planted.run("gate") == 1
    out = capsys.readouterr().out
    assert "nothing is known, as nothing ran" in out
    assert "are the same" not in out


def test_other_machines_are_other_histories(tmp_path: Path) -> None:
    planted = history(tmp_path, [1.0] * 16)
    rng = np.random.default_rng(2)
    for commit in planted.hashes:
        add(planted.store, commit, [line(commit, 3e-3, rng)], machine="slow")
    attempts, _ = planted.store.attempts()
    found = detect_changes(read_series(planted.store, attempts, lambda name, case: True), ["total"])
    assert [one.series.machine for one in found] == ["box", "slow"]
    assert not any(one.changes for one in found)
