"""Where a project's history lies, and what is in it: one run directory or more for each commit and machine."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from fiabench.cases.errors import InputError
from fiabench.history.repository import Repository
from fiabench.results.environment import is_simulated
from fiabench.results.locks import hold
from fiabench.results.rundir import HEADER, Run, read_run

FAILED = ".failed"
"""Ends the name of the file that stands beside a run directory, or in its place, with the reason of a failure."""
REFUSED = ".refused"
"""Ends the name of the file in its place where the engine refused what it was asked for: no failure of the commit's."""
ASKED = ".asked"
"""Ends the name of the file beside a run directory that says what was asked for, and whether asv got an answer."""
PART = ".part"
"""Ends the name of what is not whole yet."""
TIME = "%Y%m%d-%H%M%S-%f"
"""How a run directory is called by the time that it was begun."""
_NAMES = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
HASH = re.compile(r"[0-9a-f]{40}")
_BEST_FIRST = ("npu", "cuda", "cpu")


def read_note(directory: Path) -> dict[str, Any]:
    """What stands beside a run directory of asv's; empty for one that came otherwise."""
    path = directory.with_suffix(ASKED)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


@contextmanager
def lock(folder: Path, busy: str, file: str = "") -> Iterator[int]:
    """Holds the lock of ``folder``, or of ``file`` in it, and gives its descriptor.

    Raises InputError where it cannot be had: in words what ``busy`` says of whoever has it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / file, os.O_RDWR | os.O_CREAT if file else os.O_RDONLY, 0o644)
    except OSError as error:
        raise InputError.plain(f"{folder}: cannot be written ({error.strerror})") from error
    try:
        hold(descriptor, folder, busy)
        yield descriptor
    finally:
        os.close(descriptor)


def check_name(option: str, name: str) -> None:
    """Raises InputError where ``name``, which ``option`` gave, can be no folder's."""
    if not _NAMES.fullmatch(name):
        raise InputError.plain(f"{option}: found {name!r}; allowed: letters, digits, dots, dashes and underscores")


@dataclass(frozen=True)
class Attempt:
    """One time that a commit was measured on a machine."""

    machine: str
    """What is measured there is one history: of a box with several kinds of devices each but the best is one by itself,
    `box (cpu)`, and so is each simulated one, `box (sim:910b3)`."""
    commit: str
    path: Path
    """Of the run directory, whether it is there or not."""
    run: Run | None
    """None where nothing can be read."""
    reason: str
    """What went wrong; empty where every case ended."""
    asked: dict[str, Any] = field(default_factory=dict)
    """What asv asked for; empty where it was not asv."""

    @property
    def quick(self) -> bool:
        """Whether it took a few samples for a first look."""
        return bool(self.asked.get("quick"))

    @property
    def device(self) -> str:
        """The kind of device, or the simulated one, as far as it is known: `npu`, `sim:910b3`."""
        asked = str(self.asked.get("device") or "")
        if self.run is None:
            return "" if asked == "auto" else asked
        if not is_simulated(self.run.environment):
            return str(self.run.environment.get("device") or "")
        named = str((self.run.header.get("options") or {}).get("device") or "")
        return named if named.startswith("sim:") else str(self.run.environment.get("device_name"))

    @property
    def finished(self) -> bool:
        return self.run is not None and bool(self.run.header.get("finished"))


class Store:
    """The history of one project.

    ``folder`` holds `runs/<machine>/<commit>/<time>/` (the truth), `results/` (asv's view of it) and `sweeps/`;
    ``configuration`` is asv's.
    """

    def __init__(self, folder: Path, name: str, configuration: Path) -> None:
        self.folder, self.name, self.configuration = folder, name, configuration

    @classmethod
    def of(cls, place: Path, name: str, option: str = "--name") -> Store:
        """That of the outside project ``name``, which ``option`` gave, among those in ``place``.

        Raises InputError for what is no name.
        """
        check_name(option, name)
        folder = place / "projects" / name
        return cls(folder, name, folder / "asv.conf.json")

    @property
    def outside(self) -> bool:
        """Whether these are the commits of another project, which this engine measures."""
        return self.configuration.parent == self.folder

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @property
    def log(self) -> Path:
        """All that asv printed."""
        return self.folder / "asv.log"

    def sweep(self, name: str) -> Path:
        """Where the sweep is kept as it was measured last."""
        return self.folder / "sweeps" / f"{name}.yaml"

    def exists(self) -> bool:
        return self.runs.is_dir()

    def repository(self) -> Repository | None:
        """The repository whose commits these are; None where it is not there any more."""
        try:
            configured = json.loads(self.configuration.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            if self.outside:
                return None
            configured = {"repo": "."}  # that of a checkout has comments, and means its own folder
        try:
            return Repository(self.configuration.parent / str(configured.get("repo", ".")))
        except InputError:
            return None

    def configure(self, repository: Repository, benchmarks: Path) -> None:
        """Writes asv's configuration for ``repository``; what a user has put into one that is there stays.

        Raises InputError where the history is another repository's.
        """
        settings: dict[str, Any] = {
            "version": 1,
            "project": self.name,
            "project_url": str(repository.root),
            "repo": str(repository.root),
            "repo_subdir": repository.subfolder,
            "dvcs": "git",
            "branches": ["HEAD"],
            "benchmark_dir": str(benchmarks),
            "env_dir": "env",
            "results_dir": "results",
            "html_dir": "html",
            "hash_length": 10,
            "plugins": [".fiabench.asv_plugin.environment"],
            "environment_type": "inplace",
        }
        if self.configuration.exists():
            kept = self._read_configuration()
            for key in ("repo", "repo_subdir"):
                if kept.get(key, settings[key]) != settings[key]:
                    raise InputError.plain(
                        f"{self.configuration}: is the history of {key} {kept[key]!r}, found {settings[key]!r}; "
                        "give this project another --name"
                    )
            settings |= kept | {"benchmark_dir": str(benchmarks)}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.configuration.write_text(json.dumps(settings, indent=4) + "\n", encoding="utf-8")
        except OSError as error:
            raise InputError.plain(f"{self.configuration}: cannot be written ({error.strerror})") from error

    def _read_configuration(self) -> dict[str, Any]:
        try:
            kept: dict[str, Any] = json.loads(self.configuration.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError.plain(f"{self.configuration}: cannot be read ({error})") from error
        return kept

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Keeps other writers out; gives the file descriptor that holds the lock, for those who write on our behalf.

        Raises InputError where somebody else writes.
        """
        with lock(self.folder, "this history is being written by another run") as descriptor:
            yield descriptor

    def note_failure(self, machine: str, commit: str, reason: str) -> None:
        """Keeps the reason why nothing at all came of a commit."""
        folder = self.runs / machine / commit
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{datetime.now():{TIME}}{FAILED}").write_text(f"{reason}\n", encoding="utf-8")

    def refusals(self, machine: str, commit: str) -> dict[Path, str]:
        """Why the engine refused to measure a commit, each time that it did, by file."""
        found = sorted((self.runs / machine / commit).glob(f"*{REFUSED}"))
        return {path: path.read_text(encoding="utf-8", errors="replace").strip() for path in found}

    def attempts(
        self, machine: str = "", commit: str = "", read: Callable[[Path], Run] = read_run
    ) -> tuple[list[Attempt], list[str]]:
        """What lies in the run directories, by machine, commit and time, and what of it cannot be read, in words.

        ``read`` raises InputError for what it cannot read. Nobody knows what such a run measured: no failure is made
        of it.
        """
        found: dict[str, list[Attempt]] = {}
        unreadable = []
        for path in self._places(machine, commit):
            try:
                run = read(path) if (path / HEADER).exists() else None
            except InputError as error:
                unreadable.append(str(error))
                run = None
            try:
                asked = read_note(path)
            except (OSError, ValueError) as error:
                unreadable.append(f"{path.with_suffix(ASKED)}: cannot be read ({error})")
                asked = {}
            box = path.parent.parent.name
            found.setdefault(box, []).append(Attempt(box, path.parent.name, path, run, _reason(path), asked))
        return [attempt for attempts in found.values() for attempt in by_device(attempts)], unreadable

    def run_directories(self) -> list[Path]:
        """Where :meth:`attempts` finds runs."""
        return [path for path in self._places() if (path / HEADER).exists()]

    def _places(self, machine: str = "", commit: str = "") -> Iterator[Path]:
        """The attempts' paths, by machine, commit and time; of one that left nothing the one that it would have had."""
        for folder in sorted(self.runs.glob(f"{machine or '*'}/{commit or '*'}")):
            if HASH.fullmatch(folder.name):
                yield from sorted({_directory(path) for path in folder.iterdir() if _is_attempt(path)})


def by_device(attempts: Sequence[Attempt]) -> list[Attempt]:
    """The attempts of one box with each kind of device as a machine of its own, see :attr:`Attempt.machine`.

    What failed before any device was asked for, a checkout say, failed on all of them.
    """
    kinds = list(dict.fromkeys(attempt.device for attempt in attempts if attempt.run))
    real = [kind for kind in _BEST_FIRST if kind in kinds]
    best = real[0] if real else kinds[0] if len(kinds) == 1 else ""
    found = []
    for attempt in attempts:
        of = [attempt.device or best] if attempt.run or attempt.asked else kinds or [best]
        for kind in of:
            own = attempt.machine if kind == best else f"{attempt.machine} ({kind})"
            found.append(attempt if own == attempt.machine else replace(attempt, machine=own))
    return found


def _is_attempt(path: Path) -> bool:
    return path.suffix == FAILED or (path.suffix != PART and (path / HEADER).exists())


def _directory(path: Path) -> Path:
    return path.with_suffix("") if path.suffix == FAILED else path


def _reason(path: Path) -> str:
    written = path.with_name(path.name + FAILED)
    return written.read_text(encoding="utf-8", errors="replace").strip() if written.exists() else ""


def histories(place: Path) -> list[str]:
    """The names of the outside projects that have a history in ``place``."""
    return sorted(path.name for path in (place / "projects").glob("*") if (path / "runs").is_dir())
