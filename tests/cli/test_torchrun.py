"""Under the real torchrun: the same cases, and a rank that dies costs its case only."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.cli.conftest import PATIENCE, ROOT, lines_of, until

pytestmark = pytest.mark.slow


def torchrun(sweep: Path, out: Path, restarts: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--max-restarts", str(restarts), "--monitor-interval", "0.2"]
    command += [str(ROOT / "tools" / "sweep.py"), "run", str(sweep), "--device", "cpu", "--out", str(out)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.long
def test_every_case_that_the_ranks_allow_is_measured(write_sweep: Any, tmp_path: Path) -> None:
    sweep = write_sweep(axes={"seq_len_q": [64], "ulysses": [1, 2, 4]})
    process = torchrun(sweep, tmp_path / "out", restarts=0)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    lines = lines_of(tmp_path / "out")
    assert [line["timing"]["world_size"] for line in lines] == [1, 2, 4]
    assert [line["status"] in ("ok", "unsettled") for line in lines] == [True, True, False]
    assert sorted(lines[1]["samples"]["exchange_in"]) == ["0", "1"]
    assert lines[2]["status"] == "unsupported"
    assert "needs 4 ranks, torchrun started 2" in lines[2]["reason"]
    assert "tp1 x u2" in out


def test_a_killed_rank_is_a_crash_and_the_restart_goes_on(write_sweep: Any, tmp_path: Path) -> None:
    sampling = {"half_width": 0.00001, "max_samples": 100000, "max_seconds": 3.0, "warmup_max_seconds": 0.1}
    sweep = write_sweep(sampling=sampling)
    process = torchrun(sweep, tmp_path / "out", restarts=1)

    def second_case_runs() -> bool:
        return len(lines_of(tmp_path / "out")) == 1 and (tmp_path / "out" / "running.json").exists()

    until(second_case_runs)
    ranks = [child for child in psutil.Process(process.pid).children() if "fiabench.torchrun" in child.cmdline()]
    next(rank for rank in ranks if rank.environ()["RANK"] == "1").send_signal(signal.SIGKILL)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    lines = lines_of(tmp_path / "out")
    assert [(line["case"]["seq_len_q"], line["status"]) for line in lines] == [
        (64, "unsettled"),
        (128, "crash"),
        (192, "unsettled"),
    ]
