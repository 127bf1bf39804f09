"""A case that several sessions measured, as one measurement: the value over all of them, with how far they differ.

A session is a pass over the run's cases in processes of its own. ``cases.jsonl`` holds one line a session.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from fiabench.results.measurement import Measurement
from fiabench.stats import sessions as statistics
from fiabench.stats.pooling import Prior

_NUMBER = re.compile(r"[\d.,]+ ?%?")
_MOST = ("peak_memory",)
"""Metrics of which the greatest of the sessions counts."""


def over_sessions(lines: Iterable[Measurement]) -> list[Measurement]:
    """One measurement of each case in ``lines``, in the order of their first sessions.

    A case that one session alone has is that session's. Of several, each metric that is a median gets its value over
    the sessions and an interval that holds how they differ, steadied by the run's other cases. A case that failed in
    any session has failed.
    """
    by_case: dict[str, list[Measurement]] = defaultdict(list)
    for line in lines:
        by_case[line.id].append(line)
    several = [found for found in by_case.values() if len(found) > 1]
    priors = _priors([[line for line in found if line.measured] for found in several])
    return [_merged(found, priors) if len(found) > 1 else found[0] for found in by_case.values()]


def _priors(cases: list[list[Measurement]]) -> dict[str, Prior | None]:
    """For each metric what all cases tell of how far sessions differ."""
    medians: dict[str, list[np.ndarray]] = defaultdict(list)
    for found in cases:
        for metric in found[0].metrics if found else ():
            values = _values(found, metric)
            if _is_median(found[0].metrics[metric]) and len(values) > 1 and values.min() > 0:
                medians[metric].append(np.log(values))
    return {metric: statistics.spread_of(logs) for metric, logs in medians.items()}


def _is_median(entry: dict[str, Any]) -> bool:
    return "count" in entry


def _values(found: list[Measurement], metric: str) -> np.ndarray:
    return np.array([line.metrics[metric]["value"] for line in found if metric in line.metrics])


def _merged(found: list[Measurement], priors: dict[str, Prior | None]) -> Measurement:
    decisive = next((line for line in found if not line.measured), None) or next(
        (line for line in found if line.status == "unsettled"), found[0]
    )
    made = replace(decisive, session=found[0].session, metrics={}, samples={})
    made.sessions = found
    affected = [line for line in found if line.status == decisive.status]
    if decisive.reason and len(affected) < len(found):
        made.reason = f"in {len(affected)} of {len(found)} sessions: {decisive.reason}"
    if not made.measured:
        return made
    made.timing = decisive.timing | {"flags": _flags(found)}
    for phase in found[0].samples:
        ranks = found[0].samples[phase]
        made.samples[phase] = {rank: [s for line in found for s in line.samples[phase][rank]] for rank in ranks}
    for metric, entry in found[0].metrics.items():
        made.metrics[metric] = _entry(entry, metric, found, priors.get(metric))
    return made


def _flags(found: list[Measurement]) -> list[str]:
    """Each doubt as the first session that has it says it, with the part of the sessions that do."""
    told: dict[str, str] = {}
    for line in found:
        for flag in line.flags:
            told.setdefault(_without_numbers(flag), flag)
    flags = []
    for kind, flag in told.items():
        count = sum(any(_without_numbers(other) == kind for other in line.flags) for line in found)
        flags.append(flag if count == len(found) else f"{flag} (in {count} of {len(found)} sessions)")
    return flags


def _without_numbers(flag: str) -> str:
    return _NUMBER.sub("", flag)


def _entry(first: dict[str, Any], metric: str, found: list[Measurement], prior: Prior | None) -> dict[str, Any]:
    values = _values(found, metric)
    entry: dict[str, Any] = {"unit": first["unit"], "better": first["better"], "sessions": len(values)}
    if not _is_median(first):
        value = values.max() if metric in _MOST else np.median(values)
        return entry | {"value": float(value)}
    entry |= {"scope": statistics.BETWEEN, "count": sum(line.metrics[metric]["count"] for line in found)}
    if values.min() > 0:
        over = statistics.over_medians(np.log(values), prior)
        return entry | {
            "value": over.value, "low": over.low, "high": over.high, "level": statistics.LEVEL, "spread": over.spread,
        }  # fmt: skip
    # A wait may be nothing at all, which has no logarithm: the sessions' range covers their median that surely.
    level = 1 - 2.0 ** (1 - len(values))
    return entry | {
        "value": float(np.median(values)), "low": float(values.min()), "high": float(values.max()), "level": level,
    }  # fmt: skip
