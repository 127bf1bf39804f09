"""Whole histories of a toy repository with planted levels: real git, and run directories as engines write them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fiabench.cases.load import load_sweep
from fiabench.cli.history import main
from fiabench.history.freezing import freeze
from fiabench.history.repository import Repository
from fiabench.history.store import Store
from tests.history.planted import CASE, add, failed, line
from tests.history.toy import PLAIN, Toy, write_sweep

Level = float | str | None
"""Of a commit: by how much it takes longer than a millisecond, the status that it ends with, or None: not measured."""


class Planted(NamedTuple):
    place: Path
    toy: Toy
    store: Store
    hashes: list[str]

    def run(self, command: str, *arguments: object) -> int:
        """A command of `tools/history.py` on it."""
        return main([command, *map(str, arguments), "--project", "toy", "--store", str(self.place)])


def history(
    place: Path,
    levels: Sequence[Level],
    seed: int = 1,
    noise: float = 0.01,
    texts: Sequence[str] = (),
    memory: Sequence[float] = (),
    facts: dict[int, dict[str, Any]] | None = None,
) -> Planted:
    """A commit for each of ``levels``, the module's text its own where ``texts`` has one.

    Each commit is off by Gaussian ``noise`` of its own. ``memory`` holds peak bytes by commit; ``facts`` are those of
    the environment that are new from a commit on.
    """
    place.mkdir(exist_ok=True)
    toy = Toy(place / "repository")
    rng = np.random.default_rng(seed)
    store = Store.of(place, "toy")
    text = [*texts, *[texts[-1] if texts else PLAIN] * (len(levels) - len(texts))]
    hashes = [toy.commit(f"{text[number]}# {number}\n", f"Commit {number}") for number in range(len(levels))]
    store.configure(Repository(toy.path), place)
    freeze(load_sweep(write_sweep(place / "sweep.yaml")), store.sweep("toy"))
    environment: dict[str, Any] = {}
    for number, (commit, level) in enumerate(zip(hashes, levels)):
        environment |= (facts or {}).get(number, {})
        if level is None:
            continue
        if isinstance(level, str):
            made = failed(commit, level, "RuntimeError: query shape [1, 5], not [1, 20]")
        else:
            seconds = 1e-3 * level * float(np.exp(noise * rng.standard_normal()))
            made = line(commit, seconds, rng, memory[number] if memory else 1e6)
        add(store, commit, [made], **environment)
    return Planted(place, toy, store, hashes)


def set_times(planted: Planted, minutes: Sequence[float]) -> None:
    """When the run of each commit began, in minutes from the first; each took one."""
    for commit, begun in zip(planted.hashes, minutes):
        (path,) = (planted.store.runs / "box" / commit).glob("*/run.json")
        header = json.loads(path.read_text())
        stamps = (
            np.datetime64("2026-01-02T00:00:00") + np.timedelta64(round(60 * at), "s") for at in (begun, begun + 1)
        )
        created, finished = (f"{stamp}+00:00" for stamp in stamps)
        path.write_text(json.dumps(header | {"created": created, "finished": finished}))


__all__ = ["CASE", "Level", "Planted", "history", "set_times"]
