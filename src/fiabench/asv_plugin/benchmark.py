"""The benchmarks of a plan: a class for each group, and the asv benchmark type that gives each group its own cache.

asv imports this in a process for every combination: the standard library and asv's own runner, nothing else.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from math import nan
from pathlib import Path
from typing import Any

from asv_runner.benchmarks._base import Benchmark, _get_first_attr

from fiabench.asv_plugin.names import METRICS, PARAMETERS, PLAN, PREFIX, VERSION

_AFTER_DEADLINE = 120.0
"""Seconds that asv waits for `setup_cache` beyond the engine's deadline: the engine's own end is a clean one."""


class SweepBenchmark(Benchmark):
    """asv's type for a benchmark that hands over what its group's `setup_cache` measured."""

    name_regex = re.compile(f"^{PREFIX}.+$")

    def __init__(self, name: str, func: Any, attr_sources: list[Any]) -> None:
        super().__init__(name, func, attr_sources)
        self.type = "track"
        self.unit = _get_first_attr(attr_sources, "unit", "seconds")
        # asv tells caches apart by file and line, and all groups have the same.
        self.setup_cache_key = name.rpartition(".")[0]
        self.setup_cache_timeout = _get_first_attr(attr_sources, "seconds", 0.0) + _AFTER_DEADLINE
        # Without it asv runs one round however many `--interleave-rounds` is told of.
        self.rounds = int(_get_first_attr(attr_sources, "rounds", 1))

    def run(self, *parameters: Any) -> Any:
        return self.func(*parameters)


def plan() -> dict[str, Any] | None:
    """The plan of the asv process that started this one; None where there is none."""
    path = os.environ.get(PLAN)
    return None if path is None else json.loads(Path(path).read_text(encoding="utf-8"))


def classes() -> dict[str, type]:
    """The classes of the plan by name; none where no asv process with the environment `inplace` started this one."""
    found = plan()
    return {} if found is None else {name: _class(name, group) for name, group in found["groups"].items()}


def _class(name: str, group: dict[str, Any]) -> type:
    def setup_cache(self: Any) -> dict[str, str]:
        # Imported where the measuring is done: a process that only hands over should not pay for it.
        from fiabench.asv_plugin.measuring import measure_group

        return {"reason": measure_group(name)}

    members: dict[str, Any] = {
        "params": [group["lengths"], group["shards"]],
        "param_names": PARAMETERS,
        "version": VERSION,
        "seconds": group["seconds"],
        "setup_cache": setup_cache,
    }
    members |= {f"{PREFIX}{metric}": _handing_over(name, metric, group) for metric in group["metrics"]}
    return type(name, (), members)


def _handing_over(name: str, metric: str, group: dict[str, Any]) -> Callable[..., Any]:
    def hand_over(self: Any, cache: dict[str, str], length: int | str, shard: str) -> Any:
        cell = group["lengths"].index(length), group["shards"].index(shard)
        return take(Path.cwd(), metric, *cell, reason=cache["reason"])

    hand_over.__name__ = f"{PREFIX}{metric}"
    hand_over.__doc__ = f"{metric} of {name}"
    hand_over.unit = METRICS[metric]  # type: ignore[attr-defined]
    hand_over.pretty_source = f"{PREFIX}{metric}: of each case of {name}"  # type: ignore[attr-defined]
    return hand_over


def store(folder: Path, metric: str, row: int, column: int, sessions: list[Any], reason: str) -> None:
    """Leaves what the sessions of a measurement have of a case for :func:`take`, and why a None among them is one."""
    content = json.dumps({"sessions": sessions, "reason": reason})
    (folder / f"{metric}.{row}.{column}.json").write_text(content, encoding="utf-8")


def take(folder: Path, metric: str, row: int, column: int, reason: str) -> Any:
    """For asv what the next session has of a case: samples, or a number; NaN (asv's `n/a`) where the case was left out,
    None (`failed`) where it failed, or where every session was taken already. ``reason`` is what kept all from it.

    asv asks once a round, in a new process each, and would take the same samples for new ones.
    """
    path = folder / f"{metric}.{row}.{column}.json"
    if not path.exists():
        return _explained(None if reason else nan, reason)
    stored = json.loads(path.read_text(encoding="utf-8"))
    sessions = stored["sessions"]
    taken = path.with_suffix(".taken")
    before = int(taken.read_text()) if taken.exists() else 0
    taken.write_text(str(before + 1))
    if before >= len(sessions):
        return _explained(None, stored["reason"] or f"all {len(sessions)} sessions were handed over before")
    value = sessions[before]
    return {"samples": value, "number": 1} if isinstance(value, list) else _explained(value, stored["reason"])


def _explained(value: float | None, reason: str) -> float | None:
    """``value``; a failure's reason goes to where asv shows it."""
    if value is None:
        print(reason, file=sys.stderr)
    return value
