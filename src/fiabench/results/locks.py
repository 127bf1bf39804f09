"""Keeping others out of a folder that must not be written twice at once."""

from __future__ import annotations

import fcntl
from pathlib import Path

from fiabench.cases.errors import InputError


def hold(descriptor: int, folder: Path, busy: str) -> None:
    """Keeps other processes out of ``folder`` by a lock on ``descriptor``, an open file, until that is closed.

    Raises InputError where another has it: in words what ``busy`` says of whoever that is.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError.plain(f"{folder}: {busy}; wait for it to end") from None
    except OSError:
        pass  # a file system without locks, as some networks have: nobody can be kept out
