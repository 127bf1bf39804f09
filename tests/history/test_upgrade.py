"""`history upgrade`: one code on two software stacks, whose difference is planted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fiabench.cli.history import main
from fiabench.history.repository import Repository
from fiabench.history.store import Store
from fiabench.results.measurement import Measurement
from tests.history.planted import add, line, write_run
from tests.history.toy import PLAIN, Toy

OLD, NEW = {"torch": "2.5.1", "torch_npu": "2.5.1"}, {"torch": "2.6.0", "torch_npu": "2.6.0"}
COMMIT = "a" * 40


def sessions(seconds: float, seed: int, commit: str = COMMIT) -> list[Measurement]:
    """Six sessions that differ by 0.2 %, so that a difference can be judged."""
    rng = np.random.default_rng(seed)
    return [
        line(commit, seconds * (1 + 0.002 * float(rng.standard_normal())), rng, session=session) for session in range(6)
    ]


@pytest.fixture
def stacks(tmp_path: Path) -> tuple[Path, Path]:
    """The same code; the new stack is slower by a tenth."""
    old = write_run(tmp_path / "old", sessions(1.0e-3, 1), versions=OLD, cann="8.0.0")
    new = write_run(tmp_path / "new", sessions(1.1e-3, 2), versions=NEW, cann="8.1.0")
    return old, new


def test_the_stack_s_changes_come_first_and_then_what_they_cost(
    stacks: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["upgrade", *map(str, stacks)]) == 1
    out = capsys.readouterr().out
    assert f"same code: toy {COMMIT}" in out
    for said in ("torch: 2.5.1 -> 2.6.0", "torch_npu: 2.5.1 -> 2.6.0", "cann: 8.0.0 -> 8.1.0"):
        assert 0 <= out.index(said) < out.index("slower")
    assert "numpy" not in out.partition("slower")[0]


def test_more_sessions_are_advised_by_an_option_that_there_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    single = [write_run(tmp_path / str(seed), sessions(1.0e-3, seed)[:1], versions=OLD) for seed in (1, 2)]
    main(["upgrade", *map(str, single)])
    assert "three and more of each side (run --sessions 3)" in " ".join(capsys.readouterr().out.split())


def test_the_other_way_round_nothing_is_worse(stacks: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["upgrade", *map(str, reversed(stacks)), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {fact["fact"]: (fact["a"], fact["b"]) for fact in found["stack"]}["torch"] == ("2.6.0", "2.5.1")
    assert {row["metric"]: row["verdict"] for row in found["rows"]}["total"] == "faster"


def test_other_code_is_refused_unless_it_is_meant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = write_run(tmp_path / "one", sessions(1e-3, 1), versions=OLD)
    other = write_run(tmp_path / "other", sessions(1e-3, 2, "b" * 40), versions=NEW)
    assert main(["upgrade", str(one), str(other)]) == 2
    err = capsys.readouterr().err
    assert f"A measured toy {COMMIT}, B toy {'b' * 40}" in err
    assert "--other-code" in err
    assert main(["upgrade", str(one), str(other), "--other-code"]) == 0
    assert capsys.readouterr().out.startswith("other code: ")


class TestMachines:
    """Two machines of one history, with two commits in common and one on either alone."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> tuple[Path, list[str]]:
        toy = Toy(tmp_path / "repository")
        hashes = [toy.commit(f"{PLAIN}# {number}\n", f"Commit {number}") for number in range(4)]
        store = Store.of(tmp_path, "toy")
        store.configure(Repository(toy.path), tmp_path)
        for number, commit in enumerate(hashes):
            if number != 3:
                add(store, commit, sessions(1e-3, number, commit), machine="before", versions=OLD)
            if number != 0:
                slow = 2e-3 if number == 2 else 1e-3
                add(store, commit, sessions(slow, 10 + number, commit), machine="after", versions=NEW)
        return tmp_path, hashes

    def upgrade(self, place: Path, *arguments: Any) -> int:
        return main(["upgrade", "before", "after", "--project", "toy", "--store", str(place), *arguments])

    def test_the_newest_commit_that_both_have(
        self, place: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.upgrade(place[0]) == 1
        assert f"same code: toy {place[1][2]}" in capsys.readouterr().out

    def test_a_commit_that_is_named(self, place: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
        assert self.upgrade(place[0], "--commit", place[1][1][:9]) == 0
        assert f"same code: toy {place[1][1]}" in capsys.readouterr().out

    def test_a_commit_that_one_has_not_is_refused(
        self, place: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.upgrade(place[0], "--commit", place[1][3]) == 2
        assert "was not measured on both machines" in capsys.readouterr().err

    def test_an_unknown_machine_is_refused(
        self, place: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
    ) -> None:
        command = ["upgrade", "before", "elsewhere", "--project", "toy", "--store", str(place[0])]
        assert main(command) == 2
        assert "elsewhere: is no run directory and no machine; allowed: after, before" in capsys.readouterr().err
