"""Which commit is the first bad one: halves the commits between a good and a bad one, each judged by pairs.

A slowdown is bad where a commit takes more than half of what BAD takes more than GOOD, in logarithms, measured in turns
with GOOD; a failure where the commit fails as BAD does. As with any bisection, what is found is a commit at which good
turns to bad; where that happens once, it is the one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from fiabench.cases.case import Case
from fiabench.cases.errors import InputError
from fiabench.history.confirm import FAILS, SLOWER, Contest, Verdict, contest, first_sessions
from fiabench.history.pairs import BEST, NEW, Pairing
from fiabench.history.repository import Commit, Repository
from fiabench.results.measurement import Measurement
from fiabench.results.words import kind_of
from fiabench.stats.pairs import MISSED

GOOD, BAD, SKIPPED = "good", "bad", "skipped"
_SHARE_OF_ENDS = 0.4
"""Of the time, that telling GOOD from BAD may take."""


@dataclass(frozen=True)
class Decision:
    """What is thought of one commit between GOOD and BAD."""

    commit: Commit
    decision: str
    """GOOD, BAD or SKIPPED."""
    why: str
    chance: float | None = None
    """How often at most such evidence misleads; None where a status decided."""
    rounds: int = 0
    seconds: float = 0.0


@dataclass
class Found:
    """What a bisection came to."""

    ends: Verdict
    """Of GOOD and BAD."""
    threshold: float | None = None
    """The ratio to GOOD from which on a commit is bad; None where a failure is looked for."""
    decisions: list[Decision] = field(default_factory=list)
    suspects: list[Commit] = field(default_factory=list)
    """The first bad commit; several where those between could not be judged; none where GOOD and BAD do not differ."""

    @property
    def first_bad(self) -> Commit | None:
        return self.suspects[0] if len(self.suspects) == 1 else None

    @property
    def error(self) -> float:
        """How often at most one of the decisions by time is wrong: their chances together."""
        chances = [self.ends.chance, *(decision.chance for decision in self.decisions if decision.decision != SKIPPED)]
        return min(1.0, sum(chance for chance in chances if chance is not None))

    def as_dict(self) -> dict[str, Any]:
        return {
            "ends": self.ends.as_dict(),
            "threshold": self.threshold,
            "decisions": [
                {**asdict(decision), "commit": decision.commit.hash, "subject": decision.commit.subject}
                for decision in self.decisions
            ],
            "suspects": [commit.hash for commit in self.suspects],
            "error": self.error if self.suspects else None,
        }


def between(repository: Repository, good: Commit, bad: Commit) -> list[Commit]:
    """The commits after ``good`` up to and with ``bad``, oldest first: along the first parents where ``good`` is on
    that line, else all that lie between. Raises InputError where ``good`` does not come before ``bad``."""
    if good.hash == bad.hash:
        raise InputError.plain(f"GOOD and BAD are both {good}; allowed: two commits, the good one first")
    line = repository.git("rev-list", "--first-parent", bad.hash).splitlines()
    if good.hash in line:
        return repository.commits(f"{good.hash}..{bad.hash}")
    inside = repository.git("rev-list", "--ancestry-path", f"{good.hash}..{bad.hash}").splitlines()
    if not inside:
        raise InputError.plain(
            f"GOOD {good} does not come before BAD {bad} in {repository.path}; allowed: that it does"
        )
    return repository.known(inside)


class Bisection:
    """Looks for the first bad one of ``commits``, the last of which is BAD, for one case."""

    def __init__(
        self,
        commits: Sequence[Commit],
        case: Case,
        against: Callable[[Commit], Pairing],
        seconds: float,
        each: Callable[[str], None],
    ) -> None:
        """``against`` makes the pairing of GOOD with a commit; ``each`` is told what is going on."""
        self._commits = commits
        self._case = case
        self._against = against
        self._end = time.monotonic() + seconds
        self._seconds = seconds
        self._each = each
        self._symptom: Measurement | None = None
        """How BAD fails, if it does."""
        self._stand = BEST
        """By what BAD is slower, if it is."""
        self.found: Found | None = None
        """What is known so far; None until GOOD and BAD have been told apart."""

    def find(self, relevant: float) -> Found:
        """Judges commits until the first bad one is known, the time is over, or none is left that can be judged."""
        self._each(f"GOOD against BAD, {self._commits[-1].short}")
        share = _SHARE_OF_ENDS * self._seconds if len(self._commits) > 1 else self._seconds
        pairing = self._against(self._commits[-1])
        ends = Contest(self._case, pairing.metric)
        (verdict,) = contest(pairing, [ends], relevant, share, lambda contests: None)
        self.found = found = Found(verdict)
        if verdict.verdict == FAILS:
            self._symptom = ends.failed[NEW]
        elif verdict.verdict == SLOWER and verdict.ratio is not None:
            found.threshold, self._stand = math.sqrt(verdict.ratio), ends.stand
        else:
            return found
        self._halve(found)
        return found

    def _halve(self, found: Found) -> None:
        good, bad, skipped = -1, len(self._commits) - 1, set[int]()
        while True:
            found.suspects = list(self._commits[good + 1 : bad + 1])
            middle = (good + bad) / 2
            left = [place for place in range(good + 1, bad) if place not in skipped]
            if not left or time.monotonic() > self._end:
                return
            place = min(left, key=lambda candidate: abs(candidate - middle))
            still = max(1, math.ceil(math.log2(bad - good)))
            self._each(f"{self._commits[place]}, about {still} to go")
            decision = self._decide(self._commits[place], found.threshold, (self._end - time.monotonic()) / still)
            found.decisions.append(decision)
            if decision.decision == SKIPPED:
                skipped.add(place)
            elif decision.decision == BAD:
                bad = place
            else:
                good = place

    def _decide(self, commit: Commit, threshold: float | None, seconds: float) -> Decision:
        begun = time.monotonic()
        pairing = self._against(commit)
        trial = Contest(self._case, pairing.metric, math.log(threshold) if threshold else 0.0)
        trial.stand = self._stand
        first_sessions(pairing, [trial], (NEW,))
        if self._symptom:
            return _by_status(commit, trial, self._symptom, time.monotonic() - begun)
        return self._by_time(commit, pairing, trial, begun, seconds)

    def _by_time(self, commit: Commit, pairing: Pairing, trial: Contest, begun: float, seconds: float) -> Decision:
        """Whether it is worse or better than the threshold, by pairs with GOOD until one of them is settled."""
        error = MISSED / max(1, math.ceil(math.log2(len(self._commits))))
        lasted = 0.0
        while trial.open and trial.evidence.chance > error and time.monotonic() + lasted < begun + seconds:
            started = time.monotonic()
            trial.take(pairing.round([self._case], trial.apart)[self._case.id])
            lasted = time.monotonic() - started
        spent, rounds = time.monotonic() - begun, len(trial.evidence.differences)
        if not trial.open:
            return Decision(commit, SKIPPED, trial.verdict(0.0).why, seconds=spent)
        if not rounds:
            return Decision(commit, SKIPPED, "no round could be judged in the time that there was", seconds=spent)
        ratio = math.exp(sum(trial.evidence.differences) / rounds)
        why = f"{100 * (ratio - 1):+.1f} % to GOOD in {rounds} rounds"
        if trial.evidence.chance > error:
            return Decision(commit, SKIPPED, f"{why}, which settles nothing", None, rounds, spent)
        decision = BAD if trial.worse else GOOD
        return Decision(commit, decision, why, trial.evidence.chance, rounds, spent)


def _by_status(commit: Commit, trial: Contest, symptom: Measurement, seconds: float) -> Decision:
    """Bad where it fails as BAD does, skipped where it fails otherwise or not always."""
    verdict = trial.verdict(0.0)
    if trial.left_out:
        return Decision(commit, SKIPPED, trial.left_out, seconds=seconds)
    if trial.notes:
        return Decision(commit, SKIPPED, trial.notes[0], seconds=seconds)
    if not trial.failed:
        return Decision(commit, GOOD, "measured", seconds=seconds)
    alike = _kind(trial.failed[NEW]) == _kind(symptom)
    why = verdict.reasons["NEW"]
    return Decision(commit, BAD if alike else SKIPPED, why if alike else f"fails otherwise: {why}", seconds=seconds)


def _kind(failure: Measurement) -> tuple[str, str]:
    return kind_of(failure.status, failure.reason)
