"""What the gate says: on the terminal, as JSON, and as a summary for a pull request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from fiabench.cli.confirming import change_in_words
from fiabench.cli.history_tables import labels, quiet
from fiabench.history.acceptance import STATUS, Entry
from fiabench.history.detecting import Judged, LevelChange
from fiabench.history.gating import ALARM, CLEARED, OF_BOX, SMALL, SUSPECT, UNDECIDED, Finding, Gate
from fiabench.history.series import Series
from fiabench.results import units
from fiabench.results.comparison import worded
from fiabench.results.measurement import LEFT_OUT
from fiabench.results.metrics import METRICS

_HEADINGS = {
    ALARM: "Worse, and the code's",
    UNDECIDED: "Worse, undecided whose",
    SUSPECT: "Suspects: to be confirmed, not held against anybody",
    OF_BOX: "Worse, and the box's",
    CLEARED: "Cleared by measuring in turns",
    SMALL: "Less than --min-effect",
}
_STYLES = {ALARM: "bold red", UNDECIDED: "yellow", SUSPECT: "yellow"}
_OPEN = (UNDECIDED, SUSPECT)
Decide = Callable[[Finding], str]
"""Gives the command that settles a finding; empty where there is none."""


class Words:
    """The gate's words, for people."""

    def __init__(self, gate: Gate, found: Sequence[Series]) -> None:
        self._gate = gate
        self._labels = labels(found)

    def case(self, series: Series) -> str:
        return f"{self._labels[series.id]} on {series.machine}"

    def headline(self) -> str:
        alarms = self._gate.of(ALARM)
        fails = sum(finding.fails for finding in alarms)
        said = [f"{count} {what}" for count, what in ((len(alarms) - fails, "worse"), (fails, "failing")) if count]
        if said:
            return ", ".join(said)
        left = sum(finding.outcome in _OPEN for finding in self._gate.findings)
        return f"nothing worse{f', {left} to be settled' if left else ''}"

    def what(self, finding: Finding) -> str:
        """`total +50 % at 1b4caf3 Read the head counts once`, `error since ...: reason`."""
        points = finding.series.points
        if finding.change is None:
            status = points[finding.now].status.replace("_", " ")
            before = finding.series.or_since(finding.first, finding.first)
            return f"{status} since {points[finding.first].commit}{before}: {finding.reason}"
        return _changed(finding.metric, finding.change, finding.series)

    def beside(self, finding: Finding) -> list[str]:
        """What else there is to say of it."""
        said = []
        if finding.change and finding.ratio and abs(finding.ratio - 1 - finding.change.magnitude) > 0.005:
            said.append(f"now {units.relative(finding.ratio - 1)} in all")
        said.append(f"{finding.fault.whose}: {finding.fault.why}")
        points = finding.series.points
        otherwise = [point for point in points[finding.before + 1 : finding.first] if point.status not in LEFT_OUT]
        if finding.fails and otherwise:
            said.append(f"it failed otherwise since {otherwise[0].commit}")
        if finding.series.unmeasured(finding.first, finding.at):
            said.append("`history.py bisect` finds out which commit it is")
        if finding.change and finding.change.suspect and not finding.verdict:
            said.append("of the newest commits alone: confirm it")
        if finding.verdict and finding.fails and finding.outcome == CLEARED:
            said.append("in turns: measured at both commits, in fresh processes")
        elif finding.verdict:
            change = f" {change_in_words(finding.verdict)}" if finding.verdict.ratio is not None else ""
            said.append(f"in turns: {worded(finding.verdict.verdict, finding.metric)}{change}; {finding.verdict.why}")
        if finding.unconfirmed:
            said.append(f"not measured in turns: {finding.unconfirmed}")
        return said

    def accepted(self, one: Judged | Series, change: LevelChange | None, entry: Entry) -> str:
        if isinstance(one, Judged) and change:
            return f"{self.case(one.series)}: {_changed(one.metric, change, one.series)}: {entry.reason}"
        assert isinstance(one, Series)
        status = one.points[-1].status.replace("_", " ")
        return f"{self.case(one)}: {status}: {entry.reason}"

    def unjudged(self, series: Series, metric: str, why: str) -> str:
        label = "" if metric == STATUS else f"{METRICS[metric].label} "
        return f"{self.case(series)}: {label}{'not judged: ' if label else ''}{why}"

    def quiet(self, judged: Judged) -> str:
        return f"{self.case(judged.series)}: {quiet(judged)}"

    @staticmethod
    def stale(entry: Entry) -> str:
        return f"{entry}: accepted, and there is no such change: {entry.reason}"


def _changed(metric: str, change: LevelChange, series: Series) -> str:
    points = series.points
    said = f"{METRICS[metric].label} {units.relative(change.magnitude)} at {points[change.at].commit}"
    return said + series.or_since(change.first, change.at)


def print_gate(out: Console, gate: Gate, found: Sequence[Series], decide: Decide) -> None:
    """What is worse first, then what is open, accepted, not judged, and what would have been seen."""
    words = Words(gate, found)
    out.print(Text(words.headline(), style="bold green" if gate.passes else "bold red"))
    for outcome, heading in _HEADINGS.items():
        findings = gate.of(outcome)
        if findings:
            out.print(Text(f"\n{heading}", style=_STYLES.get(outcome, "bold")))
        for finding in findings:
            out.print(Text(f"  {words.case(finding.series)}: {words.what(finding)}"), soft_wrap=True)
            for said in words.beside(finding):
                out.print(Text(f"      {said}", style="dim"), soft_wrap=True)
            if outcome in (ALARM, *_OPEN) and not finding.verdict and (command := decide(finding)):
                out.print(Text(f"      {command}", style="cyan"), soft_wrap=True)
    for heading, lines in _lists(gate, words):
        out.print(Text(f"\n{heading}", style="bold"))
        for line in lines:
            out.print(Text(f"  {line}", style="dim"), soft_wrap=True)


def _lists(gate: Gate, words: Words) -> list[tuple[str, list[str]]]:
    lists = [
        ("Accepted", [words.accepted(*one) for one in gate.accepted]),
        ("Accepted, and not there", [words.stale(entry) for entry in gate.stale]),
        ("Not judged", [words.unjudged(*one) for one in gate.unjudged]),
        ("Quiet, and what would have been seen", [words.quiet(one) for one in gate.quiet]),
    ]
    return [(heading, lines) for heading, lines in lists if lines]


def markdown(gate: Gate, found: Sequence[Series], decide: Decide) -> str:
    """The summary for a pull request."""
    words = Words(gate, found)
    text = f"### Performance: {words.headline()}\n"
    for outcome, heading in _HEADINGS.items():
        findings = gate.of(outcome)
        if not findings:
            continue
        text += f"\n**{heading}**\n\n| case | what | whose, and how sure |\n|---|---|---|\n"
        for finding in findings:
            beside = words.beside(finding)
            if outcome in (ALARM, *_OPEN) and not finding.verdict and (command := decide(finding)):
                beside.append(f"`{command}`")
            cells = words.case(finding.series), words.what(finding), "<br>".join(map(_cell, beside))
            text += f"| {_cell(cells[0])} | {_cell(cells[1])} | {cells[2]} |\n"
    for heading, lines in _lists(gate, words):
        listed = "\n".join(f"- {_cell(line)}" for line in lines)
        text += f"\n<details><summary>{heading}: {len(lines)}</summary>\n\n{listed}\n\n</details>\n"
    return text


def _cell(text: str) -> str:
    """``text`` as it may stand in a table of Markdown, and with nothing in it read as HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|").replace("\n", " ")


def as_dict(gate: Gate, decide: Decide) -> dict[str, Any]:
    """For JSON."""
    return {
        "passes": gate.passes,
        "findings": [_finding(finding, decide) for finding in gate.findings],
        "accepted": [
            {**_named(one.series if isinstance(one, Judged) else one), "metric": entry.metric,
             "commit": entry.commit, "ratio": 1 + change.magnitude if change else None, "reason": entry.reason}
            for one, change, entry in gate.accepted
        ],
        "stale": [vars(entry) for entry in gate.stale],
        "unjudged": [{**_named(series), "metric": metric, "why": why} for series, metric, why in gate.unjudged],
        "quiet": [{**_named(one.series), "metric": one.metric, "visible": one.visible} for one in gate.quiet],
    }  # fmt: skip


def _named(series: Series) -> dict[str, str]:
    return {"case": series.id, "machine": series.machine}


def _finding(finding: Finding, decide: Decide) -> dict[str, Any]:
    points, change = finding.series.points, finding.change
    return {
        "outcome": finding.outcome,
        **_named(finding.series),
        "metric": finding.metric,
        "status": points[finding.now].status,
        "before": points[finding.before].commit.hash,
        "first": points[finding.first].commit.hash,
        "commit": points[finding.at].commit.hash,
        "now": points[finding.now].commit.hash,
        "unmeasured": finding.series.unmeasured(finding.first, finding.at),
        "ratio": finding.ratio,
        "change": 1 + change.magnitude if change else None,
        "score": change.score if change else None,
        "flagged": change.flagged if change else True,
        "suspect": change.suspect if change else False,
        "fault": finding.fault._asdict(),
        "reason": finding.reason,
        "verdict": finding.verdict.as_dict() if finding.verdict else None,
        "unconfirmed": finding.unconfirmed,
        "decide": decide(finding),
    }
