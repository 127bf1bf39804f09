"""Verdicts on commits whose truth is known, and through the command on real ranks of a toy repository."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fiabench.cases.errors import InputError
from fiabench.cli import confirming
from fiabench.cli.confirming import confirm as command
from fiabench.history.confirm import (
    BOTH_FAIL,
    EQUAL,
    FAILS,
    FASTER,
    LEFT_OUT,
    MENDED,
    SLOWER,
    UNDECIDED,
    Verdict,
    confirm,
)
from fiabench.history.pairs import TYPICAL, Pairing
from fiabench.history.repository import Commit
from tests.history.made import CASE, Box, Made
from tests.history.toy import COMMENTED, PLAIN, WRONG, Toy, write_sweep

Ends = Callable[[Made], tuple[str, str] | None]


def verdict_of(base: Made, new: Made, seconds: float = 20.0, seed: int = 1, metric: str = "total") -> Verdict:
    (found,) = confirm(Pairing((base, new), metric, random.Random(seed)), [CASE], 0.02, seconds)
    return found


@pytest.mark.parametrize(("seconds", "wanted"), [(1.0, EQUAL), (1.05, SLOWER), (0.95, FASTER), (1.005, None)])
def test_the_verdict_is_the_truth_though_the_box_drifts(seconds: float, wanted: str | None) -> None:
    box = Box(lambda number: 0.3 * (number % 50) / 50)
    found = verdict_of(Made("a", box, 1.0, 0.004), Made("b", box, seconds, 0.004))
    assert found.verdict == wanted if wanted else found.verdict in (EQUAL, SLOWER)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= seconds <= found.high
    assert found.worse is (found.verdict == SLOWER)


@pytest.mark.parametrize(("metric", "word"), [("total", "slower"), ("peak_memory", "more"), ("tokens_per_s", "less")])
def test_what_is_no_duration_is_not_called_slow(metric: str, word: str) -> None:
    measured = "total" if metric == "peak_memory" else metric  # which made contenders do not have
    found = verdict_of(Made("a", Box(), 1.0, 0.004), Made("b", Box(), 1.05, 0.004), metric=measured)
    commits = Commit("a" * 40, 0, "2026-01-01", "before"), Commit("b" * 40, 0, "2026-01-02", "after")
    out = Console(record=True, width=120, file=io.StringIO())
    confirming._print_verdicts(out, commits, metric, [found])
    said = out.export_text()
    assert f"{word}: {found.id}" in said
    assert said.rstrip().endswith(f"1 {word}")


def test_of_many_equal_pairs_hardly_any_is_called_changed() -> None:
    verdicts = []
    for seed in range(40):
        box, draw = Box(), random.Random(seed)
        sides = Made("a", box, 1.0, 0.01), Made("b", box, 1.0, 0.01)
        for side in sides:
            side.draw = draw
        verdicts.append(verdict_of(*sides, seconds=5.0, seed=seed).verdict)
    assert sum(verdict in (SLOWER, FASTER) for verdict in verdicts) <= 2
    assert verdicts.count(EQUAL) >= 30


def test_a_slowdown_that_only_some_calls_feel_is_found_by_the_median() -> None:
    box = Box()
    new = Made("b", box)
    real = new.measure

    def uneven(cases: Any) -> Any:
        found = real(cases)
        for measurement in found.values():
            for phase in measurement.samples.values():
                phase["0"] = [seconds * (1.0 if place < 2 else 1.3) for place, seconds in enumerate(phase["0"])]
        return found

    new.measure = uneven  # type: ignore[method-assign]
    found = verdict_of(Made("a", box), new)
    assert (found.verdict, found.stand) == (SLOWER, TYPICAL)


def test_no_time_settles_nothing_and_says_so() -> None:
    box = Box()
    found = verdict_of(Made("a", box), Made("b", box, 2.0), seconds=0.0)
    assert found.verdict == UNDECIDED
    assert found.ratio is None


CRASH: Ends = lambda made: ("crash", "rank 0 ended")  # noqa: E731
LEFT: Ends = lambda made: ("unsupported", "not on this device")  # noqa: E731


@pytest.mark.parametrize(
    ("base", "new", "wanted"),
    [(None, CRASH, FAILS), (CRASH, None, MENDED), (CRASH, CRASH, BOTH_FAIL), (None, LEFT, LEFT_OUT)],
)
def test_a_failure_is_a_verdict_of_its_own(base: Ends | None, new: Ends | None, wanted: str) -> None:
    box = Box()
    sides = [Made(name, box, **({"ends": ends} if ends else {})) for name, ends in (("a", base), ("b", new))]
    found = verdict_of(*sides)
    assert found.verdict == wanted
    assert found.worse is (wanted == FAILS)
    assert found.ratio is None
    if wanted == FAILS:
        assert found.reasons == {"NEW": "crash (rank 0 ended)"}
        assert sides[1].count == 2  # tried once more


def test_a_failure_that_does_not_come_again_is_a_note() -> None:
    box = Box()
    found = verdict_of(
        Made("a", box), Made("b", box, ends=lambda made: ("timeout", "late") if made.count == 1 else None)
    )
    assert found.verdict == EQUAL
    assert found.notes == ["NEW failed once and not again: timeout (late)"]


def test_a_side_that_fails_now_and_then_fails() -> None:
    box = Box()
    found = verdict_of(
        Made("a", box), Made("b", box, ends=lambda made: ("crash", "x") if made.count % 3 == 0 else None)
    )
    assert found.verdict == FAILS


def test_sides_that_do_not_fit_beside_each_other_are_measured_apart() -> None:
    box = Box()

    def full(made: Made) -> tuple[str, str] | None:
        return ("out_of_memory", "no room") if len(box.alive) > 1 else None

    found = verdict_of(Made("a", box, ends=full), Made("b", box, 1.5, ends=full))
    assert found.verdict == SLOWER
    assert "more memory than there is" in found.notes[0]


def test_a_metric_that_nobody_has_is_left_out() -> None:
    box = Box()
    assert verdict_of(Made("a", box), Made("b", box), metric="peak_memory").verdict == LEFT_OUT


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    made = Toy(tmp_path / "toy")
    for name, text in [("plain", PLAIN), ("wrong", WRONG), ("clean", COMMENTED)]:
        made.commit(text, name)
        made.git("tag", name)
    return made


def run(*arguments: object) -> int:
    code = command.main([str(argument) for argument in arguments], standalone_mode=False)
    assert isinstance(code, int)
    return code


@pytest.mark.long
def test_a_real_wrong_result_is_reported_with_its_reason(
    toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = write_sweep(tmp_path / "sweep.yaml")
    assert run("plain", "wrong", "--project", toy.path, "--sweep", sweep, "--json", "--device", "cpu") == 1
    found = json.loads(capsys.readouterr().out)
    (case,) = found["cases"]
    assert case["verdict"] == FAILS
    assert case["reasons"]["NEW"].startswith("wrong (")
    assert found["new"]["hash"] == toy.git("rev-parse", "wrong")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("plain", "nowhere"), "nowhere"),
        (("plain", "clean", "--cases", "seq_len_q=7"), "no case is left"),
        (("plain", "clean", "--cases", "colour=red"), "colour"),
        (("plain", "clean", "--metric", "closure_residual"), "--metric"),
    ],
)
def test_bad_input_is_said_before_anything_runs(
    toy: Toy, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    sweep = write_sweep(tmp_path / "sweep.yaml")
    with pytest.raises(InputError, match=words):
        run(*arguments, "--project", toy.path, "--sweep", sweep)


def test_a_folder_that_is_no_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="git"):
        run("a", "b", "--project", tmp_path, "--sweep", write_sweep(tmp_path / "sweep.yaml"))
