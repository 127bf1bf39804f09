"""Under the real torchrun: the same cases and the same endings, and a rank that dies costs its case only."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from fiabench.cli.sweep import main
from tests.cli.conftest import PATIENCE, ROOT, lines_of, until

SLOW_CASES = {"half_width": 0.00001, "max_samples": 100000, "max_seconds": 3.0, "warmup_max_seconds": 0.1}


def torchrun(*arguments: object, restarts: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--max-restarts", str(restarts), "--monitor-interval", "0.2"]
    command += [str(ROOT / "tools" / "sweep.py"), "run", *map(str, arguments), "--no-figures"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def codes(err: str) -> set[str]:
    """With what the ranks ended, as torchrun tells, whose own exit code is 1 for any of them."""
    return set(re.findall(r"exitcode: (-?\d+)", err))


def reach_the_second_case(out: Path) -> None:
    until(lambda: len(lines_of(out)) == 1 and (out / "running.json").exists())


def kill_a_rank_in_the_second_case(process: subprocess.Popen[str], out: Path) -> None:
    reach_the_second_case(out)
    ranks = [child for child in psutil.Process(process.pid).children() if "fiabench.torchrun" in child.cmdline()]
    next(rank for rank in ranks if rank.environ()["RANK"] == "1").send_signal(signal.SIGKILL)


def statuses(out: Path) -> list[tuple[int, str]]:
    return [(line["case"]["seq_len_q"], line["status"]) for line in lines_of(out)]


@pytest.mark.long
def test_a_broken_claim_is_the_exit_code_and_a_restart_measures_nothing_again(write_sweep: Any, tmp_path: Path) -> None:
    claim = {"claim": "It takes an hour.", "metric": "total", "at_least": 3600.0}
    sweep = write_sweep(axes={"seq_len_q": [64], "ulysses": [1, 2, 4]}, claims=[claim])
    process = torchrun(sweep, "--device", "cpu", "--out", tmp_path / "out", "--json", restarts=1)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1, err
    assert codes(err) == {"1"}, err
    assert err.count("is a finished run") == 1, err
    lines = lines_of(tmp_path / "out")
    assert [json.loads(line) for line in out.splitlines()] == lines
    assert json.loads((tmp_path / "out" / "run.json").read_text())["finished"]
    assert [line["timing"]["world_size"] for line in lines] == [1, 2, 4]
    assert [line["status"] in ("ok", "unsettled") for line in lines] == [True, True, False]
    assert sorted(lines[1]["samples"]["exchange_in"]) == ["0", "1"]
    assert lines[2]["status"] == "unsupported"
    assert "needs 4 ranks, torchrun started 2" in lines[2]["reason"]

    alone, both = (line["timing"] for line in lines[:2])
    assert [len(timing["group"]["pids"]) for timing in (alone, both)] == [1, 2]
    assert alone["group"]["seconds"] == {}, "a case of one rank makes no group, nor does the rank beside it"
    assert both["case_seconds"] > both["group_seconds"] >= both["group"]["seconds"]["ulysses 2"] > 0
    assert list(both["group"]["bytes"]) == ["ulysses 2"]
    assert both["group"]["join_seconds"] > 0
    available = sorted(os.sched_getaffinity(0))
    if len(available) == 1:
        assert both["group"]["cores"] == [None, None]
    else:
        assert alone["group"]["cores"] == [available]
        first, second = map(set, both["group"]["cores"])
        assert not first & second


@pytest.mark.long
def test_a_killed_rank_is_a_crash_and_the_restart_goes_on(write_sweep: Any, tmp_path: Path) -> None:
    sweep = write_sweep(sampling=SLOW_CASES)
    process = torchrun(sweep, "--device", "cpu", "--out", tmp_path / "out", restarts=1)
    kill_a_rank_in_the_second_case(process, tmp_path / "out")
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1, err
    assert "3" in codes(err), err
    assert statuses(tmp_path / "out") == [(64, "unsettled"), (128, "crash"), (192, "unsettled")]
    assert "tp1 x u2" in out


@pytest.mark.slow
@pytest.mark.long
def test_resume_goes_on_where_no_restart_was_left(write_sweep: Any, tmp_path: Path) -> None:
    process = torchrun(write_sweep(sampling=SLOW_CASES), "--device", "cpu", "--out", tmp_path / "out")
    kill_a_rank_in_the_second_case(process, tmp_path / "out")
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1, err
    process = torchrun("--resume", tmp_path / "out")
    _, err = process.communicate(timeout=PATIENCE)
    assert codes(err) == {"3"}, err
    assert statuses(tmp_path / "out") == [(64, "unsettled"), (128, "crash"), (192, "unsettled")]


@pytest.mark.slow
def test_what_is_interrupted_is_no_crash_and_is_measured_by_who_goes_on(write_sweep: Any, tmp_path: Path) -> None:
    """torchrun passes Ctrl-C on to its ranks."""
    process = torchrun(write_sweep(sampling=SLOW_CASES), "--device", "cpu", "--out", tmp_path / "out")
    reach_the_second_case(tmp_path / "out")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert f"go on with: run --resume {tmp_path / 'out'}" in err
    assert "KeyboardInterrupt" not in err
    assert statuses(tmp_path / "out") == [(64, "unsettled")]
    process = torchrun("--resume", tmp_path / "out")
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert statuses(tmp_path / "out") == [(64, "unsettled"), (128, "unsettled"), (192, "unsettled")]


@pytest.mark.slow
@pytest.mark.long
def test_all_measured_is_0_and_what_rank_0_finds_wrong_ends_all_with_2(write_sweep: Any, tmp_path: Path) -> None:
    sweep = write_sweep(axes={"seq_len_q": [64], "ulysses": [2]})
    process = torchrun(sweep, "--device", "cpu", "--out", tmp_path / "out", "--filter", "ulysses=3")
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1, err
    assert codes(err) == {"2"}, err
    assert "no case of small is left by --filter ulysses=3" in err
    process = torchrun(sweep, "--device", "cpu", "--out", tmp_path / "out")
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["quick"], ["--out under torchrun: found none; allowed: --out DIR", "--resume DIR"]),
        (["quick", "--out", "x", "--sessions", "3"], ["--sessions under torchrun: found 3; allowed: 1"]),
        (
            ["quick", "--out", "x", "--budget", "90s", "--cross-check", "profiler"],
            ["--budget under torchrun: found 90.0;", "--cross-check under torchrun: found profiler;"],
        ),
        (["quick", "--out", "x", "--device", "sim:h100"], ["--device under torchrun: found sim:h100; allowed: auto"]),
        (["--resume", "x", "--out", "y"], ["--resume takes the sweep and its options from the run"]),
        (["--out", "x"], ["found no SWEEP"]),
        (["quick", "--out", "x", "--no-such-option"], ["No such option"]),
    ],
)
def test_what_cannot_be_had_there_is_said_and_starts_nothing(
    arguments: list[str], words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert main(["run", *arguments]) == 2
    err = capsys.readouterr().err
    assert [word for word in words if word not in err] == [], err
