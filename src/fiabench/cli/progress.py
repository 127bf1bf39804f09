"""What a run shows while it works: on a terminal a bar and the last results, into a pipe a line for each case."""

from __future__ import annotations

from collections import deque
from itertools import accumulate
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from fiabench.cases.case import Case
from fiabench.results import cells, units, words
from fiabench.results.measurement import FAILED, Measurement
from fiabench.results.naming import label, varying
from fiabench.workers.coordinator import Coordinator

_LAST = 8
_STYLES = {"ok": "green", "unsettled": "yellow"}


class RunProgress:
    """Shows how far a run is, and how long the rest takes by the coordinator's estimates."""

    def __init__(self, out: Console, coordinator: Coordinator) -> None:
        self._out = out
        self._coordinator = coordinator
        self._ahead: list[Case] = []
        self._left = [0.0]
        self._varying: list[str] = []
        self._session = ""
        self._simulated = coordinator.simulated
        self._done = 0
        self._recent: deque[tuple[str, Measurement]] = deque(maxlen=_LAST)
        self._bar = Progress(
            SpinnerColumn(),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.description}"),
            console=out,
        )
        self._task = self._bar.add_task("", left="")
        self._live = (
            Live(self._render(), console=out, refresh_per_second=4, transient=True) if out.is_terminal else None
        )

    def __enter__(self) -> RunProgress:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def expect(self, cases: list[Case], session: str = "") -> None:
        """Takes note of what is ahead: ``cases``, and the words for the ``session`` that they begin with."""
        self._ahead, self._session = cases, session
        self._left = [*accumulate((self._coordinator.estimate(case) for case in reversed(cases)), initial=0.0)]
        self._varying = self._varying or varying(cases)
        self._announce()

    def remaining(self) -> float:
        """Seconds that the rest will take, by the estimates, or that the budget leaves it."""
        return min(self._coordinator.time_left, self._coordinator.pace * self._left[len(self._ahead)])

    def ended(self, case: Case, measurement: Measurement) -> None:
        """Takes note of a finished case."""
        self._done += 1
        self._ahead = self._ahead[1:]
        self._recent.append((label(case, self._varying), measurement))
        if not self._live:
            summary = ", ".join(cells.cell(measurement)[:2])
            detail = summary if measurement.measured else f"{summary}: {words.essence(measurement.reason)}"
            count = " ".join(filter(None, [f"[{self._done}/{self._total}]", self._session, self._kind]))
            name, left = label(case, self._varying), units.span(self.remaining())
            self._out.print(f"{count} {name}: {detail}  ({left} left)", soft_wrap=True)
        self._announce()

    @property
    def _total(self) -> int:
        return self._done + len(self._ahead)

    @property
    def _kind(self) -> str:
        return "simulated" if self._simulated else ""

    def _announce(self) -> None:
        current = label(self._ahead[0], self._varying) if self._ahead else "done"
        left = f"{units.span(self.remaining())} left" if self._ahead else ""
        kind = " ".join(filter(None, [self._session, self._kind]))
        what = f"{kind}: {current}" if kind else current
        self._bar.update(self._task, completed=self._done, total=self._total, description=what, left=left)
        if self._live:
            self._live.update(self._render())

    def _render(self) -> RenderableType:
        table = Table(box=None, show_header=False, pad_edge=False)
        for name, measurement in self._recent:
            style = _STYLES.get(measurement.status, "red" if measurement.status in FAILED else "dim")
            summary = " · ".join(cells.cell(measurement)[:3])
            table.add_row(Text(name), Text(measurement.status, style), Text(summary, no_wrap=True))
        return Group(table, self._bar)
