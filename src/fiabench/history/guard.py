"""Runs a command, and ends all of it when the process that asked for it ends, however it ends.

`python -m fiabench.history.guard COMMAND...`: the asker holds the other end of standard input. As soon as that is
closed, asv and what it started are ended: asv first, so that it stores nothing of a commit that is not done, then the
run that measures, which is asked to end as by Ctrl-C so that its finished cases are kept.
"""

from __future__ import annotations

import select
import subprocess
import sys
from contextlib import suppress

import psutil

INTERRUPTED = 130
_LOOK_SECONDS = 0.2
_END_SECONDS = 20.0
"""How long a run may take to end its ranks."""
_MEASURING = "sweep.py"
"""In the command line of a run that measures; it ends its ranks itself."""


def main(command: list[str]) -> int:
    """The command's exit code; INTERRUPTED where it was ended."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, close_fds=False) as process:
        while process.poll() is None:
            asked, _, _ = select.select([sys.stdin], [], [], _LOOK_SECONDS)
            if asked:
                end(psutil.Process(process.pid))
                return INTERRUPTED
    return process.returncode


def end(process: psutil.Process) -> None:
    """Ends ``process`` and its descendants; returns when they are gone."""
    with suppress(psutil.NoSuchProcess):
        family = [process, *process.children(recursive=True)]
        runs = [member for member in family if _measures(member)]
        theirs = {child for run in runs for child in _descendants(run)}
        for member in family:
            if member not in theirs and member not in runs:
                with suppress(psutil.NoSuchProcess):
                    member.kill()
        for run in runs:
            with suppress(psutil.NoSuchProcess):
                run.terminate()
        psutil.wait_procs(runs, _END_SECONDS)
        for member in {*family, *theirs}:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        psutil.wait_procs(family, _END_SECONDS)


def _measures(process: psutil.Process) -> bool:
    try:
        return any(word.endswith(_MEASURING) for word in process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        found: list[psutil.Process] = process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return found


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
