"""A measurement: a case, how it ended, and what was measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from fiabench.cases.case import Case

MEASURED = frozenset({"ok", "unsettled"})
LEFT_OUT = frozenset({"unsupported", "does_not_fit"})
FAILED = frozenset({"wrong", "error", "out_of_memory", "timeout", "crash"})
STATUSES = MEASURED | LEFT_OUT | FAILED


@dataclass
class Measurement:
    """One line of ``cases.jsonl``. Durations are seconds, sizes bytes."""

    id: str
    case: dict[str, Any]
    """The case's fields, with `device` and the `threads` that really ran."""
    status: str
    """One of STATUSES."""
    reason: str = ""
    """Why the case was left out or failed; empty for `ok`."""
    check: dict[str, Any] = field(default_factory=dict)
    """The correctness check: `passed`, `max_error`, `tolerance`, `rows`, `exchange`."""
    timing: dict[str, Any] = field(default_factory=dict)
    """How it was timed: `method`, `mode`, `world_size`, `described_world_size`, `oversubscribed`, seconds spent."""
    samples: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """Phase to rank to seconds, in the order taken."""
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Metric to `value`, `unit`, `better` and, for medians, `low`, `high` and `quantiles`."""
    session: int = 0
    """Which of the run's sessions, each in fresh processes, took it; counted from 0."""
    sessions: list[Measurement] = field(init=False, default_factory=list)
    """What it was made from where several sessions measured the case (see ``results/sessions.py``); never written."""

    @property
    def measured(self) -> bool:
        return self.status in MEASURED

    @property
    def failed(self) -> bool:
        return self.status in FAILED

    @property
    def point(self) -> Case:
        """The case without the device."""
        return Case.from_dict(self.case)

    @property
    def each_session(self) -> list[Measurement]:
        """The case as every session measured it."""
        return self.sessions or [self]

    @property
    def flags(self) -> list[str]:
        """What makes the numbers doubtful, in words."""
        found: list[str] = self.timing.get("flags", [])
        return found

    def bounds(self, metric: str) -> tuple[float, float, float] | None:
        """A metric with the bounds of its interval, itself where it has none; None where it was not measured."""
        entry = self.metrics.get(metric)
        if entry is None:
            return None
        value = entry["value"]
        return value, entry.get("low", value), entry.get("high", value)

    def value(self, metric: str) -> float | None:
        """A metric's value, or None where it was not measured."""
        entry = self.metrics.get(metric)
        return None if entry is None else entry["value"]

    def as_dict(self) -> dict[str, Any]:
        """As in ``cases.jsonl``."""
        written = asdict(replace(self))
        del written["sessions"]
        return written
