"""`confirm` and `bisect` of `tools/history.py`: two commits measured in turns, and the first bad one between them."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from fiabench.cases.case import Case
from fiabench.cases.errors import InputError
from fiabench.cases.expand import expand
from fiabench.cases.filters import parse_filters
from fiabench.cases.load import load_sweep
from fiabench.cases.quantities import parse_duration
from fiabench.cases.sweep import Sweep
from fiabench.cli.checkout import ROOT, find_sweep
from fiabench.cli.ending import FOUND, INTERRUPTED, OK, SOME_FAILED, interruptible
from fiabench.cli.history_running import project_in, sweep_for
from fiabench.cli.table import console
from fiabench.history import bisect as bisecting
from fiabench.history import confirm as confirming
from fiabench.history.checkouts import Checkouts
from fiabench.history.confirm import FASTER, SLOWER, Contest, Verdict
from fiabench.history.contenders import Contender, Ranks, Tool
from fiabench.history.pairs import Pairing
from fiabench.history.repository import Commit, Repository
from fiabench.results import units
from fiabench.results.comparison import LESS, MORE, worded
from fiabench.results.environment import environment, said_of
from fiabench.results.metrics import DIRECTED, METRICS
from fiabench.stats.compare import FALSE_DISCOVERIES, RELEVANT
from fiabench.stats.pairs import MISSED, NOMINAL
from fiabench.workers.machine import Machine, find_machine

_STYLES = {SLOWER: "bold red", confirming.FAILS: "bold red", FASTER: "green", confirming.MENDED: "green"}
_DOUBTFUL = "yellow"


def seconds(ctx: click.Context, param: click.Parameter, value: str) -> float:
    """Of an option such as `5m`."""
    try:
        return parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(f"found {value!r}; allowed: {error}", ctx, param) from error


def part(ctx: click.Context, param: click.Parameter, value: str) -> float:
    """The part that `2` or `2%` is."""
    try:
        found = float(value.strip().removesuffix("%")) / 100
    except ValueError:
        found = 0.0
    if not 0 < found < math.inf:
        raise click.BadParameter(f"found {value!r}; allowed: percent above 0, such as 2 or 0.5%", ctx, param)
    return found


def _shared(budget: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """The options of both commands."""
    options = (
        click.option(
            "--project",
            metavar="[NAME=]PATH",
            help="The outside repository whose commits they are, and where several could be meant the sweep's project "
            "that it is.  [default: this repository]",
        ),
        click.option("--adapter", metavar="ADAPTER", help="How its attention is called: see sweeps/README.md."),
        click.option("--sweep", metavar="NAME|FILE", help="What to measure.  [default: the adapter's own; history]"),
        click.option("--profile", metavar="NAME", help="A profile of the sweep."),
        click.option("--metric", default="total", show_default=True, metavar="NAME", help="What is held against what."),
        click.option("--relevant", default=f"{RELEVANT:.0%}", show_default=True, callback=part, metavar="PERCENT",
                     help="The difference that matters."),
        click.option("--budget", default=budget, show_default=True, callback=seconds, metavar="TIME",
                     help="End within about this time (90s, 30m, 1.5h), settled or not."),
        click.option("--device", type=click.Choice(["auto", "npu", "cuda", "cpu"]), default="auto", show_default=True),
        click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output."),
    )  # fmt: skip

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@dataclass(frozen=True)
class Subject:
    """Whose commits are measured, and by what."""

    repository: Repository
    sweep: Sweep
    profile: str | None
    project: str
    """Of the sweep, the one that the commits are of; empty for this repository itself."""
    metric: str
    machine: Machine
    """This box."""

    def __post_init__(self) -> None:
        if self.metric not in DIRECTED:
            raise InputError.plain(f"--metric: found {self.metric!r}; allowed: {', '.join(DIRECTED)}")

    @classmethod
    def of(
        cls, project: str | None, adapter: str | None, sweep: str | None, profile: str | None, metric: str, device: str
    ) -> Subject:
        """Raises InputError with nothing run."""
        if adapter and not project:
            raise InputError.plain("--adapter: found no --project; allowed: with one")
        key, _, path = (project or "").rpartition("=")
        repository = Repository(Path(path).resolve() if project else ROOT)
        loaded = load_sweep(find_sweep(sweep_for(sweep, adapter, bool(project))), profile)
        of = project_in(loaded, key, adapter) if project else ""
        return cls(repository, loaded, profile, of, metric, find_machine(device))

    def cases(self, texts: Sequence[str]) -> list[Case]:
        """Those of the sweep that the commits have a part in and every one of ``texts`` lets pass: filters, and parts
        of ids. Raises InputError where none is left."""
        passes = parse_filters([text for text in texts if "=" in text], self.sweep.projects, self.sweep.variables)
        parts = [text for text in texts if "=" not in text]
        found = [case for case in expand(self.sweep) if isinstance(case, Case)]
        if self.project:
            found = [case for case in found if self.project in (case.op, case.exchange, case.against)]
        kept = [case for case in found if passes(case) and all(part in case.id for part in parts)]
        if not kept:
            known = ", ".join(case.id for case in found[:20]) or f"none: no case of it is of {self.project}"
            raise InputError.plain(
                f"{self.sweep.name}: no case is left by {' '.join(texts) or '(all)'}; it has {known}"
            )
        return kept

    def _check_ranks(self, cases: Sequence[Case]) -> None:
        """Raises InputError where this box has not the ranks that ``cases`` need."""
        machine = self.machine
        most = max(cases, key=lambda case: case.world_size)
        if most.world_size > machine.max_ranks:
            allowed = f"{machine.device} allows {machine.max_ranks} here: leave such cases out"
            raise InputError.plain(f"{most.id}: found {most.world_size} ranks; {allowed}")

    def ran_on(self, verdicts: Sequence[Verdict]) -> str:
        """What they were measured on, and what they must not be taken for."""
        found = environment(self.machine.facts, None, ROOT)
        return said_of(found, any(verdict.emulated for verdict in verdicts))

    @contextmanager
    def contenders(self, cases: Sequence[Case]) -> Iterator[Callable[[Commit], Contender]]:
        """What makes a contender of a commit, for ``cases``; the checkouts are gone afterwards."""
        if self.project:
            self._check_ranks(cases)
        with Checkouts(self.repository) as checkouts:

            def make(commit: Commit) -> Contender:
                checkout, folder = checkouts.path(commit), checkouts.folder / f"runs-{commit.hash}"
                if not self.project:
                    return Tool(commit, checkout, self.sweep, self.profile, self.machine.device, folder)
                return Ranks(commit, self.machine, self.sweep, {self.project: checkout}, folder)

            yield make


@click.command()
@click.argument("base")
@click.argument("new")
@click.option("--cases", "filters", multiple=True, metavar="FILTER",
              help="Only these: FIELD=VALUE,... or a part of their ids; may be repeated.")  # fmt: skip
@_shared("5m")
def confirm(
    base: str,
    new: str,
    filters: tuple[str, ...],
    project: str | None,
    adapter: str | None,
    sweep: str | None,
    profile: str | None,
    metric: str,
    relevant: float,
    budget: float,
    device: str,
    as_json: bool,
) -> int:
    """Is NEW slower than BASE, or does it fail? Both are measured in turns on this box until that is settled.

    Exits with 1 where NEW is slower or fails and BASE does not, with 3 where both fail, with 0 otherwise.
    """
    subject = Subject.of(project, adapter, sweep, profile, metric, device)
    commits = subject.repository.commit(base), subject.repository.commit(new)
    cases = subject.cases(filters)
    notes, contests = console(stderr=True), [Contest(case, metric) for case in cases]
    interrupted = False
    with subject.contenders(cases) as make, interruptible(), notes.status("first sessions of each side") as status:
        pairing = Pairing((make(commits[0]), make(commits[1])), metric, random.Random())
        try:
            confirming.contest(
                pairing, contests, relevant, budget, lambda moved: status.update(_progress(moved, relevant))
            )
        except KeyboardInterrupt:
            interrupted = True
    verdicts = [found.verdict(relevant) for found in contests]
    if as_json:
        about = {
            "ran": subject.ran_on(verdicts),
            "base": commits[0]._asdict(),
            "new": commits[1]._asdict(),
            "metric": metric,
            "relevant": relevant,
        }
        found = {**about, "cases": [verdict.as_dict() for verdict in verdicts], "interrupted": interrupted}
        click.echo(json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        out = console()
        out.print(Text(subject.ran_on(verdicts), style="bold"))
        _print_verdicts(out, commits, metric, verdicts)
    if interrupted:
        notes.print("Interrupted: what is said is what was known by then.")
        return INTERRUPTED
    return _code(verdicts)


def _code(verdicts: Sequence[Verdict]) -> int:
    if any(verdict.worse for verdict in verdicts):
        return FOUND
    return OK if all(verdict.judged for verdict in verdicts) else SOME_FAILED


def _progress(contests: Sequence[Contest], relevant: float) -> str:
    settled = sum(not found.open for found in contests)
    rounds = max(len(found.evidence.differences) for found in contests)
    going = next((found.verdict(relevant) for found in contests if found.open), None)
    now = f"; {going.id}: {change_in_words(going)}" if going and going.ratio else ""
    return f"{settled} of {len(contests)} cases settled, {rounds} rounds{now}".replace("[", "\\[")


def _print_verdicts(out: Console, commits: tuple[Commit, Commit], metric: str, verdicts: Sequence[Verdict]) -> None:
    for name, commit in zip(("BASE", "NEW"), commits):
        out.print(Text(f"{name}: {commit} ({commit.date})", style="bold"))
    for verdict in verdicts:
        said = worded(verdict.verdict, metric)
        text = Text.assemble((f"{said}: ", _STYLES.get(verdict.verdict, _DOUBTFUL)), (verdict.id, "bold"))
        if verdict.ratio is not None:
            text.append(f"\n    {METRICS[metric].label} {change_in_words(verdict)} by the {verdict.stand}")
        text.append(f"\n    {verdict.why}; {verdict.pairs} pairs, {units.span(verdict.seconds)}", "dim")
        out.print(text, soft_wrap=True)
        for note in verdict.notes:
            out.print(Text(f"    {note}", style=_DOUBTFUL), soft_wrap=True)
    if any(verdict.ratio is not None for verdict in verdicts):
        several = f"; of all that is called changed at most {FALSE_DISCOVERIES:.0%} are expected to be noise"
        out.print(Text(f"NEW to BASE, with the {1 - NOMINAL:.0%} interval ({1 - MISSED:.0%} of equal ones) that holds "
                       "at every look"
                       f"{several if len(verdicts) > 1 else ''}", style="dim"))  # fmt: skip
    counts = Counter(worded(verdict.verdict, metric) for verdict in verdicts)
    out.print(Text(", ".join(f"{count} {verdict}" for verdict, count in counts.items()), style="bold"))


def change_in_words(verdict: Verdict) -> str:
    """`+5.1 % (+4.0 % to +6.2 %)`."""
    if verdict.ratio is None:
        return ""
    ends = " to ".join("unbounded" if end is None else _percent(end) for end in (verdict.low, verdict.high))
    return f"{_percent(verdict.ratio)} ({ends if verdict.low is not None else 'no bounds yet'})"


def _percent(ratio: float) -> str:
    return f"{round(100 * (ratio - 1), 1) + 0.0:+.1f} %"  # + 0.0: there is no -0.0 %


@click.command()
@click.argument("good")
@click.argument("bad")
@click.option("--case", "wanted", required=True, multiple=True, metavar="ID|FILTER",
              help="The one case: its id or a part of it, or FIELD=VALUE; may be repeated to narrow it.")  # fmt: skip
@_shared("30m")
def bisect(
    good: str,
    bad: str,
    wanted: tuple[str, ...],
    project: str | None,
    adapter: str | None,
    sweep: str | None,
    profile: str | None,
    metric: str,
    relevant: float,
    budget: float,
    device: str,
    as_json: bool,
) -> int:
    """The first commit after GOOD, up to BAD, that is as slow as BAD or fails as BAD does, for one case.

    Exits with 0 where it is found, with 3 where GOOD and BAD do not differ or what is left cannot be judged.
    """
    subject = Subject.of(project, adapter, sweep, profile, metric, device)
    repository = subject.repository
    ends = repository.commit(good), repository.commit(bad)
    commits = bisecting.between(repository, *ends)
    case = _only(subject.cases(wanted), wanted)
    notes, draw = console(stderr=True), random.Random()
    with subject.contenders([case]) as make, interruptible(), notes.status("") as status:
        base = make(ends[0])
        bisection = bisecting.Bisection(
            commits,
            case,
            lambda commit: Pairing((base, make(commit)), metric, draw),
            budget,
            lambda text: status.update(Text(text)),
        )
        interrupted = False
        try:
            found: bisecting.Found | None = bisection.find(relevant)
        except KeyboardInterrupt:
            found, interrupted = bisection.found, True
    if found is None:
        notes.print("Interrupted before GOOD and BAD were told apart.")
        return INTERRUPTED
    stat = repository.git("show", "--stat", "--format=", found.first_bad.hash) if found.first_bad else ""
    if as_json:
        about: dict[str, Any] = {"ran": subject.ran_on([found.ends]), "good": ends[0]._asdict(),
                                 "bad": ends[1]._asdict(), "case": case.id, "metric": metric}  # fmt: skip
        first = found.first_bad._asdict() if found.first_bad else None
        click.echo(json.dumps({**about, **found.as_dict(), "first_bad": first}, indent=2, ensure_ascii=False))
    else:
        out = console()
        out.print(Text(subject.ran_on([found.ends]), style="bold"))
        _print_found(out, ends, found, metric, stat)
    if interrupted:
        notes.print("Interrupted: what is said is what was known by then.")
        return INTERRUPTED
    return OK if found.first_bad else SOME_FAILED


def _only(cases: Sequence[Case], texts: Sequence[str]) -> Case:
    exact = [case for case in cases if case.id in texts]
    chosen = exact or list(cases)
    if len(chosen) > 1:
        raise InputError.plain(
            f"--case {' '.join(texts)}: found {len(chosen)} cases; allowed: one of "
            f"{', '.join(case.id for case in chosen[:20])}"
        )
    return chosen[0]


def _print_found(out: Console, ends: tuple[Commit, Commit], found: bisecting.Found, metric: str, stat: str) -> None:
    for name, commit in zip(("GOOD", "BAD"), ends):
        out.print(Text(f"{name}: {commit} ({commit.date})", style="bold"))
    change = f", {METRICS[metric].label} {change_in_words(found.ends)}" if found.ends.ratio else ""
    word = worded(found.ends.verdict, metric)
    said = {confirming.FAILS: "BAD fails", MORE: "BAD has more", LESS: "BAD has less"}.get(word, f"BAD is {word}")
    out.print(Text(f"{found.ends.id}: {said}{change}: {found.ends.why}"), soft_wrap=True)
    if not found.suspects:
        out.print(Text("GOOD and BAD do not differ for the worse as far as that shows: nothing to look for.", "yellow"))
        return
    if found.threshold:
        out.print(
            Text(f"bad: {_percent(found.threshold)} to GOOD and {'more' if found.threshold > 1 else 'less'}", "dim")
        )
    for decision in found.decisions:
        style = {bisecting.BAD: "red", bisecting.GOOD: "green"}.get(decision.decision, _DOUBTFUL)
        wrong = "" if decision.chance is None else f"; wrong in at most {_chance(decision.chance)}"
        why = f" ({decision.why}{wrong}; {units.span(decision.seconds)})"
        out.print(Text.assemble((f"{decision.decision}: ", style), str(decision.commit), (why, "dim")), soft_wrap=True)
    if found.first_bad is None:
        out.print(Text(f"The first bad commit is one of {len(found.suspects)}, which could not be told apart:", "bold"))
        for commit in found.suspects:
            out.print(Text(f"    {commit}"), soft_wrap=True)
        return
    out.print(Text(f"first bad commit: {found.first_bad} ({found.first_bad.date})", style="bold red"), soft_wrap=True)
    out.print(Text(stat), soft_wrap=True)
    sure = f"all decisions together are wrong in at most {_chance(found.error)}" if found.threshold else (
        "each commit was judged by how it ends, failures by two tries in fresh processes"
    )  # fmt: skip
    out.print(Text(sure, style="dim"))


def _chance(value: float) -> str:
    return "less than 0.01 % of bisections" if value < 1e-4 else f"{100 * value:.2g} % of bisections"
