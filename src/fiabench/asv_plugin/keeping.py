"""What asv would lose of a commit's results is put back when its process ends, and two processes are kept apart.

asv overwrites: a narrower sweep drops rows, a `setup_cache` or build that fails leaves nothing, an interruption saves
nothing of the commit, and `benchmarks.json` knows the last run's benchmarks alone.
"""

from __future__ import annotations

import atexit
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, ClassVar

from asv import util
from asv.benchmarks import Benchmarks
from asv.console import log

from fiabench.asv_plugin.notice import measured_on
from fiabench.cases.errors import InputError
from fiabench.history.store import REFUSED, lock

_HELD: dict[Path, ExitStack] = {}
"""Locks that this process holds until it ends, by folder."""


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keeps asv from checking out commits in ``folder`` and measuring them.

    Raises InputError where it is at it.
    """
    with lock(folder, "another asv is checking out and measuring commits here", "lock"):
        yield


def keep_out_others(folder: Path) -> None:
    """Has this asv process alone check out commits in ``folder``. Raises UserError where another one does."""
    path = folder.resolve()
    if path in _HELD:
        return
    held = ExitStack()
    try:
        held.enter_context(alone(path))
    except InputError as error:
        raise util.UserError(str(error)) from error
    _HELD[path] = held


class Keeper:
    """Of one results folder: which commits this process has touched, and what was known before."""

    started: ClassVar[datetime] = datetime.now(timezone.utc)
    _all: ClassVar[dict[Path, Keeper]] = {}

    def __init__(self, results: Path, runs: Path, repository: Path, quick: bool) -> None:
        self.commits: set[str] = set()
        self._results, self._runs, self._repository, self._quick = results, runs, repository, quick
        self._backup = results.parent / "benchmarks.before"
        # A backup that is there was left by a process that was killed: what it found is in no other file.
        self._before = read_benchmarks(results / "benchmarks.json") | read_benchmarks(self._backup)
        util.write_json(str(self._backup), self._before, Benchmarks.api_version)
        atexit.register(self._put_back)

    @classmethod
    def of(cls, conf: Any, runs: Path, checkout: Path, quick: bool) -> Keeper:
        """That of the configuration's results; ``runs`` holds this machine's run directories.

        ``checkout`` is asked for dates of commits where the configured repository is not on this machine.
        """
        results = Path(conf.results_dir).resolve()
        if results not in cls._all:
            configured = Path(conf.repo).resolve()
            cls._all[results] = cls(results, runs, configured if configured.is_dir() else checkout, quick)
        return cls._all[results]

    def _put_back(self) -> None:
        from fiabench.asv_plugin.export import complete  # numpy and pydantic, which a command that only lists needs not

        try:
            complete(self._runs, self._results, self._repository, self.commits, self._before, self._quick)
        except InputError as error:
            log.error(f"what asv forgot of these commits could not be put back: {error}")
        else:
            self._backup.unlink()
        self._say_what_ran()

    def _say_what_ran(self) -> None:
        """On what this process measured, and what it was refused."""
        since = self.started.timestamp()
        log.flush()
        for folder in (self._runs / commit for commit in sorted(self.commits)):
            for path in sorted(folder.glob(f"*{REFUSED}")):
                if path.stat().st_mtime >= since:
                    print(f"{folder.name[:10]}: nothing was run: {path.read_text(encoding='utf-8').strip()}")
        for said in measured_on((self._runs / commit for commit in self.commits), since):
            print(said)


def read_json(path: Path, version: int) -> dict[str, Any] | None:
    """What is in a file of asv's, without its version; None where it is missing, broken or of another version."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or found.pop("version", None) != version:
        return None
    return found


def read_benchmarks(path: Path) -> dict[str, Any]:
    """The benchmarks in a file of asv's; none where it cannot be read: a view, which is written anew."""
    return read_json(path, Benchmarks.api_version) or {}
