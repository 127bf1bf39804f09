"""`gate --confirm`: the pairs that settle a finding before it fails anybody."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass

from fiabench.cases.case import Case
from fiabench.cases.errors import InputError
from fiabench.cases.expand import expand
from fiabench.cases.load import load_sweep
from fiabench.cli.checkout import find_sweep
from fiabench.cli.confirming import Subject
from fiabench.cli.histories import Chosen
from fiabench.cli.history_running import project_in
from fiabench.history import commands, confirm
from fiabench.history.confirm import Contest
from fiabench.history.gating import Finding, pairs_of
from fiabench.history.pairs import Pairing
from fiabench.history.repository import Repository
from fiabench.results.rundir import Run
from fiabench.stats.compare import RELEVANT
from fiabench.workers.machine import find_machine


@dataclass(frozen=True)
class Pairs:
    """How findings are confirmed."""

    chosen: Chosen
    machine: str
    """What this box is called in the history: findings on others cannot be settled here."""
    sweep: str
    """A name or a path; empty: the one that the history was measured with."""
    device: str
    least: float
    """The relative change that matters; 0 where none was asked for."""

    def settle(self, findings: Sequence[Finding], seconds: float, note: Callable[[str], None]) -> bool:
        """Gives each finding its verdict, or says why it has none; returns whether that was interrupted."""
        deadline = time.monotonic() + seconds
        here = [finding for finding in findings if finding.series.machine == self.machine]
        for finding in findings:
            if finding.series.machine != self.machine:
                finding.unconfirmed = f"is of {finding.series.machine}, and this box is {self.machine}"
        groups = list(pairs_of(here).items())
        for number, ((base, new, metric), group) in enumerate(groups):
            left = max(deadline - time.monotonic(), 0.0) / (len(groups) - number)
            budget = left if metric else 0.0  # whether it fails is settled by the first sessions
            note(f"[{number + 1}/{len(groups)}] {base[:10]} and {new[:10]} in turns: {len(group)} findings")
            try:
                if self._settle(group, base, new, metric or commands.OF_FAILURES, budget):
                    return True
            except InputError as error:
                for finding in group:
                    finding.unconfirmed = str(error)
        return False

    def _settle(self, group: Sequence[Finding], base: str, new: str, metric: str, seconds: float) -> bool:
        repository = self.chosen.store.repository()
        if repository is None:
            raise InputError.plain("the repository is not here")
        subject = self._subject(group[0], repository, metric)
        known = {point.id: point for point in expand(subject.sweep) if isinstance(point, Case)}
        by_id: dict[str, list[Finding]] = {}
        for finding in group:
            by_id.setdefault(finding.series.id, []).append(finding)
            if finding.series.id not in known:
                finding.unconfirmed = f"{subject.sweep.name} has no such case"
        cases = [known[name] for name in by_id if name in known]
        if not cases:
            return False
        commits = repository.commit(base), repository.commit(new)
        contests = [Contest(case, metric) for case in cases]
        relevant, interrupted = self.least or RELEVANT, False
        with subject.contenders(cases) as make:
            pairing = Pairing((make(commits[0]), make(commits[1])), metric, random.Random())
            try:
                confirm.contest(pairing, contests, relevant, seconds, lambda moved: None)
            except KeyboardInterrupt:
                interrupted = True
        for contest in contests:
            for finding in by_id[contest.case.id]:
                if not (interrupted and finding.fails):
                    finding.verdict = contest.verdict(relevant)
        return interrupted

    def _subject(self, finding: Finding, repository: Repository, metric: str) -> Subject:
        store, run = self.chosen.store, _run_of(self.chosen, finding)
        if self.sweep:
            sweep, profile = load_sweep(find_sweep(self.sweep)), None
        else:
            place, profile = commands.sweep_of(store, run.header["sweep"])
            sweep = load_sweep(find_sweep(place), profile)
        project = _project_of(finding, sweep.projects) or project_in(sweep, "", None) if store.outside else ""
        return Subject(repository, sweep, profile, project, metric, find_machine(self.device))


def confirm_command(chosen: Chosen, finding: Finding) -> str:
    """The command that measures the finding's commits in turns; empty where their repository is not here."""
    repository, points = chosen.store.repository(), finding.series.points
    if repository is None:
        return ""
    sweep, project = _run_of(chosen, finding).header["sweep"], str(repository.path)
    if key := _project_of(finding, sweep.get("projects", {})):
        project = f"{key}={project}"
    commits = points[finding.before].commit, points[finding.now].commit
    return commands.confirm_command(chosen.store, project, commits, sweep, finding.metric, finding.series.id)


def _run_of(chosen: Chosen, finding: Finding) -> Run:
    """The newest run that has the case."""
    name, machine = finding.series.id, finding.series.machine
    runs = [attempt.run for attempt in chosen.attempts if attempt.run and attempt.machine == machine]
    return next(run for run in reversed(runs) if any(line.id == name for line in run.lines))


def _project_of(finding: Finding, known: Container[str]) -> str:
    """Which of the ``known`` projects the commits are of; empty where the runs do not tell."""
    for point in reversed(finding.series.points):
        origins = point.measurement.timing.get("projects", {}) if point.measurement else {}
        for name, origin in origins.items():
            if origin["commit"] == point.commit.hash and name in known:
                return str(name)
    return ""
