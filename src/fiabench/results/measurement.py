"""A measurement: a case, how it ended, and what was measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
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

    def value(self, metric: str) -> float | None:
        """A metric's value, or None where it was not measured."""
        entry = self.metrics.get(metric)
        return None if entry is None else entry["value"]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
