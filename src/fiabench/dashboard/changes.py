"""The first view: the verdict in a line, and the changes ranked, a commit at a time."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

from fiabench.dashboard import commands
from fiabench.dashboard import events as happened
from fiabench.dashboard.beside import RunOf
from fiabench.dashboard.casefiles import name_of
from fiabench.dashboard.events import (
    ACCEPTED,
    FAILING,
    IMPROVED,
    NOT_JUDGED,
    NOT_MEASURED,
    OF_BOX,
    OVER,
    REGRESSED,
    SUSPECT,
    UNCHANGED,
    UNDECIDED,
    Event,
    Group,
    Verdict,
)  # fmt: skip
from fiabench.dashboard.markup import command, csv_link, row, table, text
from fiabench.dashboard.model import Model, facts
from fiabench.dashboard.tables import safe
from fiabench.history.acceptance import STATUS
from fiabench.history.repository import Commit
from fiabench.results import units
from fiabench.results.metrics import METRICS

SIGNS = {
    REGRESSED: "▲", IMPROVED: "▼", SUSPECT: "?", UNDECIDED: "?", FAILING: "✗", ACCEPTED: "✓", OF_BOX: "□",
    OVER: "○", NOT_MEASURED: "∅", UNCHANGED: "=", NOT_JUDGED: "·",
}  # fmt: skip
"""A sign beside each word, so that colour is never all that tells them apart."""
_ORDER = (REGRESSED, FAILING, SUSPECT, UNDECIDED, OF_BOX, IMPROVED, ACCEPTED, NOT_MEASURED, NOT_JUDGED, UNCHANGED)
_ALWAYS = (REGRESSED, IMPROVED, SUSPECT, FAILING, ACCEPTED, NOT_MEASURED)
_ABOUT = {
    REGRESSED: "worse, and the code is at fault", IMPROVED: "better", FAILING: "cannot be measured any more",
    SUSPECT: "a step at the newest commits: measure it in pairs",
    UNDECIDED: "the stack changed together with the commit: measure it in pairs",
    OF_BOX: "came with the box or its software", ACCEPTED: "looked at, and accepted",
    OVER: "was mended by a later commit",
}  # fmt: skip
_SMALL = 0.05
"""Parts of an attention that moved by less of what moved most are not told."""
_HEAD = ("case", "metric", "effect", "how sure", "commits", "whose", "where", "commands")
MOST_ROWS, MOST_GROUPS = 60, 60
"""Of a commit, and of commits, on the page; the CSV has all."""


_SCORE = (
    "The most pressing first. Of a score from 1.0 on noise does not explain the change; an effect is of the level, "
    "with its 95 % interval; under <em>where</em> is what moved along."
)


def verdict_line(model: Model, verdict: Verdict) -> str:
    """The line that is read first."""
    if not verdict.total:
        return ""
    parts = [
        f'<li class="state {_class(name)}"><span aria-hidden="true">{SIGNS[name]}</span> '
        f"<strong>{verdict.counts.get(name, 0)}</strong> {name}</li>"
        for name in _ORDER
        if name in _ALWAYS or verdict.counts.get(name)
    ]
    if verdict.since:
        since = f"since {commit_link(model.link, verdict.since.commit)}"
    elif NOT_JUDGED in verdict.counts and not verdict.counts.keys() - {NOT_JUDGED, NOT_MEASURED}:
        since = "nothing could be judged"
    else:
        since = "nothing stands that is worse"
    boxes = ", ".join(model.machines)
    return (
        f'<ul class="verdict" aria-label="verdict">{"".join(parts)}</ul><p class="of">of {verdict.total} '
        f"case{'' if verdict.total == 1 else 's'}, {since}, on {text(boxes)}</p>"
    )


def section(model: Model, found: Sequence[Event]) -> str:
    """The changes. A group is what one commit did on one machine."""
    made = happened.groups(found)
    shown = made[:MOST_GROUPS]
    standing = [group for group in shown if group.state != OVER]
    over = [group for group in shown if group.state == OVER]
    body = "".join(_group(model, group) for group in standing)
    if not body:
        body = f"<p>{_nothing(model)}</p>"
    if over:
        past = "".join(_group(model, group) for group in over)
        body += (
            f'<details class="past" open><summary>Over: mended by later commits ({len(over)})</summary>{past}</details>'
        )
    more = f"<p>{len(made) - len(shown)} more commits are in the CSV.</p>" if len(made) > len(shown) else ""
    return (
        f'<section id="changes"><h2>Changes</h2><p class="about">{_SCORE}</p>{body}{more}'
        '<p id="changes-none" hidden>No change of the filtered cases.</p>'
        f"{csv_link('csv/changes.csv', 'all changes')}</section>"
    )


def _nothing(model: Model) -> str:
    """What there is to say where nothing changed, or where that cannot be known."""
    whys = [judged.abstains for judged in model.judged]
    if whys and all(whys):
        return f"Whether anything changed cannot be judged: {text(whys[0])}."
    return "Nothing changed that noise does not explain."


def _group(model: Model, group: Group) -> str:
    lead = group.lead
    count = len({event.series.id for event in group.events})
    rows = [_row(model, event) for event in group.events[:MOST_ROWS]]
    left = len(group.events) - len(rows)
    more = f"<p>{left} more cases are in the CSV.</p>" if left else ""
    cases = table(_HEAD, rows, f"{group.state} at {lead.place.commit.short}")
    heading = f"{SIGNS[group.state]} {group.state}: {named_effect(lead) or _effect(lead)}"
    commit = lead.place.commit
    return (
        f'<article class="group {_class(group.state)}" data-machine="{text(group.machine)}">'
        f'<h3><span class="badge">{text(heading)}</span> {commit_link(model.link, commit)}</h3>'
        f'<p class="about">{text(commit.date)}, {count} case{"" if count == 1 else "s"} on {text(group.machine)}: '
        f"{text(_ABOUT[group.state])}{text(_stack(lead))}</p>"
        f"{_folded(cases + more, count) if group.state == OVER else cases + more}</article>"
    )


def _folded(cases: str, count: int) -> str:
    return f"<details><summary>{count} case{'' if count == 1 else 's'}</summary>{cases}</details>"


def _row(model: Model, event: Event) -> str:
    series = event.series
    known = facts(series.case, model.lengths)
    data = "".join(f' data-{name}="{text(value)}"' for name, value in known.items())
    data += f' data-machine="{text(series.machine)}"'
    metric = "status" if event.metric == STATUS else METRICS[event.metric].label
    points = series.points
    span = f"{event.place.commit.short}{series.or_since(event.first, event.at)}"
    if series.unmeasured(event.first, event.at):
        span += ": bisect finds out"
    until = f", until {points[event.until].commit.short}" if event.until is not None else ""
    told = [
        command(line, what)
        for line, what in ((commands.reproduce(model, event), "reproduce"), (commands.accept(model, event), "accept"))
        if line
    ]
    return row(
        [
            case_link(model, series.machine, series.id, name_of(series)),
            text(metric),
            text(f"{_effect(event)}{_interval(event)}") + (f"<br>{text(event.said)}" if event.said else ""),
            text(_sure(event)),
            text(span + until),
            text(event.whose or "not known"),
            text(_where(event)),
            f"<details><summary>show</summary>{''.join(told)}</details>",
        ],
        data,
        labels=_HEAD,
    )  # fmt: skip


def case_link(model: Model, machine: str, name: str, key: str) -> str:
    where = f" <small>{text(machine)}</small>" if len(model.machines) > 1 else ""
    return f'<a data-case="{key}" href="cases/{key}.html">{text(model.labels[name])}</a>{where}'


def commit_link(link: str, commit: Commit) -> str:
    """Hash and subject; the hash leads to the commit's page where one is known, by :attr:`Model.link`."""
    short = f"<code>{text(commit.short)}</code>"
    if link and not isinstance(commit, RunOf):
        short = f'<a href="{text(link + commit.hash)}" rel="noreferrer">{short}</a>'
    return f"{short} {text(commit.subject)}"


def named_effect(event: Event) -> str:
    """The metric and by how much it changed; empty for a failure."""
    return "" if event.change is None else f"{METRICS[event.metric].label} {units.relative(event.change.magnitude)}"


def _effect(event: Event) -> str:
    return "fails" if event.change is None else units.relative(event.change.magnitude)


def _interval(event: Event) -> str:
    change = event.change
    if change is None or not (math.isfinite(change.low) and math.isfinite(change.high)) or change.high <= change.low:
        return ""
    return f" ({units.relative(change.low)} to {units.relative(change.high)})"


def _sure(event: Event) -> str:
    if event.change is None:
        return "it failed"
    if not event.change.flagged:
        return "not yet: newest commits alone"
    fresh = ", fresh" if event.change.suspect else ""
    return f"sure, score {event.change.score:.1f}{fresh}"


def _stack(event: Event) -> str:
    return "" if event.whose in ("", "the code's") else f" ({event.why})"


def _where(event: Event) -> str:
    """Which part of the attention moved by how much."""
    if event.change is None or not event.parts:
        return ""
    moved = {METRICS[name].label: (after - before, after / before - 1 if before else math.inf)
             for name, before, after in event.parts}  # fmt: skip
    most = max(abs(by) for by, _ in moved.values())
    said = [
        f"{name} {'+' if by >= 0 else '-'}{units.seconds(abs(by))}"
        + (f" ({units.relative(part)})" if math.isfinite(part) else "")
        for name, (by, part) in sorted(moved.items(), key=lambda item: -abs(item[1][0]))
        if abs(by) >= _SMALL * most
    ]
    return ", ".join(said)


def _class(state: str) -> str:
    return "is-" + state.replace("the box's", "box").replace(" ", "-")


def table_csv(model: Model, found: Sequence[Event]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        [
            "state",
            "machine",
            "case",
            "label",
            "metric",
            "change",
            "low",
            "high",
            "score",
            "flagged",
            "first",
            "commit",
            "date",
            "subject",
            "until",
            "whose",
            "why",
            "said",
            "where",
            "reproduce",
            "accept",
        ]
    )
    for event in found:
        points, change, commit = event.series.points, event.change, event.place.commit
        numbers = (
            ["", "", "", "", ""]
            if change is None
            else [f"{change.magnitude:.6g}", f"{change.low:.6g}", f"{change.high:.6g}", f"{change.score:.4g}",
                  change.flagged]
        )  # fmt: skip
        writer.writerow([
            event.state, safe(event.series.machine), safe(event.series.id), safe(model.labels[event.series.id]),
            event.metric, *numbers, points[event.first].commit.hash, commit.hash, commit.date, safe(commit.subject),
            points[event.until].commit.hash if event.until is not None else "", event.whose, safe(event.why),
            safe(event.said), _where(event), commands.reproduce(model, event), commands.accept(model, event),
        ])  # fmt: skip
    return out.getvalue()
