"""What asv's process works out once for all benchmarks' processes: the sweep's cases in groups, and what was asked for.

Handed on as a JSON file, so that a process that only hands over samples reads no sweep.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from fiabench.asv_plugin.names import METRICS, PROJECT, benchmark
from fiabench.asv_plugin.placing import Place, metrics, place
from fiabench.cases.case import Case
from fiabench.cases.errors import InputError
from fiabench.cases.expand import expand
from fiabench.cases.load import load_sweep
from fiabench.cases.schema import Sampling

_FILTERED = (
    "op", "layout", "dtype", "mask", "seq_len_q", "seq_len_kv", "batch", "tp", "ulysses", "exchange", "exchange_bytes",
    "threads", "inputs", "kv_cache", "ring", "cfg", "against", "cache",
)  # fmt: skip
"""The fields by which cases are picked out of their sweep; all others follow from these."""
_START_SECONDS = 300.0
_CASE_SECONDS = 60.0
_TIMES_SAMPLING = 3.0
"""A group's deadline is the sum of these: starting, and for each case a constant and so often its sampling. The engine
has a closer deadline of its own for each case; this one ends an engine that hangs itself."""


class Group(NamedTuple):
    """The benchmarks of one class: cases of one world size that differ in length and head shard."""

    lengths: list[int | str]
    shards: list[str]
    metrics: list[str]
    cases: dict[str, tuple[int, int]]
    """Case id to its places in ``lengths`` and ``shards``."""
    seconds: float
    """What measuring all of it may take, once."""


def read_groups(path: Path, device: str = "", project: str = "") -> tuple[dict[str, Group], list[Case]]:
    """The groups of the sweep in ``path`` by name, measured on ``device``, and all its cases.

    Raises InputError where it is no sweep, does not know the ``project`` whose commits are measured, or where asv
    cannot tell two of its cases apart.
    """
    sweep = load_sweep(path)
    if project and project not in sweep.projects:
        known = ", ".join(sweep.projects) or "none: this sweep has no projects"
        raise InputError.plain(f"{PROJECT}: found {project}; allowed by {path}: {known}")
    cases = [point for point in expand(sweep) if isinstance(point, Case)]
    if not cases:
        raise InputError.plain(f"{path}: no case of {sweep.name} is left to be measured")
    members: dict[str, dict[Place, Case]] = defaultdict(dict)
    for case in cases:
        placed = place(case, device)
        other = members[placed.group].setdefault(placed, case)
        if other != case:
            raise InputError.plain(f"{path}: asv cannot tell apart {other.id} and {case.id}; leave one of them out")
    return {name: _group(found, sweep.sampling) for name, found in members.items()}, cases


def _group(members: dict[Place, Case], sampling: Sampling) -> Group:
    lengths = list(dict.fromkeys(placed.length for placed in members))
    shards = list(dict.fromkeys(placed.shard for placed in members))
    there = {name for case in members.values() for name in metrics(case)}
    each = _CASE_SECONDS + _TIMES_SAMPLING * (sampling.max_seconds + sampling.warmup_max_seconds)
    each = max(each, sampling.deadline_seconds)
    return Group(
        lengths,
        shards,
        [name for name in METRICS if name in there],
        {case.id: (lengths.index(placed.length), shards.index(placed.shard)) for placed, case in members.items()},
        _START_SECONDS + each * len(members),
    )


def digest(path: Path) -> str:
    """Of a sweep file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def selected(name: str, group: dict[str, Any], patterns: Sequence[str]) -> set[str]:
    """The ids of the cases of which `-b` with ``patterns`` has asv run a benchmark; without a pattern all of them."""
    chosen = set()
    for case, (row, column) in group["cases"].items():
        parameters = f"({group['lengths'][row]!r}, {group['shards'][column]!r})"
        names = [f"{benchmark(name, metric)}{parameters}" for metric in group["metrics"]]
        if not patterns or any(re.search(pattern, text) for pattern, text in product(patterns, names)):
            chosen.add(case)
    return chosen


def filters(chosen: Iterable[Case], cases: Sequence[Case]) -> list[list[str]]:
    """For each run that is needed to measure ``chosen`` of ``cases``, and no other, the values of its `--filter`.

    One run where a filter can say it; else one for each head shard, or for each case.
    """
    wanted = list(chosen)
    whole = _filter(wanted, cases)
    if whole is not None:
        return [whole]
    parts: dict[str, list[Case]] = defaultdict(list)
    for case in wanted:
        parts[case.head_shard if len({other.head_shard for other in wanted}) > 1 else case.id].append(case)
    return [texts for part in parts.values() for texts in filters(part, cases)]


def _filter(chosen: list[Case], cases: Sequence[Case]) -> list[str] | None:
    """`field=value,...` for each field in which not all ``cases`` are as those ``chosen``; None where these let others
    pass as well."""
    swept = {name for case in cases for name, _ in case.variables}
    fields = {name: [getattr(case, name) for case in cases] for name in _FILTERED}
    fields |= {name: [dict(case.variables).get(name) for case in cases] for name in swept}
    inside = [case in chosen for case in cases]
    texts, passing = [], [True] * len(cases)
    for name, values in fields.items():
        kept = {value for value, is_chosen in zip(values, inside) if is_chosen}
        if kept != set(values):
            texts.append(f"{name}={','.join(map(str, sorted(kept, key=str)))}")
            passing = [passes and value in kept for passes, value in zip(passing, values)]
    return texts if passing == inside or len(chosen) == 1 else None
