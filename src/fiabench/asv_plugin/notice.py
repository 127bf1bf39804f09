"""What asv's numbers were measured on, which asv itself shows nowhere.

Said beside them: a parameter of the machine or a benchmark's name would begin every history anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from fiabench.results.environment import said_of
from fiabench.results.rundir import HEADER


def measured_on(commits: Iterable[Path], since: float = 0.0) -> list[str]:
    """`vm: measured on CPU (...): emulated operator, not NPU figures`, each once, of the run directories in the folders
    ``commits`` of machines that were written ``since`` then; what cannot be read is passed over."""
    found: dict[str, None] = {}
    for path in (header for commit in sorted(commits) for header in sorted(commit.glob(f"*/{HEADER}"))):
        try:
            if path.stat().st_mtime < since:
                continue
            environment = json.loads(path.read_text(encoding="utf-8"))["environment"]
            said = said_of(environment, bool(environment.get("emulated")))
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            continue
        found[f"{path.parents[2].name}: measured {said}"] = None
    return list(found)
