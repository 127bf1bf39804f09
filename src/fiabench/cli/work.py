"""What a run still has to measure: its cases, as often as it has sessions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from fiabench.cases.case import Case
from fiabench.results.measurement import Measurement


@dataclass
class Work:
    """The cases of a run, and how those that were tried ended."""

    cases: list[Case]
    sessions: int = 1
    """How often each case is measured, each time in fresh processes."""
    measured: dict[str, dict[int, bool]] = field(default_factory=dict)
    """Id to session to whether the case was measured in it."""

    def ended(self, lines: Iterable[Measurement]) -> None:
        """Takes note of lines of the run."""
        for line in lines:
            self.measured.setdefault(line.id, {})[line.session] = line.measured

    def due(self, session: int) -> list[Case]:
        """The cases that ``session`` has still to measure, in their order.

        Not those that earlier sessions tried without ever measuring them: what fails or does not fit does so again, and
        would cost every session its timeout.
        """
        return [case for case in self.cases if self._is_due(self.measured.get(case.id, {}), session)]

    @staticmethod
    def _is_due(tried: dict[int, bool], session: int) -> bool:
        before = [measured for other, measured in tried.items() if other < session]
        return session not in tried and (not before or any(before))

    @property
    def left(self) -> int:
        """Measurements that are still to be made, if each case can be measured."""
        return sum(len(self.due(session)) for session in range(self.sessions))
