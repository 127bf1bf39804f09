"""The gate: what is worse than it was, at the newest commit of each case, and by whose fault.

A case is held against its last accepted level on the same machine, or against a named base. A change for the worse that
still stands at the newest commit is an alarm where the code is at fault; later commits that take half of it back
(in logarithms) have mended it. A level that is better becomes the accepted one by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fiabench.cases.errors import InputError
from fiabench.history import confirm
from fiabench.history.acceptance import STATUS, Acceptances, Entry
from fiabench.history.blame import BOX, Fault, blame
from fiabench.history.confirm import Verdict
from fiabench.history.detecting import Judged, LevelChange
from fiabench.history.series import Series
from fiabench.results.measurement import LEFT_OUT
from fiabench.results.words import essence

ALARM, SUSPECT, UNDECIDED, OF_BOX, CLEARED, SMALL = (
    "alarm", "suspect", "undecided", "the box's", "cleared", "small",
)  # fmt: skip
"""What is made of a finding. Alarms alone fail the gate."""


@dataclass
class Finding:
    """Something that is worse at the newest commit. Places are those of the series' points."""

    series: Series
    metric: str
    """Or STATUS: the case fails."""
    before: int
    """The last point that was measured before it."""
    first: int
    at: int
    """It came with one of the points from `first` to `at`."""
    now: int
    """The newest point, where it stands."""
    fault: Fault
    change: LevelChange | None = None
    """None where the case fails."""
    ratio: float | None = None
    """The level now over the level before it, or at the named base; None where the case fails."""
    least: float = 0.0
    """The relative change from which on it counts."""
    verdict: Verdict | None = None
    """Of the pairs that were run to confirm it."""
    unconfirmed: str = ""
    """Why none were, where they were asked for."""

    @property
    def fails(self) -> bool:
        return self.change is None

    @property
    def reason(self) -> str:
        """The failure in one line."""
        return " ".join(essence(self.series.points[self.now].reason).split()) if self.fails else ""

    @property
    def size(self) -> float:
        """By how much it is worse, relative to the better of the two levels."""
        return math.inf if self.ratio is None else max(self.ratio, 1 / self.ratio) - 1

    @property
    def outcome(self) -> str:
        """What is made of it: see ALARM."""
        if self.verdict and (said := self._by_pairs(self.verdict)):
            return said
        if self.size <= self.least:
            return SMALL
        if self.fault.whose == BOX:
            return OF_BOX
        if self.fault.open:
            return UNDECIDED
        return ALARM if self.change is None or self.change.flagged else SUSPECT

    def _by_pairs(self, verdict: Verdict) -> str:
        """What pairs on one box make of it; empty where they settled nothing."""
        if verdict.verdict == confirm.SLOWER and verdict.high is not None and verdict.high <= 1 + self.least:
            return SMALL
        if verdict.worse:
            return ALARM
        if verdict.verdict == confirm.BOTH_FAIL and self.fails:
            return OF_BOX
        if verdict.verdict in (confirm.EQUAL, confirm.FASTER, confirm.MENDED):
            return OF_BOX if self.fault.open else CLEARED
        if self.change and self.change.suspect and not self.fault.open:
            return SUSPECT  # one run or two against pairs that settled nothing
        return ""


@dataclass
class Gate:
    """All that is to be said."""

    findings: list[Finding] = field(default_factory=list)
    accepted: list[tuple[Judged | Series, LevelChange | None, Entry]] = field(default_factory=list)
    """Of a case that fails the series and no change."""
    unjudged: list[tuple[Series, str, str]] = field(default_factory=list)
    """A metric, or STATUS, and why nothing can be said of it."""
    quiet: list[Judged] = field(default_factory=list)
    """Judged, and nothing found."""
    stale: list[Entry] = field(default_factory=list)
    """Entries that accept nothing that is there."""

    def of(self, outcome: str) -> list[Finding]:
        return [finding for finding in self.findings if finding.outcome == outcome]

    @property
    def passes(self) -> bool:
        return not self.of(ALARM)


def gate(
    found: Sequence[Series],
    judged: Iterable[Judged],
    acceptances: Acceptances,
    base: str = "",
    least: float = 0.0,
) -> Gate:
    """What is worse in ``found`` and its ``judged`` metrics than the last accepted level, or than at ``base``, a hash.

    ``least`` is the relative change from which on something counts. Raises InputError where nothing was measured at
    ``base`` or before it.
    """
    answer, used = Gate(), set[Entry]()
    starts = {id(series): acceptances.place_at_most(series, base) if base else None for series in found}
    if base and all(start is None for start in starts.values()):
        raise InputError.plain(
            f"--base {base[:10]}: no case was measured there or before it; allowed: a measured commit"
        )
    for series in found:
        _look_at_status(answer, series, acceptances, starts[id(series)], bool(base), used)
    for one in judged:
        _look_at_levels(answer, one, acceptances, starts[id(one.series)], bool(base), least, used)
    answer.stale = [entry for entry in acceptances.entries if entry not in used and _is_here(entry, found)]
    return answer


def _is_here(entry: Entry, found: Iterable[Series]) -> bool:
    return any(entry.case in series.id for series in found)


def _look_at_status(
    answer: Gate, series: Series, acceptances: Acceptances, start: int | None, named: bool, used: set[Entry]
) -> None:
    points = series.points
    last = len(points) - 1
    if points[last].measured:
        return
    before = max((place for place, point in enumerate(points) if point.measured), default=None)
    if points[last].status in LEFT_OUT:
        if before is not None:
            answer.unjudged.append(
                (series, STATUS, f"is {points[last].status.replace('_', ' ')} now, and was measured")
            )
        return
    if before is None:
        answer.unjudged.append((series, STATUS, f"fails since its first commit, {points[0].commit}"))
        return
    if named and (start is None or before < start):
        answer.unjudged.append((series, STATUS, f"fails, and at the base already, since {points[before + 1].commit}"))
        return
    first = before + 1
    matched = acceptances.match(series, STATUS, [(first, first)])
    if matched:
        used.add(matched[0])
        answer.accepted.append((series, None, matched[0]))
        return
    fault = blame(points[before], points[first], STATUS)
    answer.findings.append(Finding(series, STATUS, before, first, first, last, fault))


def _look_at_levels(
    answer: Gate,
    judged: Judged,
    acceptances: Acceptances,
    start: int | None,
    named: bool,
    least: float,
    used: set[Entry],
) -> None:
    if judged.abstains:
        answer.unjudged.append((judged.series, judged.metric, judged.abstains))
        return
    if named and start is None:
        answer.unjudged.append((judged.series, judged.metric, "was not measured at the base or before it"))
        return
    changes = [*judged.changes, *judged.suspects]
    matched = acceptances.match(judged.series, judged.metric, [(change.first, change.at) for change in changes])
    for number, entry in matched.items():
        used.add(entry)
        answer.accepted.append((judged, changes[number], entry))
    accepted = max((changes[number].at for number in matched), default=0)
    since = max(accepted, (start or 0))
    held = judged.level(_measured_at_most(judged, start)) if named and start is not None else None
    standing = [
        finding
        for change in changes
        if change.at > since and (finding := _standing(judged, change, held if since == start else None, least))
    ]
    answer.findings += standing
    if not standing:
        answer.quiet.append(judged)


def _measured_at_most(judged: Judged, place: int) -> int:
    there = [index for index, value in enumerate(judged.values) if value is not None]
    return max((index for index in there if index <= place), default=there[0])


def _standing(judged: Judged, change: LevelChange, held: float | None, least: float) -> Finding | None:
    """The change as a finding, where it is for the worse and stands; ``held`` is the named base's level."""
    if not judged.worse(change):
        return None
    now = judged.newest
    before = judged.level(change.before)
    level = judged.level(now) if change.flagged else before * (1 + change.magnitude)
    rise = math.log1p(change.magnitude)
    if math.log(level / before) / rise <= 0.5:
        return None
    ratio = level / (held or before)
    if (ratio < 1) is not (rise < 0):
        return None  # worse than it was once, and better than at the base
    fault = change.fault
    return Finding(
        judged.series, judged.metric, change.before, change.first, change.at, now, fault, change, ratio, least
    )


def pairs_of(findings: Iterable[Finding]) -> dict[tuple[str, str, str], list[Finding]]:
    """The findings that pairs can settle, by the commits to be measured in turns and the metric; of failures ''.

    The later commit is the newest, where the change stands: which commit came with it is known within a few.
    """
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in findings:
        if finding.outcome in (ALARM, SUSPECT, UNDECIDED):
            points = finding.series.points
            metric = "" if finding.fails else finding.metric
            key = (points[finding.before].commit.hash, points[finding.now].commit.hash, metric)
            groups.setdefault(key, []).append(finding)
    return groups
