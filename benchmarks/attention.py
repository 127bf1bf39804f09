"""How long Ulysses' fused-infer attention takes at each commit, its all-to-all apart from the kernel.

The cases are those of sweeps/history.yaml. The commit under test measures all of them once, by its own
tools/sweep.py, into `.asv/runs/<machine>/<commit>/`; each benchmark then hands one metric's samples of one case over
to asv, which starts a process for each: these import neither torch nor pydantic.
"""

from __future__ import annotations

import os
import sys
from math import nan
from pathlib import Path
from typing import Any

from fiabench.asv_plugin.grid import read_grid
from fiabench.asv_plugin.names import CHECKOUT, COMMIT, RUNS

ROOT = Path(__file__).resolve().parents[1]
SWEEP = ROOT / "sweeps" / "history.yaml"
GRID = read_grid(SWEEP)
DEADLINE_SECONDS = 1200.0


class Ulysses:
    """One attention on the ranks of a Ulysses group, each phase as its slowest rank has it."""

    params = [GRID.seq_lens, GRID.head_shards]
    param_names = ["seq_len", "head_shard"]
    unit = "seconds"
    version = "1"  # of the method: raised when samples before and after cannot be compared, not when the sweep changes

    def setup_cache(self) -> dict[str, Any]:
        """Measures the commit. Never raises for what the commit does: asv would fail every benchmark of the run."""
        # Imported where the measuring is done: a process that only hands over should not pay for numpy and scipy.
        from fiabench.asv_plugin import handover
        from fiabench.asv_plugin.commit import measure

        if CHECKOUT not in os.environ:
            return {"reason": "asv has to run with the environment type inplace", "cells": {}, "reasons": {}}
        checkout, runs = Path(os.environ[CHECKOUT]), Path(os.environ[RUNS])
        run, reason = measure(checkout, os.environ[COMMIT], SWEEP, runs, DEADLINE_SECONDS)
        if run is None:
            return {"reason": reason, "cells": {}, "reasons": {}}
        return {"reason": reason, "cells": handover.hand_over(run), "reasons": handover.reasons(run)}

    setup_cache.timeout = DEADLINE_SECONDS + 120  # type: ignore[attr-defined]

    def track_kernel(self, session: dict[str, Any], seq_len: int, head_shard: str) -> Any:
        return _hand_over(session, (seq_len, head_shard), "kernel")

    def track_all_to_all(self, session: dict[str, Any], seq_len: int, head_shard: str) -> Any:
        return _hand_over(session, (seq_len, head_shard), "all_to_all")

    def track_wait(self, session: dict[str, Any], seq_len: int, head_shard: str) -> Any:
        return _hand_over(session, (seq_len, head_shard), "wait")

    def track_total(self, session: dict[str, Any], seq_len: int, head_shard: str) -> Any:
        return _hand_over(session, (seq_len, head_shard), "total")


def _hand_over(session: dict[str, Any], cell: tuple[int, str], metric: str) -> Any:
    """Samples for asv; NaN (asv's `n/a`) for what the sweep leaves out, None (`failed`) for what went wrong."""
    if cell not in session["cells"]:
        value = None if session["reason"] else nan
    else:
        value = session["cells"][cell][metric]
    if value is None:
        print(session["reasons"].get(cell) or session["reason"], file=sys.stderr)
    return {"samples": value, "number": 1} if isinstance(value, list) else value
