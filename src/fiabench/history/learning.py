"""A history to learn on: a small git repository whose events are known, with real git, the same wherever it is made.

Fourteen commits of an attention layer of our own writing (:mod:`.learning_layer`). Four events are planted among clean
commits, in an order that the seed decides: a crash under Ulysses and a wrong result, each introduced and fixed; a
slowdown and a step in memory, which stay. No two events overlap, and none follows another at once.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

from fiabench.cases.errors import InputError
from fiabench.history import learning_layer as layer
from fiabench.history.learning_layer import Change

TRUTH = "TRUTH.json"
"""Written beside the repository's files and left out of git's sight: a clone has none."""
BRANCH = "main"
TAGS = ("v0.1", "v0.2", "v0.3")
"""Of the first commit, one half way, and the last."""

_WHO = ("A learner", "learner@localhost")
_FIRST_DAY = datetime(2026, 4, 24, 9, 30, tzinfo=timezone.utc)
_APART = timedelta(hours=29)


class Symptom(NamedTuple):
    """What an event shows in measurements, and in which."""

    about: str
    status: str
    """The status that its cases have; empty where they are measured."""
    metric: str
    """The metric that it moves by 10 % or more on a CPU; empty where its cases have none."""
    cases: str
    """The cases that tell it from the other events, as `--filter` takes them; empty for all."""


SYMPTOMS = {
    "crash": Symptom("The operator refuses every call under Ulysses.", "error", "", "ulysses=2,4"),
    "wrong": Symptom("Every output is wrong.", "wrong", "", ""),
    "slowdown": Symptom("Every call copies its inputs twice.", "", "kernel", "mask=none"),
    "memory": Symptom(
        "Causal calls build a full mask, which costs memory, and time too.", "", "peak_memory", "mask=causal"
    ),
}
"""The events by name."""

_CHANGES = {"crash": layer.CRASH, "wrong": layer.WRONG, "slowdown": layer.SLOWER, "memory": layer.MEMORY}
_FIXES = {"crash": layer.CRASH_FIX, "wrong": layer.WRONG_FIX}


class Event(NamedTuple):
    """Places in :func:`changes`."""

    introduced: int
    fixed: int | None
    """None for what is never fixed."""


class _Step(NamedTuple):
    change: Change
    introduces: str = ""
    fixes: str = ""


def changes(seed: int = 0) -> list[Change]:
    """The commits, oldest first."""
    return [step.change for step in _steps(seed)]


def truth(seed: int = 0) -> dict[str, Event]:
    """Where each event of :data:`SYMPTOMS` is."""
    steps = _steps(seed)
    introduced = {step.introduces: place for place, step in enumerate(steps)}
    fixed = {step.fixes: place for place, step in enumerate(steps)}
    return {name: Event(introduced[name], fixed.get(name)) for name in SYMPTOMS}


def versions(seed: int = 0) -> Iterator[dict[str, str]]:
    """The files as they stand after each commit: path to text."""
    files: dict[str, str] = {}
    for change in changes(seed):
        files = layer.apply(files, change)
        yield files


def make(path: Path, seed: int = 0) -> dict[str, Any]:
    """Makes the repository in ``path``, a folder that is empty or not there yet; returns what :data:`TRUTH` holds.

    `commits` has the `commit` (its hash) and `subject` of each, oldest first; `events` each event's `introduced` and
    `fixed` hash (None where it stays) with its symptom. The same seed gives the same hashes everywhere. Raises
    InputError where the folder holds something or cannot be written, or git is not there.
    """
    if not shutil.which("git"):
        raise InputError.plain("learn: found no git; install it")
    try:
        path.mkdir(parents=True, exist_ok=True)
        if any(path.iterdir()):
            raise InputError.plain(f"learn: found {path} with files in it; allowed: an empty folder, or a new one")
        hashes = _commit_all(path, seed)
        told = _told(hashes, seed)
        (path / TRUTH).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError.plain(f"learn: {path} cannot be made ({error.strerror}); name another folder") from error
    return told


def _steps(seed: int) -> list[_Step]:
    chance = random.Random(f"fiabench learning {seed}")
    clean = [_Step(change) for change in chance.sample(layer.CLEAN, len(layer.CLEAN))]
    start: list[_Step] = []
    slots = [start]
    """Where clean commits stand: at the start, before each fix, and after each event."""
    history = [[_Step(layer.FIRST)], start]
    for name in chance.sample(list(_CHANGES), len(_CHANGES)):
        change = _CHANGES[name]
        parts = [[_Step(change, introduces=name)]]
        if name in _FIXES:
            parts.append([_Step(change.undone(_FIXES[name]), fixes=name)])
        for part in parts:
            slot = [clean.pop()]
            slots.append(slot)
            history += [part, slot]
    for step in clean:
        chance.choice(slots).append(step)
    return [step for part in history for step in part]


def _commit_all(path: Path, seed: int) -> list[str]:
    """The hashes of the commits."""
    _git(path, "init", "--quiet", "--template=")
    _git(path, "symbolic-ref", "HEAD", f"refs/heads/{BRANCH}")
    (path / ".git" / "info").mkdir(exist_ok=True)
    (path / ".git" / "info" / "exclude").write_text(f"/{TRUTH}\n", encoding="utf-8")
    hashes = []
    for place, (change, files) in enumerate(zip(changes(seed), versions(seed))):
        for name in {edit.path for edit in change.edits}:
            file = path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(files[name], encoding="utf-8", newline="\n")
        _git(path, "add", "--all")
        _git(path, "commit", "--quiet", "--message", change.subject, date=_FIRST_DAY + place * _APART)
        hashes.append(_git(path, "rev-parse", "HEAD"))
    for tag, place in zip(TAGS, (0, len(hashes) // 2, len(hashes) - 1)):
        _git(path, "tag", tag, hashes[place])
    return hashes


def _told(hashes: list[str], seed: int) -> dict[str, Any]:
    events = {
        name: {
            "introduced": hashes[event.introduced],
            "fixed": None if event.fixed is None else hashes[event.fixed],
            **SYMPTOMS[name]._asdict(),
        }
        for name, event in truth(seed).items()
    }
    commits = [{"commit": commit, "subject": change.subject} for commit, change in zip(hashes, changes(seed))]
    return {"seed": seed, "commits": commits, "events": events}


def _git(path: Path, *arguments: str, date: datetime = _FIRST_DAY) -> str:
    """What git printed, without anything of the user's own settings. Raises InputError with git's own words."""
    name, address = _WHO
    stamp = f"{int(date.timestamp())} +0000"
    # From a hook, say, git's own variables point at another repository.
    variables = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    variables |= {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_DEFAULT_HASH": "sha1",
        "GIT_AUTHOR_NAME": name,
        "GIT_AUTHOR_EMAIL": address,
        "GIT_AUTHOR_DATE": stamp,
        "GIT_COMMITTER_NAME": name,
        "GIT_COMMITTER_EMAIL": address,
        "GIT_COMMITTER_DATE": stamp,
        "LC_ALL": "C.UTF-8",
    }
    done = subprocess.run(["git", *arguments], cwd=path, env=variables, capture_output=True, text=True)
    if done.returncode:
        raise InputError.plain(f"learn: git {arguments[0]} failed in {path}: {done.stderr.strip()}")
    return done.stdout.strip()
