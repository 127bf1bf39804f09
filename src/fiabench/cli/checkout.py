"""Where things lie: the checkout that this engine was loaded from, and the sweeps by name."""

from __future__ import annotations

from pathlib import Path

import fiabench
from fiabench.cases.errors import InputError, nearest

ROOT = Path(fiabench.__file__).resolve().parents[2]
"""The checkout: what users edit (sweeps, plots, benchmarks) lies beside src/."""


def sweep_names() -> list[str]:
    return sorted(path.stem for path in (ROOT / "sweeps").glob("*.yaml"))


def find_sweep(wanted: str) -> str:
    """The path of a sweep given by path or by the name of a shipped one; InputError where there is neither."""
    if Path(wanted).exists():
        return wanted
    shipped = ROOT / "sweeps" / f"{wanted}.yaml"
    if shipped.exists():
        return str(shipped)
    hint = nearest(Path(wanted).stem, sweep_names())
    raise InputError.plain(
        f"{wanted}: no such file, and no sweep of that name; allowed: a path, or one of {', '.join(sweep_names())}"
        + (f" ({hint})" if hint else "")
    )
