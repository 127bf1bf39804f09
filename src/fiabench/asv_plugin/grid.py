"""A sweep's axes as asv shows them: sequence length by head shard.

asv imports this in a process for every combination: it needs PyYAML and nothing else.
"""

from __future__ import annotations

from itertools import chain, product
from pathlib import Path
from typing import Any, NamedTuple

import yaml


class Grid(NamedTuple):
    """asv's two parameters. asv always runs their full product; what the sweep leaves out of it is NaN there."""

    seq_lens: list[int]
    head_shards: list[str]
    """As :attr:`fiabench.cases.case.Case.head_shard` words them, in the order of the sweep."""


def read_grid(path: Path) -> Grid:
    """The grid of the sweep in ``path``. Raises ValueError where two axes do not tell its cases apart."""
    sweep: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    factors = [{name: values} for name, values in sweep.get("axes", {}).items()] + sweep.get("zip", [])
    tables = [[dict(zip(factor, row)) for row in zip(*factor.values())] for factor in factors]
    usual = {"tp": 1, "ulysses": 1, **sweep.get("constants", {})}
    points = [dict(chain(usual.items(), *(row.items() for row in rows))) for rows in product(*tables)]
    points += [{**usual, **point} for point in sweep.get("include", [])]
    axes = [(point.get("seq_len_q"), point["tp"], point["ulysses"]) for point in points]
    if not all(isinstance(value, int) for values in axes for value in values):
        raise ValueError(f"{path}: asv needs seq_len_q, tp and ulysses as plain numbers, not as a range or a video")
    cells = [(length, f"tp{tp} x u{ulysses}") for length, tp, ulysses in axes]
    if len(set(cells)) < len(cells):
        raise ValueError(f"{path}: found points that differ in more than seq_len_q, tp and ulysses; asv shows no other")
    return Grid(*(list(dict.fromkeys(column)) for column in zip(*cells)))
