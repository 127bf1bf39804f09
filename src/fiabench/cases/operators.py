"""The names of the operators under test: the files in ``fiabench/ops``, listed without importing any of them."""

from __future__ import annotations

import pkgutil
from pathlib import Path

_FOLDER = Path(__file__).parent.parent / "ops"
_NO_OPERATORS = ("base",)


def operator_names() -> list[str]:
    """Every operator that a sweep may name, sorted. A new file in ``fiabench/ops`` is a new name."""
    found = (module.name for module in pkgutil.iter_modules([str(_FOLDER)]))
    return sorted(name for name in found if not name.startswith("_") and name not in _NO_OPERATORS)
