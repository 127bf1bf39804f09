"""Nothing goes on when the process that asked for it is gone, however it went."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from fiabench.history.guard import INTERRUPTED

PATIENCE = 60.0
# A process that starts another, which writes that it was asked to end, and ends its own child as a run does its ranks.
ASV = "import subprocess, sys; subprocess.run([sys.executable, *sys.argv[1:]])"
RUN = """
import signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])

def end(*_):
    child.kill()
    child.wait()
    open(sys.argv[1] + ".ended", "w").write("in peace")
    raise SystemExit(130)

signal.signal(signal.SIGTERM, end)
open(sys.argv[1], "w").write(str(child.pid))
time.sleep(600)
"""


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.05)


def guard(*command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "fiabench.history.guard", sys.executable, *command], stdin=subprocess.PIPE
    )


def test_a_command_s_exit_code_is_passed_on() -> None:
    with guard("-c", "raise SystemExit(7)") as process:
        assert process.wait(PATIENCE) == 7


@pytest.mark.slow
def test_when_the_asker_is_gone_a_run_is_ended_in_peace_and_all_else_at_once(tmp_path: Path) -> None:
    (tmp_path / "sweep.py").write_text(RUN)
    started = tmp_path / "started"
    with guard("-c", ASV, str(tmp_path / "sweep.py"), str(started)) as process:
        until(lambda: started.exists() and bool(started.read_text()))
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) == 3
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(PATIENCE) == INTERRUPTED
    assert (tmp_path / "started.ended").read_text() == "in peace"
    until(lambda: not any(member.is_running() and member.status() != psutil.STATUS_ZOMBIE for member in family))
