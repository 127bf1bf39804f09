"""Asks a commit's own checkout to measure a sweep, and leaves the truth in a run directory. Imports no torch."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from fiabench.cases.errors import InputError
from fiabench.results.rundir import Run, read_run

_SOME_FAILED = 3
"""Exit code of `tools/sweep.py run` where every case ended and some of them failed."""
_END_SECONDS = 20.0
"""How long a run may take to end its ranks when it is told to stop."""


class Answer(NamedTuple):
    """What a commit made of it."""

    run: Run | None
    """What it measured, perhaps not all of it; None where there is nothing to read."""
    reason: str
    """What went wrong; empty where every case ended."""


def measure(checkout: Path, commit: str, sweep: Path, runs: Path, seconds: float) -> Answer:
    """Runs ``sweep`` by the tools in ``checkout``, into a directory in ``runs/<commit>`` that is called by the time.

    ``commit`` is the hash that the checkout must have, ``seconds`` a deadline. Beside the run directory stand
    `<time>.log`, all that the run printed, and, where something went wrong, `<time>.failed` with the reason. Raises
    OSError where these cannot be written.
    """
    directory = _fresh(runs / commit)
    reason = _run(checkout, sweep, directory, seconds)
    run: Run | None = None
    try:
        run = read_run(directory)
    except InputError as error:
        reason = reason or str(error)
    else:
        measured = run.environment.get("commit")
        if measured != commit:
            run, reason = None, f"the engine of commit {measured} measured: another than this checkout's was found"
    if reason:
        directory.with_suffix(".failed").write_text(f"{reason}\n", encoding="utf-8")
    return Answer(run, reason)


def _fresh(folder: Path) -> Path:
    """A path in ``folder`` that no run has; makes the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    while (path := folder / f"{datetime.now():%Y%m%d-%H%M%S-%f}").exists():
        pass
    return path


def _run(checkout: Path, sweep: Path, directory: Path, seconds: float) -> str:
    """Runs the sweep; returns what went wrong."""
    tool = checkout / "tools" / "sweep.py"
    if not tool.exists():
        return "has no tools/sweep.py: nothing to be asked"
    log = directory.with_suffix(".log")
    command = [sys.executable, str(tool), "run", str(sweep), "--out", str(directory), "--no-figures"]
    # asv reads a benchmark's output to its end: a rank that lived on with it open would hang asv for ever.
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=checkout
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            _end(process)
            return f"was not done after {seconds:g} s; the rest was not measured"
    if code in (0, _SOME_FAILED):
        return ""
    words = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    last = f": {words[-1]}" if words else ""
    return f"tools/sweep.py run ended with exit code {code}{last}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a run as it wants to be ended, else at once; its ranks end when it is gone."""
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
