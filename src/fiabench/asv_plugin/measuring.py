"""`setup_cache` of a group: its cases measured at the commit under test, and laid out for its benchmarks.

Runs in a process of asv's benchmarks, and never raises for what the commit does: asv would fail all of the group.
"""

from __future__ import annotations

import os
import sys
from math import nan
from pathlib import Path
from typing import Any

from fiabench.asv_plugin import benchmark, handover
from fiabench.asv_plugin.commit import Request, measure
from fiabench.asv_plugin.names import COMMIT
from fiabench.asv_plugin.plan import digest, filters, read_groups, selected
from fiabench.results.measurement import Measurement


def measure_group(name: str) -> str:
    """Measures what asv is going to ask of the group ``name``, and leaves it in the working folder: asv's for caches.

    Returns what kept all of it from being measured; empty where only single cases failed, or none.
    """
    plan = benchmark.plan()
    assert plan is not None  # without one there is no group
    commit, sweep, group = os.environ[COMMIT], Path(plan["sweep"]), plan["groups"][name]
    if digest(sweep) != plan["digest"]:
        return _said(f"{sweep}: was changed while asv was running; start it again")
    wanted = selected(name, group, plan["patterns"])
    _, cases = read_groups(sweep)
    chosen = [case for case in cases if case.id in wanted]
    lines: dict[str, list[Measurement]] = {}
    reasons = []
    absent: handover.Handed = None
    for texts in filters(chosen, cases):
        answer = measure(Request.of(plan, name, commit, texts, wanted), group["seconds"] * plan["rounds"])
        if answer.run is not None:
            lines |= handover.by_case(answer.run.lines)
        if answer.reason:
            reasons.append(answer.reason)
        if answer.refused:
            absent = nan
    reason = "; ".join(dict.fromkeys(reasons))
    for case in wanted:
        _lay_out(case, lines.get(case, []), plan["rounds"], group, reason, absent)
    return _said(reason)


def _lay_out(
    case: str, lines: list[Measurement], rounds: int, group: dict[str, Any], reason: str, absent: handover.Handed
) -> None:
    """``absent`` is handed over for a session that is missing: it was not tried because the case failed before, or did
    not come to it."""
    row, column = group["cases"][case]
    handed = handover.sessions(lines)
    why = handover.why(lines) or reason or "was not measured"
    for metric in group["metrics"]:
        missing = [absent] * (rounds - len(lines))
        if lines and not any(line.failed for line in lines) and not any(line.measured for line in lines):
            missing = handed[metric][:1] * len(missing)
        benchmark.store(Path.cwd(), metric, row, column, handed[metric] + missing, why)


def _said(reason: str) -> str:
    if reason:
        print(reason, file=sys.stderr)
    return reason
