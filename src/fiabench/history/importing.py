"""Sweep runs from other boxes, taken into a history: another machine beside this one."""

from __future__ import annotations

import re
import shutil
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from fiabench.cases.errors import InputError
from fiabench.history.store import PART, TIME, Store, check_name
from fiabench.results.environment import is_simulated
from fiabench.results.rundir import CASES, HEADER, Run, read_run

_HASH = re.compile(r"[0-9a-f]{40}")


class Source(NamedTuple):
    """A run that is to be taken in, and where it belongs."""

    run: Run
    project: str
    """The name of the history; empty for this repository's own."""
    machine: str
    commit: str


def read(path: Path, project: str | None = None, machine: str = "", commit: str = "") -> Source:
    """The run in ``path``, the history that it belongs to, its machine and the commit that it measured.

    ``project``, ``machine`` and ``commit`` say what the run does not, or otherwise. Raises InputError where it cannot
    be told, and for a run that is of no commit: one with changes, or a simulated one.
    """
    run = read_run(path)
    if not run.lines:
        raise InputError.plain(f"{path}: holds no measurement; allowed: a run that measured something")
    if is_simulated(run.environment):
        raise InputError.plain(f"{path}: is simulated; allowed: measurements")
    key, found, dirty = _code(run, project)
    if commit and not _HASH.fullmatch(commit):
        raise InputError.plain(f"--commit: found {commit!r}; allowed: a whole hash, 40 digits")
    if commit and found and not dirty and commit != found:
        raise InputError.plain(f"{path}: measured commit {found}, not {commit}")
    if not commit and (dirty or not found):
        why = f"measured {found} with changes that are in no commit" if found else "does not say which commit it is of"
        raise InputError.plain(f"{path}: {why}; allowed: a run of a clean checkout, or --commit HASH")
    name = machine or str(run.environment.get("host") or "")
    check_name("--machine", name)
    return Source(run, project or key, name, commit or str(found))


def _code(run: Run, project: str | None) -> tuple[str, str | None, bool]:
    """Of what was measured the project's name in the sweep (empty for fiabench itself), commit, and whether it was
    changed. Raises InputError where several projects could be meant."""
    origins = {
        (name, origin["commit"], bool(origin["dirty"]))
        for line in run.lines
        for name, origin in line.timing.get("projects", {}).items()
    }
    names = {name for name, _, _ in origins} or set(run.header["sweep"].get("projects", {}))
    if project in names:
        origins = {origin for origin in origins if origin[0] == project}
        names = {project}
    if not names and project is None:
        return "", run.environment.get("commit"), bool(run.environment.get("dirty"))
    if len(origins) > 1 or len(names) > 1:
        raise InputError.plain(f"{run.path}: measured several projects or commits; allowed: one, named by --project")
    return next(iter(origins), (next(iter(names), ""), None, False))


def take(source: Source, store: Store) -> tuple[Path, bool]:
    """Copies the run into the history; returns where to, and whether it was not there yet.

    Only what cannot be rebuilt is copied. Raises InputError where it cannot be written.
    """
    created = datetime.fromisoformat(source.run.header["created"])
    folder = store.runs / source.machine / source.commit
    content = (source.run.path / CASES).read_bytes()
    for there in sorted(folder.glob("*")):
        if (there / CASES).exists() and (there / CASES).read_bytes() == content:
            return there, False
    target = folder / f"{created:{TIME}}"
    while target.exists():
        target = target.with_name(f"{target.name}x")
    draft = target.with_name(f"{target.name}{PART}")
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        for name in (CASES, HEADER):
            shutil.copyfile(source.run.path / name, draft / name)
        draft.rename(target)
    except OSError as error:
        raise InputError.plain(f"{target}: cannot be written ({error.strerror})") from error
    return target, True
