"""Sessions: every case measured several times, each time in fresh processes, and what a resumed run repeats."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiabench.cli.sweep import main
from fiabench.cli.work import Work
from fiabench.results.measurement import Measurement
from fiabench.workers.budget import Budget
from tests.cli.conftest import lines_of
from tests.ulysses.points import make_case

CASES = [make_case(seq_len_q=tokens) for tokens in (64, 128, 192)]
STATUSES = st.sampled_from(["ok", "unsettled", "crash", "does_not_fit", "unsupported"])


def line(place: int, session: int, status: str) -> Measurement:
    return Measurement(CASES[place].id, CASES[place].as_dict(), status, session=session)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), STATUSES), max_size=12))
def test_a_session_is_due_what_it_has_no_line_of_and_can_hope_for(tried: list[tuple[int, int, str]]) -> None:
    work = Work(CASES, 4)
    work.ended(line(*one) for one in tried)
    ended = {(place, session): status in ("ok", "unsettled") for place, session, status in tried}
    for session in range(4):
        for place, case in enumerate(CASES):
            before = [ended[place, other] for other in range(session) if (place, other) in ended]
            expected = (place, session) not in ended and (not before or True in before)
            assert (case in work.due(session)) == expected


@given(st.data())
def test_work_ends_whatever_happens_and_whenever_it_is_resumed(data: st.DataObject) -> None:
    """No pair comes twice, every case is tried once at least, and nothing is left."""
    work, seen = Work(CASES, 3), []
    while work.left:
        session, case = next((session, case) for session in range(3) for case in work.due(session))
        seen.append(line(CASES.index(case), session, data.draw(STATUSES)))
        work.ended([seen[-1]])
        if data.draw(st.booleans()):
            work = Work(CASES, 3)
            work.ended(seen)
    assert len({(one.id, one.session) for one in seen}) == len(seen)
    assert {one.id for one in seen} == {case.id for case in CASES}
    assert [one.session for one in seen] == sorted(one.session for one in seen)


def simulate(folder: Path, sweep: Path, *arguments: str) -> list[dict[str, Any]]:
    """The lines of a run on a simulated device whose sessions differ."""
    planted = ("--plant", "noise=gaussian:0.001", "--plant", "session=0.02", "--seed", "5")
    command = ["run", str(sweep), "--device", "sim:910b3", "--out", str(folder), "--no-figures", *planted, *arguments]
    assert main(command) == 0
    return lines_of(folder)


def taken(lines: list[dict[str, Any]]) -> list[tuple[str, int, Any]]:
    return [(line["id"], line["session"], line["samples"]) for line in lines]


@pytest.mark.slow
def test_sessions_are_whole_fresh_and_different(write_sweep: Any, tmp_path: Path, capsys: Any) -> None:
    sweep = write_sweep(geometry={"model": "wan-14b"}, axes={"seq_len_q": [25600, 51200], "ulysses": [2]})
    lines = simulate(tmp_path / "out", sweep, "--sessions", "3")
    assert [line["session"] for line in lines] == [0, 0, 1, 1, 2, 2]
    assert [line["id"] for line in lines] == [line["id"] for line in lines[:2]] * 3
    pids = [tuple(line["timing"]["group"]["pids"]) for line in lines]
    assert pids[0] == pids[1]
    assert len(set(pids)) == 3
    samples = [json.dumps(line["samples"]) for line in lines]
    assert len(set(samples)) == 6
    assert json.loads((tmp_path / "out" / "run.json").read_text())["options"]["sessions"] == 3
    said = capsys.readouterr().err
    assert "[1/6] session 1 of 3" in said
    assert "[6/6] session 3 of 3" in said
    alone = simulate(tmp_path / "alone", sweep)
    assert taken(alone) == taken(lines[:2]), "the first session is what a run without --sessions measures"


@pytest.mark.long
@pytest.mark.parametrize("kept", [2])
def test_a_resumed_run_is_as_one_that_was_not_interrupted(
    kept: int, write_sweep: Any, tmp_path: Path, capsys: Any
) -> None:
    sweep = write_sweep(geometry={"model": "wan-14b"}, axes={"seq_len_q": [25600, 51200], "ulysses": [2]})
    whole = simulate(tmp_path / "out", sweep, "--sessions", "3")
    path = tmp_path / "out" / "cases.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:kept]))
    assert main(["run", "--resume", str(tmp_path / "out"), "--no-figures"]) == 0
    assert taken(lines_of(tmp_path / "out")) == taken(whole)
    assert f"{kept} measurements are there, {6 - kept} to go" in capsys.readouterr().err


@pytest.mark.long
def test_a_case_that_cannot_be_measured_is_tried_once(write_sweep: Any, tmp_path: Path) -> None:
    sweep = write_sweep(geometry={"model": "wan-14b"}, axes={"seq_len_q": [25600, 51200], "ulysses": [2]})
    planted = ("--plant", "oom=0@seq_len_q=25600")
    command = ["run", str(sweep), "--device", "sim:910b3", "--out", str(tmp_path / "out"), "--no-figures", *planted]
    assert main([*command, "--sessions", "3"]) == 3
    assert [(line["case"]["seq_len_q"], line["session"], line["status"]) for line in lines_of(tmp_path / "out")] == [
        (25600, 0, "out_of_memory"),
        (51200, 0, "ok"),
        (51200, 1, "ok"),
        (51200, 2, "ok"),
    ]


@pytest.mark.long
def test_ranks_of_two_sessions_are_different_processes(write_sweep: Any, tmp_path: Path) -> None:
    sweep = write_sweep(axes={"seq_len_q": [64], "ulysses": [1, 2]})
    command = ["run", str(sweep), "--device", "cpu", "--out", str(tmp_path / "out"), "--no-figures", "--sessions", "2"]
    assert main(command) == 0
    lines = lines_of(tmp_path / "out")
    assert [(line["session"], line["case"]["ulysses"]) for line in lines] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    pids = [pid for line in lines for pid in line["timing"]["group"]["pids"]]
    assert len(set(pids)) == 6
    bound = lines[1]["timing"]["group"]["cores"]
    available = os.sched_getaffinity(0)
    if len(available) == 1:
        assert bound == [None, None]
    else:
        assert not set(bound[0]) & set(bound[1])
        assert set(bound[0]) | set(bound[1]) <= available


@pytest.mark.parametrize("count", ["0", "-1", "two", "1.5"])
def test_a_bad_count_is_refused(count: str, capsys: Any) -> None:
    assert main(["run", "quick", "--sessions", count]) == 2
    assert "--sessions" in capsys.readouterr().err


@pytest.mark.long
def test_a_budget_leaves_the_rest_to_resume(write_sweep: Any, tmp_path: Path, capsys: Any) -> None:
    """It is over when the first case has ended: one case is tried, no failure, and resume does the rest."""
    sweep = write_sweep(axes={"seq_len_q": [64, 128, 192], "ulysses": [1]})
    command = ["run", str(sweep), "--device", "cpu", "--out", str(tmp_path / "out"), "--no-figures"]
    with pytest.MonkeyPatch.context() as patch:  # neither a quick box nor a busy one has a say
        patch.setattr(Budget, "left", property(lambda budget: 0.0 if lines_of(tmp_path / "out") else 1.0))
        assert main([*command, "--budget", "1s"]) == 0
    first = lines_of(tmp_path / "out")
    assert len(first) == 1
    assert "The budget is used up: 2 measurements are left" in capsys.readouterr().err
    header = json.loads((tmp_path / "out" / "run.json").read_text())
    assert header["finished"] is None
    assert header["options"]["budget"] == 1
    assert main(["run", "--resume", str(tmp_path / "out"), "--no-figures", "--budget", "1h"]) == 0
    lines = lines_of(tmp_path / "out")
    assert lines[0] == first[0]
    assert [line["case"]["seq_len_q"] for line in lines] == [64, 128, 192]
    header = json.loads((tmp_path / "out" / "run.json").read_text())
    assert header["finished"]
    assert header["options"]["budget"] == 3600
