"""Histories whose truth is known: run directories written as the engine writes them, with planted samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fiabench.cases.load import load_sweep
from fiabench.history.store import Store
from fiabench.results import metrics
from fiabench.results.measurement import Measurement
from fiabench.results.rundir import RunDirectory
from tests.history.toy import write_sweep
from tests.results.samples import ENVIRONMENT
from tests.ulysses.points import make_case

CASE = make_case(op="toy", seq_len_q=512, ulysses=1, heads=4, head_dim=32)
"""The one of the toy's sweep."""
ORIGIN = {"path": "checkout", "file": "checkout/toy.py", "dirty": False, "version": None}
FACTS = {
    **ENVIRONMENT, "fiabench": "0.1", "commit": "e" * 40, "dirty": False, "host": "box", "python": "3.11.1",
    "versions": {"torch": "2.5.1", "numpy": "2.0"}, "variables": {}, "driver": None, "cann": None, "simulated": False,
}  # fmt: skip


def line(commit: str, seconds: float, rng: np.random.Generator, memory: float = 1e6, **changes: Any) -> Measurement:
    """The toy's case measured at ``commit``: around ``seconds``, with noise of half a percent."""
    samples = {
        name: {"0": (seconds * (1 + 0.005 * rng.standard_normal(30))).tolist()} for name in ("kernel", "end_to_end")
    }
    made = Measurement(CASE.id, CASE.as_dict() | {"device": "cpu", "threads": 1}, "ok", samples=samples)
    made.timing = {"method": "host", "world_size": 1, "projects": {"toy": {**ORIGIN, "commit": commit}}}
    made.metrics = metrics.compute(CASE, samples, None, memory)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def failed(commit: str, status: str, reason: str) -> Measurement:
    """The toy's case not measured at ``commit``."""
    made = Measurement(CASE.id, CASE.as_dict() | {"device": "cpu", "threads": 1}, status, reason)
    made.timing = {"projects": {"toy": {**ORIGIN, "commit": commit}}}
    return made


def write_run(path: Path, lines: Sequence[Measurement], finished: bool = True, **facts: Any) -> Path:
    """A run directory with ``lines``; ``facts`` are of its environment."""
    sweep = load_sweep(write_sweep(path.parent / f"{path.name}.yaml"))
    (path.parent / f"{path.name}.yaml").unlink()
    header = {
        "created": "2026-01-02T03:04:05+00:00",
        "finished": "2026-01-02T03:05:05+00:00" if finished else None,
        "sweep": sweep.resolved(),
        "options": {"device": "auto", "sessions": 1},
        "environment": FACTS | facts,
    }
    directory = RunDirectory.create(path, header)
    for one in lines:
        directory.append(one)
    directory.close()
    return path


def add(
    store: Store, commit: str, lines: Sequence[Measurement], machine: str = "box", time: str = "1", **facts: Any
) -> Path:
    """A run directory of ``commit`` in the history."""
    folder = store.runs / machine / commit
    folder.mkdir(parents=True, exist_ok=True)
    return write_run(folder / f"2026010{time}-000000-000000", lines, **facts)
