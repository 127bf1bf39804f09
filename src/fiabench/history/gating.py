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
from fiabench.history.series import UNORDERED, Series
from fiabench.results.words import essence

ALARM, SUSPECT, UNDECIDED, OF_BOX, CLEARED, SMALL = (
    "alarm", "suspect", "undecided", "the box's", "cleared", "small",
)  # fmt: skip
"""What is made of a finding. Alarms alone fail the gate."""
_MENDED = 0.5
"""Of a rise, in logarithms: where no more than this is left of it, it is none any more."""
_OF_FAILURES = {confirm.FAILS: ALARM, confirm.BOTH_FAIL: OF_BOX, confirm.LEFT_OUT: ""}
"""What is made of a failure by how the two commits end on one box; else it did not come again."""


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
        """By how much it is worse, relative to the lower of the two levels."""
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
        if self.change is None or (self.change.flagged and self.at < self.now):
            return ALARM
        return SUSPECT  # it is not sure, or of one run alone, which may be off however sure it looks

    def _by_pairs(self, verdict: Verdict) -> str:
        """What pairs on one box make of it; empty where they settled nothing."""
        if self.fails:
            return _OF_FAILURES.get(verdict.verdict, CLEARED)
        if verdict.verdict == confirm.SLOWER and verdict.most is not None and verdict.most <= self.least:
            return SMALL
        if verdict.worse:
            return ALARM
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
    """Entries that accept nothing, of what was judged."""

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
    judging = _Judging(acceptances, base, least)
    for series in found:
        judging.look_at_status(series)
    for one in judged:
        judging.look_at_levels(one)
    if base and all(judging.start(series) is None for series in found):
        raise InputError.plain(
            f"--base {base[:10]}: no case was measured there or before it; allowed: a measured commit"
        )
    judging.gate.stale = judging.stale()
    return judging.gate


def failing(series: Series) -> tuple[int | None, int] | None:
    """The failure that the case ends with: the last point that was measured, None where none was, and the first that
    failed as the case does now. None where the case does not fail now."""
    for first, last in series.endings():
        if last == len(series.points) - 1:
            return last_measured(series), first
    return None


def last_measured(series: Series) -> int | None:
    return max((place for place, point in enumerate(series.points) if point.measured), default=None)


class _Judging:
    """What everything is held against, and what was found so far."""

    def __init__(self, acceptances: Acceptances, base: str, least: float) -> None:
        self.gate = Gate()
        self._acceptances = acceptances
        self._base = base
        self._least = least
        self._used: set[Entry] = set()
        self._judged: list[tuple[Series, str]] = []
        """What there is an answer to, by metric or STATUS."""

    def start(self, series: Series) -> int | None:
        """The point that stands for the named base; None where there is none."""
        return self._acceptances.place_at_most(series, self._base) if self._base else None

    def stale(self) -> list[Entry]:
        """The entries that accept nothing though it was looked for where they say it is."""
        return [
            entry
            for entry in self._acceptances.entries
            if entry not in self._used
            and any(
                entry.speaks_of(series, metric) and self._acceptances.within(series, entry)
                for series, metric in self._judged
            )
        ]

    def look_at_status(self, series: Series) -> None:
        points, failure = series.points, failing(series)
        if series.unordered:
            if any(not point.measured for point in points):
                self._pass_over(series, STATUS, f"failed, and {UNORDERED}")
            return
        if failure is None:
            if points[-1].measured:
                self._judged.append((series, STATUS))
            elif last_measured(series) is not None:
                self._pass_over(series, STATUS, f"is {points[-1].status.replace('_', ' ')} now, and was measured")
            return
        before, first = failure
        if before is None:
            self._pass_over(series, STATUS, f"fails since its first commit, {points[0].commit}")
            return
        start = self.start(series)
        if self._base and (start is None or before < start):
            self._pass_over(series, STATUS, f"fails, and at the base already, since {points[before + 1].commit}")
            return
        self._judged.append((series, STATUS))
        matched = self._match(series, STATUS, [(first, first)])
        if matched:
            self.gate.accepted.append((series, None, matched[0]))
            return
        fault = blame(points[before], points[first], STATUS)
        self.gate.findings.append(Finding(series, STATUS, before, first, first, len(points) - 1, fault))

    def look_at_levels(self, judged: Judged) -> None:
        series, metric = judged.series, judged.metric
        start = self.start(series)
        if judged.abstains:
            self._pass_over(series, metric, judged.abstains)
            return
        if self._base and start is None:
            self._pass_over(series, metric, "was not measured at the base or before it")
            return
        changes = [*judged.changes, *judged.suspects]
        self._judged.append((series, metric))
        matched = self._match(series, metric, [(change.first, change.at) for change in changes])
        self.gate.accepted += [(judged, changes[number], entry) for number, entry in matched.items()]
        since = max((changes[number].at for number in matched), default=0)
        held = None
        if start is not None and start >= since:
            since, held = start, judged.level_at_most(start)
        found = [self._standing(judged, change, held) for change in changes if change.at > since]
        standing = [finding for finding in found if finding]
        self.gate.findings += standing
        if not standing:
            self.gate.quiet.append(judged)

    def _match(self, series: Series, metric: str, ranges: Sequence[tuple[int, int]]) -> dict[int, Entry]:
        """The first entry that accepts each of ``ranges``, by its place among them."""
        matched = self._acceptances.match(series, metric, ranges)
        self._used.update(entry for entries in matched.values() for entry in entries)
        return {number: entries[0] for number, entries in matched.items()}

    def _pass_over(self, series: Series, metric: str, why: str) -> None:
        self.gate.unjudged.append((series, metric, why))

    def _standing(self, judged: Judged, change: LevelChange, held: float | None) -> Finding | None:
        """The change as a finding, where it is for the worse and stands; ``held`` is the named base's level."""
        rise = math.log1p(change.magnitude)
        if not rise or not judged.worse(change):
            return None
        before = judged.level(change.before)
        level = judged.level(judged.newest) if change.flagged else before * (1 + change.magnitude)
        if math.log(level / before) / rise <= _MENDED:
            return None
        ratio = level / (held or before)
        if (ratio < 1) != (rise < 0):
            return None  # worse than it was once, and better than at the base
        return Finding(
            judged.series,
            judged.metric,
            change.before,
            change.first,
            change.at,
            judged.newest,
            change.fault,
            change,
            ratio,
            self._least,
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
