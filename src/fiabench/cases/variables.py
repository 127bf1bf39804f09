"""Environment variables of a case's ranks: which names and values a sweep may give, and their combinations.

A process reads most of them once, at its start or at an import, so each combination has ranks of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product

Variables = tuple[tuple[str, str], ...]
"""(name, value) pairs, sorted by name."""

NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"
VALUE = r"^[A-Za-z0-9_.:/+@-]+$"
"""No comma, which parts the values of a filter, and no space, which parts the words of a label."""

OWN = (
    "RANK",
    "LOCAL_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    "OMP_NUM_THREADS",
    "PYTHONPATH",
    "PYTHONUNBUFFERED",
    "TORCH_DEVICE_BACKEND_AUTOLOAD",
)
OWN_PREFIX = "FIABENCH_"
"""With :data:`OWN` what fiabench, or torchrun for it, sets for ranks itself."""


def is_own(name: str) -> bool:
    """Whether a sweep must leave this variable alone."""
    return name in OWN or name.startswith(OWN_PREFIX)


def combinations(swept: Mapping[str, Sequence[str]]) -> list[Variables]:
    """Every combination of the values, the last variable fastest; where none is swept the empty one alone."""
    return [tuple(sorted(zip(swept, values, strict=True))) for values in product(*swept.values())]


def in_words(variables: Iterable[tuple[str, str]]) -> str:
    """`TASK_QUEUE_ENABLE=1 HCCL_OP_EXPANSION_MODE=AIV`."""
    return " ".join(f"{name}={value}" for name, value in variables)
