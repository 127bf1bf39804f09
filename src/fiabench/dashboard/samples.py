"""The files of one run: its samples, some cases to a file, and its values for comparing any two commits.

A run does not change, so these are written once. Names in them come from run directories and are data to the page.
"""

from __future__ import annotations

import math
from array import array
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from fiabench.dashboard.digest import CHUNK, COLUMNS, Digest
from fiabench.dashboard.script import packed, shortened, take
from fiabench.results.measurement import Measurement
from fiabench.results.rundir import Run

MOST = 2000
"""Samples of a phase and rank that a page gets; the run directory has all."""
_MOST_READINGS = 400
_RANKS = [str(rank) for rank in range(1024)]
"""In their order, as nearly every run has them."""
_TIMING = frozenset((
    "method", "mode", "emulated", "oversubscribed", "host_bound", "world_size", "described_world_size",
    "warmup_iterations", "sampling_seconds", "half_width", "wanted_half_width", "flags", "projects",
))  # fmt: skip
"""What a case's page tells of how it was timed."""


def write(folder: Path, run: Run, digest: Digest) -> None:
    """Writes the run's files into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    lines: dict[str, list[Measurement]] = defaultdict(list)
    for line in run.lines:
        lines[line.id].append(line)
    cases = [[_line(line) for line in found] for found in lines.values()]
    for number, start in enumerate(range(0, len(cases), CHUNK)):
        name = f"samples/{digest.key}/{number}"
        (folder / f"{number}.js").write_bytes(_script(name, cases[start : start + CHUNK]))
    there = [name for name, place in COLUMNS.items() if not np.isnan(digest.values[:, place, 0]).all()]
    values = {
        "cases": [line["case"] for line in digest.lines],
        "status": [line["status"] for line in digest.lines],
        "metrics": there,
        "values": packed(digest.values[:, [COLUMNS[name] for name in there], 0].T),
    }
    (folder / "values.js").write_bytes(_script(f"samples/{digest.key}/values", values))


def _script(name: str, content: Any) -> bytes:
    try:
        text = take(name, content)
    except ValueError:  # rarely so: what JSON does not have is in a check, say
        text = take(name, _plain(content))
    return text.encode("utf-8", "backslashreplace")


def _line(line: Measurement) -> dict[str, Any]:
    """One session's samples: of each phase its name, the count of each rank and of how many, where some are left out;
    and all numbers, one rank after the other."""
    phases: list[list[Any]] = []
    numbers = array("f")
    for phase, by_rank in line.samples.items():
        ranks = list(by_rank) if isinstance(by_rank, dict) else []
        if ranks != _RANKS[: len(ranks)]:
            ranks.sort(key=_number)
        counts, most = [], 0
        for rank in ranks:
            values = by_rank[rank]
            shown = _single(values)
            counts.append(len(shown))
            numbers += shown
            if len(shown) == MOST:
                most = max(most, len(values))
        phases.append([phase, counts, most] if most else [phase, counts])
    timing = {name: value for name, value in line.timing.items() if name in _TIMING and value}
    said = {"check": line.check, "timing": timing, "phases": phases, "v": shortened(numbers)}
    sensors = _sensors(line)
    return said | {"sensors": sensors} if sensors else said


def _sensors(line: Measurement) -> dict[str, Any]:
    """Clock, temperature and what else the sensors said, by rank and reading."""
    found = line.timing.get("sensors")
    if not isinstance(found, dict):
        return {}
    said: dict[str, Any] = {}
    for rank, readings in found.items():
        for name, values in readings.items() if isinstance(readings, dict) else ():
            numbers = _numbers(values)
            if numbers.size:
                said.setdefault(str(name), {})[str(rank)] = packed(numbers[:_MOST_READINGS])
    return said


def _single(values: Any) -> array[float]:
    """The first of ``values`` in single precision, by the quickest way that takes them."""
    try:
        return array("f", values[:MOST])
    except (TypeError, ValueError, OverflowError):
        return array("f", _numbers(values)[:MOST].tolist())


def _numbers(values: Any) -> np.ndarray:
    """NaN in the place of what is no number."""
    try:
        return np.asarray(values, dtype=float).reshape(-1)
    except (TypeError, ValueError, OverflowError):
        there = values if isinstance(values, list) else []
        return np.array([value if isinstance(value, (int, float)) else math.nan for value in there], dtype=float)


def _number(rank: Any) -> tuple[int, str]:
    return (int(rank), "") if str(rank).isascii() and str(rank).isdigit() else (1 << 30, str(rank))


def _plain(value: Any) -> Any:
    """Without what JSON does not have: an infinite or missing number is said in words."""
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
