"""`plan --predict`: the plans of a sweep on a simulated device, best first, and why others do not fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fiabench.cases.case import Case, head_shard
from fiabench.cases.expand import LeftOut, Point
from fiabench.results import units
from fiabench.results.words import heads_name
from fiabench.simulation.predict import Plan, misfit, rank_plans, where_it_stops
from fiabench.simulation.spec import Spec


class Attention(NamedTuple):
    """One attention's plans."""

    name: str
    plans: list[Plan]
    """The fastest first."""
    misfits: list[tuple[str, str]]
    """Plan and reason."""


def attentions(points: Iterable[Case | LeftOut], spec: Spec) -> Iterator[Attention]:
    """The plans of each attention of a sweep, in the sweep's order."""
    fitting: dict[str, list[Case]] = {}
    misfits: dict[str, list[tuple[str, str]]] = {}
    for point in points:
        case = point.point if isinstance(point, LeftOut) else point
        name = _name(case)
        fitting.setdefault(name, [])
        misfits.setdefault(name, [])
        reason = f"{_short(point)}: {point.reason}" if isinstance(point, LeftOut) else misfit(point, spec)
        if reason:
            misfits[name].append((_plan_name(case), reason))
        else:
            assert isinstance(point, Case)
            fitting[name].append(point)
    for name, cases in fitting.items():
        yield Attention(name, rank_plans(cases, spec), list(dict.fromkeys(misfits[name])))


def _short(left: LeftOut) -> str:
    """What a point that is no case is short of: `heads`, `tokens`, `buffer`; or by which rule it is left out."""
    if left.rule != "indivisible":
        return left.rule
    return next((word for word in ("heads", "tokens", "batch") if word in left.reason), "buffer")


def _name(case: Case | Point) -> str:
    if not case.heads:
        return f"all-to-all of {units.size(case.exchange_bytes)}, {case.dtype}"
    tokens = f"{case.seq_len_q:,} tokens"
    if case.seq_len_kv not in (0, case.seq_len_q):
        tokens = f"{case.seq_len_q:,} x {case.seq_len_kv:,} tokens"
    heads = heads_name(case.heads, case.kv_heads or case.heads)
    mask = "no mask" if case.mask == "none" else case.mask
    return f"{case.op} · {tokens} · {heads} heads x {case.head_dim} · {case.dtype} · {mask} · batch {case.batch}"


def _plan_name(case: Case | Point) -> str:
    shard = head_shard(case.tp, case.ulysses, case.ring, case.cfg)
    return shard if case.exchange == "none" or case.ulysses == 1 else f"{shard} {case.exchange}"


def prediction_lines(found: Iterable[Attention], spec: Spec) -> Iterator[dict[str, Any]]:
    """Every plan as a JSON-able object, for ``plan --predict --json``; seconds."""
    about = {"simulated": True, "device": spec.name}
    for attention in found:
        for plan in attention.plans:
            predicted = plan.prediction._asdict() | {"all_to_all_share": plan.prediction.all_to_all_share}
            predicted |= {"speedup": plan.speedup, "efficiency": plan.efficiency}
            yield {**about, "id": plan.case.id, "plan": _plan_name(plan.case), "predicted": predicted}
        for name, reason in attention.misfits:
            yield {**about, "attention": attention.name, "plan": name, "does_not_fit": reason}


def print_predictions(out: Console, found: Iterable[Attention], spec: Spec, name: str, show: int) -> None:
    """The first ``show`` plans of each attention, and every one that does not fit."""
    out.print(Text.assemble((name, "bold"), f" on simulated {spec.name}: predicted by a model, not measured anywhere"))
    out.print(Text(f"{spec.about}; {spec.across.nodes} nodes of {spec.node.ranks}", "dim"))
    for attention in found:
        out.print(Text(attention.name, "italic"))
        if attention.plans:
            out.print(_table(attention.plans[:show], plain=not out.is_terminal))
        if len(attention.plans) > show:
            out.print(Text(f"... and {len(attention.plans) - show:,} more (--show N for more, --json for all)", "dim"))
        for line in where_it_stops(attention.plans):
            out.print(Text(f"Ulysses with {line}"))
        for plan, reason in attention.misfits:
            out.print(Text(f"{plan} does not fit: {reason}", "yellow"))
    out.print(Text("speed-up: over one rank with the whole; efficiency: speed-up / ranks", "dim"))
    out.print(Text("of the attention alone: what tensor parallel exchanges after it is not in it", "dim"))
    if spec.buffer:
        out.print(Text(f"rounds: of the largest exchange through a buffer of {spec.buffer.mb:g} MiB", "dim"))


def _table(plans: list[Plan], plain: bool) -> Table:
    table = Table(box=box.ASCII if plain else box.ROUNDED)
    titles = ("plan", "ranks", "total", "kernel", "a2a share", "ring", "speed-up", "efficiency", "rounds")
    for title in titles:
        table.add_column(title, justify="left" if title == "plan" else "right")
    for plan in plans:
        predicted = plan.prediction
        table.add_row(
            _plan_name(plan.case),
            f"{plan.case.described_world_size}",
            units.human(predicted.total, "s"),
            units.human(predicted.kernel, "s"),
            units.percent(predicted.all_to_all_share) if predicted.all_to_all else "",
            units.human(predicted.ring, "s") if predicted.ring else "",
            f"{plan.speedup:.2f}",
            units.percent(plan.efficiency),
            f"{predicted.rounds}" if predicted.rounds > 1 else "",
        )
    return table
