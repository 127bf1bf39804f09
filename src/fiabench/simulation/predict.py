"""What the model says of plans without running them, and where Ulysses stops paying. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from fiabench.cases import costs
from fiabench.cases.case import Case
from fiabench.results.metrics import PHASES
from fiabench.simulation import model
from fiabench.simulation.model import Exchange
from fiabench.simulation.spec import Spec


class Prediction(NamedTuple):
    """One attention without noise, by the slowest rank. Seconds."""

    total: float
    kernel: float
    all_to_all: float
    """Pack, transfer and unpack, both directions."""
    ring: float
    """Exchanges of the ring and merging."""
    rounds: int
    """In how many rounds the largest exchange goes through a communicator's buffer."""

    @property
    def all_to_all_share(self) -> float:
        return self.all_to_all / self.total


class Plan(NamedTuple):
    """A case as one way to divide the model, with what is predicted of it."""

    case: Case
    prediction: Prediction
    speedup: float
    """Over one rank that holds the whole: tensor parallel 1, no Ulysses, no ring."""

    @property
    def efficiency(self) -> float:
        return self.speedup / self.case.described_world_size


def predict(case: Case, spec: Spec) -> Prediction:
    """Plays one iteration of every rank on the device, all beginning together and everything launched ahead."""
    ranks = range(case.world_size)
    schedules = [model.schedule(case, spec, rank) for rank in ranks]
    free, sums = [0.0] * len(schedules), [dict.fromkeys(PHASES, 0.0) for _ in schedules]
    for parts in zip(*schedules, strict=True):
        before = list(free)
        for rank, part in zip(ranks, parts, strict=True):
            arrivals = [before[other] for other in part.ranks] if isinstance(part, Exchange) else [before[rank]]
            free[rank] = max(arrivals) + part.seconds
            sums[rank][part.phase] += part.seconds
    moved = ("pack_in", "exchange_in", "unpack_in", "pack_out", "exchange_out", "unpack_out")
    size = model.largest_exchange(case)
    return Prediction(
        total=max(free),
        kernel=max(phases["kernel"] for phases in sums),
        all_to_all=max(sum(phases[name] for name in moved) for phases in sums),
        ring=max(phases["ring_exchange"] + phases["merge"] for phases in sums),
        rounds=-(-size // spec.buffer_bytes) if spec.buffer_bytes and size else 1,
    )


def misfit(case: Case, spec: Spec) -> str:
    """Why the deployment that ``case`` describes does not fit, in words that begin with what is short; empty where it
    does."""
    if case.described_world_size > spec.ranks:
        return f"ranks: needs {case.described_world_size}, {spec.name} has {spec.ranks}"
    if reason := model.unsupported(case, spec):
        return reason
    return memory_misfit(case, spec)


def memory_misfit(case: Case, spec: Spec) -> str:
    """Why ``case`` does not fit into a rank's memory, its communicators' buffers counted; empty where it does."""
    needed, groups = costs.memory_bytes(case), (case.ulysses > 1) + (case.ring > 1)
    buffers = 2 * spec.buffer_bytes * groups if case.measure != "kernel" else 0
    if needed + buffers > spec.memory_bytes:
        beside = f" and {buffers / 2**30:,.1f} GiB of communicators' buffers" if buffers else ""
        return f"memory: needs {needed / 2**30:,.1f} GiB{beside}, {spec.name} has {spec.memory.gib:g} GiB"
    return ""


def alone(case: Case) -> Case:
    """The same attention, of the whole batch, on one rank."""
    return case._replace(
        tp=1, ulysses=1, ring=1, cfg=1, heads_per_rank=case.heads, kv_heads_per_rank=case.kv_heads, exchange="none"
    )


def rank_plans(cases: Iterable[Case], spec: Spec) -> list[Plan]:
    """``cases`` of one attention with their predictions, the fastest first."""
    plans = []
    for case in cases:
        prediction = predict(case, spec)
        one = prediction.total if case.measure != "ulysses" else predict(alone(case), spec).total
        plans.append(Plan(case, prediction, one / prediction.total))
    return sorted(plans, key=lambda plan: (plan.prediction.total, plan.case.described_world_size, plan.case.id))


def where_it_stops(plans: Sequence[Plan]) -> list[str]:
    """For each tensor parallel and ring degree, up to which Ulysses degree another step still pays, in words.

    A step pays while the attention gets faster; below an efficiency of 50 % more than half of the ranks' time is lost
    to exchanges and to kernels that are too small.
    """
    best: dict[tuple[int, int], dict[int, Plan]] = {}
    for plan in plans:  # the fastest exchange of a degree comes first
        best.setdefault((plan.case.tp, plan.case.ring), {}).setdefault(plan.case.ulysses, plan)
    lines = []
    for (tp, ring), by_degree in sorted(best.items()):
        degrees = sorted(by_degree)
        if len(degrees) < 2:
            continue
        name = f"tp{tp}" + (f" x ring{ring}" if ring > 1 else "")
        totals = [by_degree[degree].prediction.total for degree in degrees]
        stop = next((index for index in range(1, len(degrees)) if totals[index] >= totals[index - 1]), None)
        if stop is None:
            paying = f"every step up to u{degrees[-1]} pays"
        else:
            paying = f"stops paying at u{degrees[stop]}, which is slower than u{degrees[stop - 1]}"
            again = next((index for index in range(stop, len(degrees)) if totals[index] < min(totals[:index])), None)
            paying += f"; only u{degrees[again]} is faster again" if again else ""
        poor = next((degree for degree in degrees if by_degree[degree].efficiency < 0.5), None)
        half = f"; efficiency is below 50 % from u{poor} on" if poor else ""
        lines.append(f"{name}: {paying}{half}")
    return lines
