"""`run` in a process that torchrun started: what it can be asked for there, and how the process becomes a rank."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

from fiabench.cases.errors import InputError, Problem
from fiabench.simulation.spec import PREFIX
from fiabench.workers.child import child_environment

_LAUNCHED = "TORCHELASTIC_RUN_ID"
"""Set by torchrun in the processes that it starts."""
_REFUSED = {
    "sessions": "1, as the ranks live as long as torchrun does; `compare` takes several runs",
    "cross_check": "a run without it",
    "budget": "`sampling: max_seconds` in the sweep",
    "plants": "a simulated device, without torchrun",
    "seed": "a simulated device, without torchrun",
}
"""Options of `run` that cannot be had there, to what can."""
_FLAGS = {"plants": "--plant"}
"""Of options whose flag is not their name."""


def by_torchrun() -> bool:
    """Whether torchrun started this process."""
    return _LAUNCHED in os.environ


def become_rank(asked: Mapping[str, Any]) -> NoReturn:
    """Makes this process a rank that does what ``run`` was ``asked`` for. Raises InputError where that cannot be."""
    require_possible(asked)
    if not (asked["out"] or asked["resume"]):
        allowed = "--out DIR, where ranks that were started anew find the run again, or --resume DIR"
        raise InputError([_problem("--out", "none", allowed)])
    command = [sys.executable, "-m", "fiabench.torchrun", json.dumps(asked, default=str)]
    os.execve(sys.executable, command, child_environment())


def require_possible(options: Mapping[str, Any]) -> None:
    """Raises InputError where ``options``, of a command or of a run that is to be resumed, cannot be had there."""
    problems = [
        _problem(_FLAGS.get(name, f"--{name.replace('_', '-')}"), options[name], allowed)
        for name, allowed in _REFUSED.items()
        if options.get(name) and options[name] != 1
    ]
    if options["device"].startswith(PREFIX):
        problems.append(
            _problem("--device", options["device"], "auto, npu, cuda, cpu; a simulated one needs no torchrun")
        )
    if problems:
        raise InputError(problems)


def _problem(flag: str, found: Any, allowed: str) -> Problem:
    return Problem("", None, None, f"{flag} under torchrun", str(found), allowed)
