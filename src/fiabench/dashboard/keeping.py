"""What was read is kept, so that the next time only what is new is read: by path, size and time of the run's files."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from fiabench.cases.errors import InputError
from fiabench.dashboard import digest as digests
from fiabench.dashboard import samples
from fiabench.dashboard.digest import COLUMNS, Digest
from fiabench.dashboard.script import key_of
from fiabench.history.on_cores import on_every_core, ranges
from fiabench.results.rundir import CASES, HEADER, Run

_FORMAT = f"6 {' '.join(COLUMNS)}"
"""Of what is kept: changes with what a digest holds and with the metrics, so that all is read again."""
_INDEX, _PART = "kept.json", ".part"
_TOGETHER, _MANY = 8, 4
"""Runs that a process reads at a time, and of such parts how many there have to be to start processes for them."""

Progress = Callable[[str, int, int], None]
"""What is done, how far, and out of how much."""


class Keeper:
    """Reads run directories, each once. Its folder holds `digests/` and `samples/`; whoever removes it loses time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notices: list[str] = []
        """What was passed over in the runs that were asked for, in words."""
        self.read_now: list[Path] = []
        """The runs that were not kept yet."""
        self._asked: dict[str, dict[str, Any]] = {}
        kept = self._read_index()
        self._known: dict[str, dict[str, Any]] = kept.get("runs", {})
        self._cases: dict[str, dict[str, Any]] = kept.get("cases", {})
        self._checked: dict[str, dict[str, Any]] = {}
        self._grown = False

    def _read_index(self) -> dict[str, Any]:
        try:
            kept = json.loads((self.folder / _INDEX).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}  # nothing yet, or cut short: everything is read again
        return kept if isinstance(kept, dict) and kept.get("format") == _FORMAT else {}

    def read(self, path: Path) -> Run:
        """The run in ``path`` without its samples. Raises InputError where it cannot be used."""
        place = str(path.absolute())
        stamp = _stamp(path)
        known = self._known.get(place)
        if known is not None and known["stamp"] != stamp:
            known = None
        found = self._load(known["key"], path) if known and "key" in known else None
        if known is None or ("key" in known and found is None):  # new, or somebody removed what was kept
            known = self._take(path, stamp)
            found = self._load(known["key"], path) if "key" in known else None
        self._asked[place] = known
        self.notices += known["notices"]
        if found is None:
            raise InputError.plain(known["problem"])
        return found

    def samples(self, key: str) -> Path:
        """The folder with the files that the page loads of a run."""
        return _samples(self.folder, key)

    @property
    def keys(self) -> list[str]:
        """Of all runs that were asked for and can be read."""
        return [known["key"] for known in self._asked.values() if "key" in known]

    def read_ahead(self, paths: Iterable[Path], each: Progress) -> None:
        """Reads those of ``paths`` that are not kept yet, at a first build all, on every core; ``each``
        hears of it. What goes wrong with a run is said when it is read."""
        new = [(path, stamp) for path in paths if (stamp := _stamp(path)) != self._stamp_of(path)]
        parts = ranges(len(new), _TOGETHER)
        if len(parts) < _MANY:
            return

        def some(numbers: range) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
            return _take_all(self.folder, new[numbers.start : numbers.stop])

        for numbers, (known, cases) in zip(parts, on_every_core(some, parts)):
            self._known |= known
            self._cases |= cases
            self.read_now += [path for path, _ in new[numbers.start : numbers.stop]]
            each("reading runs", numbers.stop, len(new))
        self._grown = True

    def _stamp_of(self, path: Path) -> list[Any] | None:
        known = self._known.get(str(path.absolute()))
        return known["stamp"] if known else None

    def _take(self, path: Path, stamp: list[Any]) -> dict[str, Any]:
        self.read_now.append(path)
        self._grown = True
        known, cases = _take(self.folder, path, stamp, self._checked)
        self._cases |= cases
        return known

    def _load(self, key: str, path: Path) -> Run | None:
        """None where what was kept is not whole."""
        folder = self.folder / "digests"
        try:
            content = json.loads((folder / f"{key}.json").read_bytes())
            values = np.load(folder / f"{key}.npy", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        if not (self.samples(key) / "values.js").exists() or len(values) != len(content["lines"]):
            return None
        return Digest(key, content["header"], content["lines"], values).run(path, self._cases)

    def close(self) -> None:
        """Notes what is kept, and removes what nobody asked for: runs that are gone or have grown since."""
        if not self._grown and self._asked.keys() == self._known.keys():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        content = {"format": _FORMAT, "runs": self._asked, "cases": self._cases}
        write_whole(self.folder / _INDEX, json.dumps(content, separators=(",", ":")))
        kept = set(self.keys)
        for folder in (self.folder / "samples").glob("*"):
            if folder.name not in kept:
                shutil.rmtree(folder)
        for file in (self.folder / "digests").glob("*"):
            if file.stem not in kept:
                file.unlink()


def _take_all(
    folder: Path, runs: list[tuple[Path, list[Any]]]
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Several runs, each with its stamp, in a process of its own: what is known of each by path, and their cases."""
    found, all_cases, checked = {}, {}, {}  # type: ignore[var-annotated]
    for path, stamp in runs:
        found[str(path.absolute())], cases = _take(folder, path, stamp, checked)
        all_cases |= cases
    return found, all_cases


def _take(
    folder: Path, path: Path, stamp: list[Any], checked: dict[str, dict[str, Any]]
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Keeps the run in ``path`` in ``folder``: what is known of it, and its cases by key. ``checked`` see
    :func:`digest.read`."""
    try:
        run, notices = digests.read(path, checked)
    except InputError as error:
        return {"stamp": stamp, "notices": [], "problem": str(error)}, {}
    key = key_of(str(path.absolute()), *map(str, stamp))
    found, cases = digests.digest(run, key)
    samples.write(_samples(folder, key), run, found)
    (folder / "digests").mkdir(parents=True, exist_ok=True)
    np.save(folder / "digests" / f"{key}.npy", found.values, allow_pickle=False)
    content = {"header": found.header, "lines": found.lines}
    write_whole(folder / "digests" / f"{key}.json", json.dumps(content, separators=(",", ":")))
    return {"stamp": stamp, "notices": notices, "key": key}, cases


def _samples(folder: Path, key: str) -> Path:
    return folder / "samples" / key


def _stamp(path: Path) -> list[Any]:
    """Size and time of what the run consists of."""
    found: list[Any] = []
    for name in (HEADER, CASES):
        try:
            about = os.stat(path / name)
            found += [about.st_size, about.st_mtime_ns]
        except OSError:
            found += [None, None]
    return found


def mark_of_sources(*folders: Path) -> str:
    """Another one where a source in ``folders`` is another: what the former made is made anew."""
    taken = hashlib.sha256()
    for folder in folders:
        for source in sorted(folder.glob("*.py")):
            taken.update(source.name.encode() + source.read_bytes())
    return taken.hexdigest()


def write_whole(path: Path, text: str) -> None:
    """The file whole, or as it was before."""
    draft = path.with_name(path.name + _PART)
    draft.write_text(text, encoding="utf-8", errors="backslashreplace")
    draft.replace(path)
