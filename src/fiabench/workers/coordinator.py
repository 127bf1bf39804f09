"""The coordinator: one rank group at a time, one case at a time, each with a deadline. Imports no torch."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fiabench.cases.case import Case
from fiabench.cases.variables import Variables, in_words
from fiabench.results.measurement import Measurement
from fiabench.workers.budget import START_SECONDS, Budget, Cost, limited
from fiabench.workers.group import GroupFailure, RankGroup, Ranks, SimulatedGroup, StandingRanks
from fiabench.workers.machine import Machine
from fiabench.workers.merge import merge, unmeasured

_DEADLINE_BASE = 60.0
"""Seconds that any case may take: the first call of a shape compiles kernels on some devices."""
_DEADLINE_FACTOR = 10.0
"""Times its estimate that a case may take."""
_DEADLINE_MOST = 24 * 3600.0
_PACE_LIMITS = (0.1, 10.0)
"""Estimates are corrected within these: a case of microseconds says little about one of minutes."""
_FIRST_CALLS = 3
"""Iterations' time that a case takes before it is warmed up: its inputs, its first call, its check."""
_STARTS_TRIED = 2
_NO_VARIABLES = "environment variables, of which a simulated device knows none"
_GROUPS_A_SESSION = 1_000_000
"""Simulated sessions are numbered apart by this: one that loses a group goes on with the next number."""
SIMULATED_RANK_SECONDS = 0.03
"""What simulating a case takes for each of its ranks, on one core; several times that where its samples are noisy."""


class Coordinator:
    """Measures cases on ``machine``. ``sweep`` is the resolved one of the run, ``logs`` takes the ranks' output.

    ``budget`` is the time that all of them may take; None for as long as they need. ``cross_check`` is how each is
    looked at once more, as :func:`fiabench.measure.one.measure` has it. ``ranks`` are there already, and stay; without
    them each group is started when its first case comes.
    """

    def __init__(
        self,
        machine: Machine,
        sweep: dict[str, Any],
        logs: Path,
        peak_flops: dict[str, float],
        budget: Budget | None = None,
        cross_check: str = "",
        ranks: StandingRanks | None = None,
    ) -> None:
        self._machine = machine
        self._projects = sweep.get("projects", {})
        self._stopping = dict(sweep["sampling"])
        self._deadline: float = self._stopping.pop("deadline_seconds")
        self._limits = self._stopping
        """As ``_stopping``, for the case at hand."""
        self._budget = budget
        self._cross_check = cross_check
        self._logs = logs
        self._peak_flops = peak_flops
        self._ranks = ranks
        self._group: Ranks | None = None
        self._joined = 0.0
        self._pace = 1.0
        self._paced = False
        self._failed_starts = Counter[tuple[int, Variables]]()
        """By what a group has to be: a value that keeps ranks from starting says nothing about the others."""
        self._simulated_session = 0

    def __enter__(self) -> Coordinator:
        return self

    def __exit__(self, *_: object) -> None:
        if self._group:
            self._group.kill()

    @property
    def simulated(self) -> bool:
        """Whether no case is really measured."""
        return self._machine.spec is not None

    @property
    def pace(self) -> float:
        """How many times its estimate a case takes, judged by the last one."""
        return self._pace

    def estimate(self, case: Case) -> float:
        """What ``case`` takes in seconds before :attr:`pace` corrects it; 0 where it will not run."""
        return 0.0 if self._machine.misfit(case) else estimate_seconds(case, self._machine, self._stopping)

    @property
    def time_left(self) -> float:
        """Seconds of the budget that are left; infinite without one."""
        return max(0.0, self._budget.left) if self._budget else float("inf")

    def measure(
        self, cases: Sequence[Case], session: int = 0, later: Sequence[Case] = ()
    ) -> Iterator[tuple[Case, Measurement]]:
        """Each case and its measurement in ``session``, as they end: a failure costs its own case only.

        Starts with no group and ends with none, so that what two calls measure shares no process. Within a budget
        each case gets its share of the time, ``later`` ones too, and those that it does not suffice for do not come.

        Cases of one world size and one setting of the variables should stand together: a change of either starts a
        group.
        """
        self._failed_starts.clear()
        self._simulated_session = session * _GROUPS_A_SESSION
        if self._budget:
            self._budget.expect([*self._costs(cases), *self._costs(later)])
        for place, case in enumerate(cases):
            measurement = self._left_out(case)
            if measurement is None:
                if self._budget and not self._affords(case, self._budget, place):
                    continue
                measurement = self._tried(case)
            measurement.session = session
            yield case, measurement
        if self._group:
            self._group.close()
            self._group = None

    def _costs(self, cases: Sequence[Case]) -> Iterator[Cost]:
        """What each of ``cases`` is estimated to take in one session."""
        before = None
        for case in cases:
            whole = self.pace * self.estimate(case)
            first = min(whole, _FIRST_CALLS * self.pace * self._machine.iteration_seconds(case))
            fresh = 0.0 if (case.world_size, case.variables) == before else START_SECONDS
            before = case.world_size, case.variables
            yield Cost(first + fresh, whole - first)

    def _affords(self, case: Case, budget: Budget, place: int) -> bool:
        """Whether there is time for ``case``; limits its sampling to its share."""
        if self.simulated:  # where warming up and sampling take no time of ours
            return budget.left > 0
        self._limits = limited(self._stopping, budget.share(place))
        # Before the first one has shown the pace, an estimate is no reason not to try.
        least = _FIRST_CALLS * self.pace * self._machine.iteration_seconds(case) if self._paced else 0.0
        return budget.left > least

    def _left_out(self, case: Case) -> Measurement | None:
        """The measurement of a case that is not to be tried here; None for one that is."""
        if case.variables and self.simulated:
            return unmeasured(case, self._machine, "unsupported", _NO_VARIABLES)
        if self._ranks and (lacking := self._ranks.lacking(case)):
            return unmeasured(case, self._machine, "unsupported", lacking)
        misfit = self._machine.misfit(case)
        return unmeasured(case, self._machine, "does_not_fit", misfit) if misfit else None

    def _tried(self, case: Case) -> Measurement:
        started = time.monotonic()
        try:
            measurement = self._measure(case)
        except GroupFailure as failure:
            measurement = unmeasured(case, self._machine, failure.status, failure.reason)
            self._end_group()
        else:
            if measurement.status == "out_of_memory":
                self._end_group()
            elif measurement.measured:
                self._keep_pace(case, measurement)
        measurement.timing["case_seconds"] = time.monotonic() - started
        return measurement

    def _measure(self, case: Case) -> Measurement:
        group = self._group_for(case)
        answers = group.ask(*self.command(case))
        measurement = merge(case, answers, self._machine, self._peak_flops.get(case.dtype))
        about = {"join_seconds": self._joined, "pids": group.pids, "cores": group.cores}
        measurement.timing["group"] = {**about, **answers[0]["groups"]}
        return measurement

    def command(self, case: Case) -> tuple[dict[str, Any], float]:
        """What every rank is told to measure ``case``, and the seconds after which it is a timeout."""
        resolved = case._replace(threads=self._machine.threads(case))
        patience = _DEADLINE_BASE + _DEADLINE_FACTOR * self._pace * self.estimate(case)
        deadline = self._deadline or min(patience, _DEADLINE_MOST)
        command = {"id": case.id, "case": resolved.as_dict(), "stopping": self._limits, "projects": self._projects}
        if self._cross_check:
            command["cross_check"] = self._cross_check
        if self._machine.spec:
            command |= {"simulation": self._machine.facts["simulation"], "session": self._simulated_session}
        return command, deadline

    def _group_for(self, case: Case) -> Ranks:
        """The running group where it has the right size and variables, else a fresh one."""
        wanted = case.world_size, case.variables
        if self._group and not self._group.hosts(*wanted, self._machine.threads(case)):
            self._group.close()
            self._group = None
        if self._group is None:
            if self._failed_starts[wanted] >= _STARTS_TRIED:
                such = f"{case.world_size} {in_words(case.variables)}".strip()
                raise GroupFailure("crash", f"not tried: {_STARTS_TRIED} groups of {such} did not start")
            self._group = self._start(case)
            self._simulated_session += 1
            self._failed_starts[wanted] += 1
            self._joined = self._group.join()
            del self._failed_starts[wanted]
        return self._group

    def _start(self, case: Case) -> Ranks:
        if self._ranks:
            return self._ranks
        if self._machine.spec:
            return SimulatedGroup(self._machine.device, self._logs)
        threads = self._machine.threads(case)
        return RankGroup(self._machine.device, case.world_size, threads, self._logs, case.variables)

    def _end_group(self) -> None:
        if self._group:
            self._group.kill()
            self._group = None

    def _keep_pace(self, case: Case, measurement: Measurement) -> None:
        """Corrects later estimates by how long an iteration really took."""
        total = measurement.value("total")
        if total and not self._machine.spec:
            self._paced = True
            least, most = _PACE_LIMITS
            self._pace = min(most, max(least, total / self._machine.iteration_seconds(case)))


def estimate_seconds(case: Case, machine: Machine, stopping: dict[str, Any]) -> float:
    """What a case takes from its start to its line, in seconds: check, warm-up and samples, within their caps.

    Of a simulated device what simulating takes, not what is simulated.
    """
    if machine.spec:
        return SIMULATED_RANK_SECONDS * case.world_size
    iteration = machine.iteration_seconds(case)
    each = iteration * (1 + (case.exchange != "none" or case.ring > 1) + (case.against != "none"))
    least = min(stopping["min_samples"], 3) if iteration > 1.0 else stopping["min_samples"]
    sampling = max(least * each, min(stopping["max_samples"] * each, stopping["max_seconds"]))
    return _FIRST_CALLS * iteration + min(10 * iteration, stopping["warmup_max_seconds"]) + sampling
