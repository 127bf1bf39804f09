"""What a sweep would run here: counts, what is left out and why, memory and time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TextIO

from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from fiabench.cases import costs
from fiabench.cases.case import Case
from fiabench.cases.expand import LeftOut
from fiabench.results import units
from fiabench.results.naming import label, varying
from fiabench.workers.coordinator import estimate_seconds
from fiabench.workers.machine import Machine

_CHUNK = 1 << 14
"""Points between two updates of the bar."""


@dataclass
class Plan:
    """The sum of a sweep's cases on one machine. Seconds and bytes."""

    cases: int = 0
    misfits: int = 0
    too_many_ranks: int = 0
    seconds: float = 0.0
    peak_bytes: int = 0
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(rule, reason) to points."""
    first: list[tuple[Case, float, int, str]] = field(default_factory=list)
    """The first cases with their seconds, bytes on a rank, and why they cannot run here."""


def make_plan(points: Iterable[Case | LeftOut], machine: Machine, sampling: dict[str, Any], show: int) -> Plan:
    """Goes through ``points`` once, keeping the first ``show`` cases and sums of the rest."""
    plan, max_ranks = Plan(), machine.max_ranks
    for point in points:
        if isinstance(point, LeftOut):
            plan.left_out[point.rule, point.reason] += 1
            continue
        plan.cases += 1
        needed = costs.memory_bytes(point)
        if not machine.fits(point, needed):
            plan.misfits += 1
        elif point.world_size > max_ranks:
            plan.too_many_ranks += 1
        else:
            plan.seconds += estimate_seconds(point, machine, sampling)
        if needed > plan.peak_bytes:
            plan.peak_bytes = needed
        if len(plan.first) < show:
            plan.first.append((point, estimate_seconds(point, machine, sampling), needed, machine.misfit(point)))
    return plan


def with_progress(points: Iterable[Case | LeftOut], total: int, notes: Console) -> Iterator[Case | LeftOut]:
    """``points`` as they are, with a bar on ``notes`` where that is a terminal."""
    remaining = iter(points)
    with Progress(console=notes, transient=True, disable=not notes.is_terminal) as progress:
        task = progress.add_task("planning", total=total)
        while chunk := list(islice(remaining, _CHUNK)):
            yield from chunk
            progress.advance(task, len(chunk))


def plan_lines(
    points: Iterable[Case | LeftOut], machine: Machine, sampling: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Every point as a JSON-able object, for ``plan --json``."""
    for point in points:
        if isinstance(point, LeftOut):
            yield {"left_out": point.rule, "reason": point.reason, "point": point.point._asdict()}
            continue
        misfit = machine.misfit(point)
        yield {
            "id": point.id,
            "case": point.as_dict(),
            "world_size": point.world_size,
            "kernel_flops": costs.kernel_flops(point),
            "exchanged_bytes": costs.exchanged_bytes(point),
            "ring_bytes": costs.ring_bytes(point),
            "memory_bytes": costs.memory_bytes(point),
            "estimated_seconds": estimate_seconds(point, machine, sampling),
            **({"does_not_fit": misfit} if misfit else {}),
        }


def write_lines(lines: Iterator[dict[str, Any]], out: TextIO) -> None:
    for line in lines:
        out.write(json.dumps(line) + "\n")


def print_plan(out: Console, plan: Plan, machine: Machine, name: str, about: str) -> None:
    out.print(Text.assemble((name, "bold"), f": {about}"))
    where = (
        f"{machine.device} ({machine.cores} cores)"
        if machine.device == "cpu"
        else f"{machine.count} x {machine.facts['name'] if machine.spec else machine.device}"
    )
    out.print(
        f"{plan.cases:,} case{'' if plan.cases == 1 else 's'} on {where}, "
        f"{units.size(machine.memory_available)} of memory {'free' if machine.device == 'cpu' else 'each'}: "
        f"about {units.span(plan.seconds)}, up to {units.size(plan.peak_bytes)} on a rank. "
        "Times are rough until something has been measured."
    )
    if plan.misfits:
        out.print(
            Text(
                f"{plan.misfits:,} of them do not fit in memory here: they will be left out, with the reason", "yellow"
            )
        )
    if plan.too_many_ranks:
        allowed = f"the {machine.max_ranks} that {machine.device} allows here"
        out.print(Text(f"{plan.too_many_ranks:,} of them need more ranks than {allowed}: use a --filter", "yellow"))
    for (rule, reason), count in plan.left_out.most_common(20):
        out.print(Text(f"{count:,} points left out ({rule}): {reason}", "dim"))
    if len(plan.left_out) > 20:
        out.print(Text(f"... and for {len(plan.left_out) - 20:,} other reasons (--json has all)", "dim"))
    out.print(_case_table(plan, machine, plain=not out.is_terminal))
    if plan.cases > len(plan.first):
        out.print(Text(f"... and {plan.cases - len(plan.first):,} more (--show N for more, --json for all)", "dim"))


def _case_table(plan: Plan, machine: Machine, plain: bool) -> Table:
    table = Table(box=box.ASCII if plain else box.ROUNDED)
    for title in (
        "case",
        "shape on a rank",
        "ranks",
        "memory on a rank",
        "FLOPs on a rank",
        "exchanged",
        "time",
        "here",
    ):
        table.add_column(title, justify="left" if title in ("case", "shape on a rank", "here") else "right")
    beside = varying([case for case, *_ in plan.first])
    for case, seconds, needed, misfit in plan.first:
        exchanged = costs.exchanged_bytes(case) + costs.ring_bytes(case)
        flops = costs.kernel_flops(case)
        here = "does not fit" if misfit else "too many ranks" if case.world_size > machine.max_ranks else "runs"
        described = case.described_world_size
        ranks = f"{case.world_size}" if described == case.world_size else f"{case.world_size} of {described}"
        table.add_row(
            label(case, beside),
            "" if case.measure == "exchange" else shape_on_rank(case),
            ranks,
            units.size(needed),
            units.rate(flops, "FLOP") if flops else "",
            units.size(exchanged) if exchanged else "",
            "" if misfit else units.span(seconds),
            Text(here, "yellow" if here != "runs" else ""),
        )
    return table


def shape_on_rank(case: Case) -> str:
    """[B, N, S, D] of one rank's queries, and of its keys where they differ; of one step, in a ring."""
    queries, keys = case.seq_len_q, case.seq_len_kv
    if case.measure != "kernel":
        queries, keys = (tokens * case.ulysses for tokens in (case.tokens_per_rank_q, case.tokens_per_rank_kv))
    query = [case.batch_per_rank, case.heads_per_rank, queries, case.head_dim]
    key = [case.batch_per_rank, case.kv_heads_per_rank, keys, case.head_dim]
    return f"{query}" if query == key else f"{query}, keys {key}"
