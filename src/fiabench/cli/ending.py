"""How a command ends: its exit codes, what becomes an error message rather than a traceback, and being told to end."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click

from fiabench.cases.errors import InputError

OK, FOUND, BAD_INPUT, SOME_FAILED, INTERRUPTED = 0, 1, 2, 3, 130
"""FOUND: what was looked for and should not be there: a broken claim, something slower. SOME_FAILED: of the cases."""


def run_command(command: click.Command, name: str, arguments: list[str] | None) -> int:
    """Runs ``command``, called ``name``, with ``arguments`` (None: those of the process); returns its exit code."""
    try:
        result: Any = command.main(arguments, prog_name=name, standalone_mode=False)
    except InputError as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    except click.ClickException as error:
        error.show()
        return BAD_INPUT
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    return result if isinstance(result, int) else OK


def interrupted(directory: Path) -> str:
    """What is said of a run in ``directory`` that somebody ended."""
    return f"\nInterrupted. Finished cases are kept; go on with: run --resume {directory}"


@contextmanager
def interruptible() -> Iterator[None]:
    """Makes SIGTERM and SIGHUP end what is done as Ctrl-C does: nothing is left running, and what is finished kept."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
