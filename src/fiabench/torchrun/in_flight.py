"""The case that is being measured: under a deadline, and named in the run directory for those who are started anew."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from fiabench.cases.case import Case
from fiabench.results.measurement import Measurement
from fiabench.results.rundir import RunDirectory
from fiabench.workers.machine import Machine
from fiabench.workers.merge import unmeasured

MARKER = "running.json"
"""Names the case; there after a restart only where that case brought torchrun down."""
_CRASHED = "a rank ended while it ran and torchrun started them all anew; see torchrun's output"


@contextmanager
def measuring(directory: RunDirectory, command: dict[str, Any], machine: Machine, seconds: float) -> Iterator[None]:
    """Marks the case of ``command``; past ``seconds`` it is a timeout, and the process ends for torchrun to see."""
    marker = directory.path / MARKER
    case = Case.from_dict(command["case"])
    overdue = unmeasured(case, machine, "timeout", f"the ranks had not ended it within {seconds:.0f} s")

    def end() -> None:
        directory.append(replace(overdue, id=command["id"]))
        marker.unlink()
        os._exit(1)

    marker.write_text(json.dumps({"id": command["id"]}))
    timer = threading.Timer(seconds, end)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
    marker.unlink()


def forget(directory: Path) -> None:
    """Whoever is started anew is to measure the case again: it was not what ended the ranks."""
    (directory / MARKER).unlink(missing_ok=True)


def culprit(directory: RunDirectory, due: Sequence[Case], machine: Machine) -> Measurement | None:
    """The crash of the case that was being measured when torchrun started anew, where that is still ``due``."""
    marker = directory.path / MARKER
    if not marker.exists():
        return None
    name = json.loads(marker.read_text())["id"]
    marker.unlink()
    return next((unmeasured(case, machine, "crash", _CRASHED) for case in due if case.id == name), None)
