"""Real runs of tools/sweep.py, and ways to do them harm."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 90.0
"""Seconds within which anything that should happen has happened, on a slow machine too."""


class Command:
    """One run of the command, in the background, its children in sight."""

    def __init__(self, arguments: list[str], checkout: Path, preexec: Callable[[], None] | None) -> None:
        def prepare() -> None:
            # A shell that starts the tests in the background has them ignore Ctrl-C, and their children with them.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            if preexec:
                preexec()

        self.process = subprocess.Popen(
            [sys.executable, str(checkout / "tools" / "sweep.py"), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=prepare,
        )

    def ranks(self) -> list[psutil.Process]:
        """The rank processes that are alive, by rank."""
        ranks = {}
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # as of git, which is gone as soon as it has answered
                if "fiabench.workers.rank" in child.cmdline():
                    ranks[int(child.environ()["RANK"])] = child
        return [ranks[rank] for rank in sorted(ranks)]

    def wait(self) -> tuple[int, str, str]:
        """Exit code, standard output and standard error."""
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err


def until(what: Callable[[], Any]) -> Any:
    """The first true value of ``what``; fails when it does not come."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        value = what()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"did not happen: {what}")


def lines_of(directory: Path) -> list[dict[str, Any]]:
    """The whole lines of a run's cases.jsonl so far."""
    path = directory / "cases.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


@pytest.fixture
def write_sweep(tmp_path: Path) -> Callable[..., Path]:
    """Writes a sweep file of small cases, with the keys that a test changes."""

    def write(**changes: Any) -> Path:
        sweep: dict[str, Any] = {
            "name": "small",
            "about": "Cases of milliseconds.",
            "geometry": {"heads": 4, "head_dim": 16},
            "axes": {"seq_len_q": [64, 128, 192], "ulysses": [2]},
            "sampling": {"min_samples": 3, "max_samples": 5, "max_seconds": 1.0, "warmup_max_seconds": 0.2},
        } | changes
        path = tmp_path / "small.yaml"
        path.write_text(yaml.safe_dump(sweep))
        return path

    return write


@pytest.fixture
def start(tmp_path: Path) -> Any:
    """Starts commands and ends what is left of them."""
    started: list[Command] = []

    def begin(*arguments: object, checkout: Path = ROOT, preexec: Callable[[], None] | None = None) -> Command:
        command = Command([str(argument) for argument in arguments], checkout, preexec)
        started.append(command)
        return command

    yield begin
    for command in started:
        if command.process.poll() is None:
            command.process.kill()
            command.process.wait()
