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
from fiabench.results import pivot, units
from fiabench.results.measurement import FAILED, Measurement
from fiabench.workers.coordinator import Coordinator

_LAST = 8
_STYLES = {"ok": "green", "unsettled": "yellow"}


class RunProgress:
    """Shows how far a run of ``cases`` is, and how long the rest takes by the coordinator's estimates."""

    def __init__(self, out: Console, cases: list[Case], coordinator: Coordinator) -> None:
        self._out = out
        self._cases = cases
        self._coordinator = coordinator
        self._left = [*accumulate((coordinator.estimate(case) for case in reversed(cases)), initial=0.0)]
        self._done: list[Measurement] = []
        self._recent: deque[tuple[str, Measurement]] = deque(maxlen=_LAST)
        self._bar = Progress(
            SpinnerColumn(),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.description}"),
            console=out,
        )
        self._task = self._bar.add_task("", total=len(cases), left="")
        self._live = (
            Live(self._render(), console=out, refresh_per_second=4, transient=True) if out.is_terminal else None
        )

    def __enter__(self) -> RunProgress:
        self._announce()
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def remaining(self) -> float:
        """Seconds that the rest will take, by the estimates."""
        return self._coordinator.pace * self._left[len(self._cases) - len(self._done)]

    def ended(self, case: Case, measurement: Measurement) -> None:
        """Takes note of a finished case."""
        self._done.append(measurement)
        self._recent.append((label(case), measurement))
        if not self._live:
            words = ", ".join(pivot.cell(measurement)[:2])
            detail = words if measurement.measured else f"{words}: {first_line(measurement.reason)}"
            count = f"[{len(self._done)}/{len(self._cases)}]"
            self._out.print(f"{count} {label(case)}: {detail}  ({units.span(self.remaining())} left)", soft_wrap=True)
        self._announce()

    def _announce(self) -> None:
        index = len(self._done)
        current = label(self._cases[index]) if index < len(self._cases) else "done"
        left = f"{units.span(self.remaining())} left" if index < len(self._cases) else ""
        self._bar.update(self._task, completed=index, description=current, left=left)
        if self._live:
            self._live.update(self._render())

    def _render(self) -> RenderableType:
        table = Table(box=None, show_header=False, pad_edge=False)
        for name, measurement in self._recent:
            style = _STYLES.get(measurement.status, "red" if measurement.status in FAILED else "dim")
            summary = " · ".join(pivot.cell(measurement)[:3])
            table.add_row(Text(name), Text(measurement.status, style), Text(summary, no_wrap=True))
        return Group(table, self._bar)


def label(case: Case) -> str:
    """A case in a few words, for a person who knows the sweep."""
    if case.measure == "exchange":
        return f"all-to-all {units.size(case.exchange_bytes)} u{case.ulysses}"
    parts = [case.op, f"{case.seq_len_q:,} tokens", case.head_shard.replace(" ", "")]
    if case.exchange != "none":
        parts.append(case.exchange)
    if case.mask != "none":
        parts.append(case.mask)
    if case.batch > 1:
        parts.append(f"batch {case.batch}")
    return " ".join(parts)


def first_line(text: str) -> str:
    lines = text.splitlines()
    return lines[0] if lines else ""
