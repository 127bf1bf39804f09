"""The run directory: `run.json` says what ran on what, `cases.jsonl` holds one measurement a line.

A line is written and flushed when its case ends, so that whatever stops a run, the finished cases
are there. Everything else in the directory (tables, figures) can be rebuilt from these two files.
"""

from __future__ import annotations

import json
import os
import weakref
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from fiabench.cases.errors import InputError
from fiabench.results.locks import hold
from fiabench.results.measurement import Measurement
from fiabench.results.sessions import over_sessions

FORMAT = 1
"""Version of both files; raised when a reader of the former version would misread them."""

HEADER = "run.json"
CASES = "cases.jsonl"


@dataclass
class Run:
    """A run directory as read."""

    path: Path
    header: dict[str, Any]
    lines: list[Measurement]
    """One of each case and session, in the order measured."""

    @cached_property
    def measurements(self) -> list[Measurement]:
        """One of each case, in that order: what several sessions measured is brought together."""
        return over_sessions(self.lines)

    @property
    def environment(self) -> dict[str, Any]:
        environment: dict[str, Any] = self.header["environment"]
        return environment


class RunDirectory:
    """A run directory that is being written."""

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        self.path = path
        self.header = header

    @classmethod
    def create(cls, path: Path, header: dict[str, Any]) -> RunDirectory:
        """A new directory with its header written.

        Raises InputError where the path holds a run already or cannot be written.
        """
        directory = cls(path, {"format": FORMAT, **header})
        made: list[Path] = []
        try:
            if (path / HEADER).exists():
                raise InputError.plain(
                    f"{path}: holds a run already; go on with --resume {path}, or name another --out"
                )
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                raise InputError.plain(f"{path}: is there and is no empty directory; name another --out")
            made = [folder for folder in (path, *path.parents) if not folder.exists()]
            path.mkdir(parents=True, exist_ok=True)
            directory.lock()
            directory.write_header()
        except OSError as error:
            for folder in made:
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()
            raise InputError.plain(f"{path}: cannot be written ({error.strerror}); name another --out") from error
        return directory

    @classmethod
    def reopen(cls, path: Path) -> tuple[RunDirectory, Run]:
        """The directory of an unfinished run, and what it holds; a line cut short by a crash is removed.

        Raises InputError where it is no run directory, or one that another process is writing.
        """
        run = read_run(path)
        directory = cls(path, run.header)
        directory.lock()
        cases = path / CASES
        if cases.exists():
            content = cases.read_bytes()
            whole = content[: content.rfind(b"\n") + 1]
            if whole != content:
                with cases.open("r+b") as file:
                    file.truncate(len(whole))
        return directory, run

    def lock(self) -> None:
        """Keeps others from writing here until :meth:`close`. Raises InputError where another process writes."""
        descriptor = os.open(self.path, os.O_RDONLY)
        self._unlock = weakref.finalize(self, os.close, descriptor)
        hold(descriptor, self.path, "is being written by another run")

    def close(self) -> None:
        """Lets others write here."""
        self._unlock()

    def write_header(self) -> None:
        """Writes `run.json` whole or not at all."""
        draft = self.path / (HEADER + ".part")
        content = _encode(self.header, indent=2)
        try:
            with draft.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.path / HEADER)
        except OSError:
            with suppress(OSError):
                draft.unlink()
            raise

    def append(self, measurement: Measurement) -> None:
        """Adds a line to `cases.jsonl`; raises InputError, with no half line left, where the disk is full."""
        line = _encode(measurement.as_dict())
        try:
            with (self.path / CASES).open("ab", buffering=0) as file:
                before = file.tell()
                try:
                    while line:  # a disk that gets full takes a part, and only the next write says why
                        line = line[file.write(line) :]
                    os.fsync(file.fileno())
                except OSError:
                    file.truncate(before)
                    raise
        except OSError as error:
            raise InputError.plain(
                f"{self.path / CASES}: cannot be written ({error.strerror}); the cases before are kept: "
                f"make room, then go on with --resume {self.path}"
            ) from error


def _encode(value: dict[str, Any], indent: int | None = None) -> bytes:
    """One JSON object and a newline. What is no Unicode (an environment variable may hold any bytes) is escaped."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace") + b"\n"


def read_run(path: Path) -> Run:
    """Reads a run directory; a last line without its end is passed over.

    Raises InputError where the path is no run directory, or one of another format.
    """
    try:
        header = json.loads((path / HEADER).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError.plain(f"{path}: is no run directory (no {HEADER} in it)") from error
    except (OSError, ValueError) as error:
        raise InputError.plain(f"{path / HEADER}: cannot be read ({error})") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        found = header.get("format") if isinstance(header, dict) else type(header).__name__
        raise InputError.plain(f"{path / HEADER}: found format {found!r}; this fiabench reads format {FORMAT}")
    return Run(path, header, _read_cases(path / CASES))


def _decode(line: bytes) -> Any:
    """A line of JSON, by the quickest decoder there is. Raises ValueError where it is none."""
    try:
        return from_json(line)
    except ValueError:
        return json.loads(line)  # knows characters that are no Unicode, as an environment variable may hold


def _read_cases(path: Path) -> list[Measurement]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError.plain(f"{path}: cannot be read ({error.strerror})") from error
    measurements = []
    for number, line in enumerate(content.splitlines(keepends=True), start=1):
        if not line.endswith(b"\n"):
            break
        try:
            measurements.append(Measurement(**_decode(line)))
        except (TypeError, ValueError) as error:
            raise InputError.plain(f"{path}:{number}: is no measurement ({error})") from error
    return measurements
