"""From a case to its pipeline on one rank: inputs, exchanges and kernel, allocated and wired together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fiabench import layouts
from fiabench.cases.case import LAYOUTS, Case
from fiabench.devices.base import Device
from fiabench.measure import data, subjects
from fiabench.measure import kernel as kernels
from fiabench.measure.kernel import Kernel, RingKernel
from fiabench.measure.outside import Outside
from fiabench.measure.pipeline import Pipeline, Step
from fiabench.measure.positions import check_bare_exchange, check_exchange, check_ring
from fiabench.measure.subjects import Projects
from fiabench.ulysses import exchange as exchanges
from fiabench.ulysses.exchange import BareExchange, Exchange
from fiabench.ulysses.groups import RankGroups


def unsupported(case: Case, device: str, projects: Projects) -> str | None:
    """Why :func:`build` or the operator cannot do ``case``, as far as that is known before anything is made."""
    reason = subjects.unsupported(case, device, projects) or exchanges.unsupported(case)
    if reason or case.ring == 1:
        return reason
    names = [name for name in (case.op, case.against) if name != "none"]
    found = (kernels.unsupported(case._replace(op=name), subjects.operator(name, projects), device) for name in names)
    return next((reason for reason in found if reason), None)


def build(case: Case, rank: int, groups: RankGroups, device: Device, projects: Projects) -> Pipeline:
    """Allocates what ``case`` needs on this rank and returns its pipeline.

    ``rank`` counts the ranks that share the sequence. Raises what the operator or an outside project raises.
    """
    if case.measure == "exchange":
        return _exchange_alone(case, groups, device)
    if case.measure == "kernel" or case.ulysses == 1:
        return _without_ulysses(case, rank, groups, device, projects)
    if case.exchange in projects:
        return _outside(case, rank, groups, device, projects)
    return _ulysses(case, rank, groups, device, projects)


def describe(case: Case, device: str, projects: Projects) -> dict[str, Any]:
    """What of ``case`` really runs on ``device``: whether its operator is `emulated`, and outside `projects`."""
    operator = subjects.operator(case.op, projects) if case.measure != "exchange" else None
    return {
        "emulated": bool(operator and operator.emulated(device)),
        "projects": subjects.provenance(case, projects),
    }


class Assembly(NamedTuple):
    """A way from cases to pipelines: :data:`REAL`, or that of a simulated device."""

    unsupported: Callable[[Case, str, Projects], str | None]
    """Of a case, a device's name and the projects: why the case cannot be built; None where it can."""
    build: Callable[[Case, int, Any, Any, Projects], Pipeline]
    """Of a case, the rank among those that share the sequence, groups and device of one kind, and the projects."""
    describe: Callable[[Case, str, Projects], dict[str, Any]]
    """Of a case, a device's name and the projects: what stands in ``timing`` of what ran."""


REAL = Assembly(unsupported, build, describe)


def _shards(case: Case, rank: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value of one rank's tokens, [B, s, N, D]."""
    query, key, value = (data.sequence_shard(case, name, rank, device) for name in ("query", "key", "value"))
    return query, key, value


def _kernel(
    case: Case, rank: int, groups: RankGroups, projects: Projects, tensors: tuple[Tensor, Tensor, Tensor]
) -> Kernel | RingKernel:
    operator = subjects.operator(case.op, projects)
    if case.ring == 1 or case.measure == "kernel":
        return Kernel(case, operator, *tensors)
    group = groups.ring(case.ulysses, case.ring)
    assert group is not None
    return RingKernel(case, operator, rank // case.ulysses, group, tensors)


def _without_ulysses(case: Case, rank: int, groups: RankGroups, device: Device, projects: Projects) -> Pipeline:
    """The kernel alone, or a ring of single ranks. The inputs lie in the operator's layout from the start."""
    axes = LAYOUTS[case.layout]
    lay_out = layouts.strided if case.inputs == "strided" else layouts.contiguous
    query, key, value = (lay_out(shard, axes.input) for shard in _shards(case, rank, device.torch_device))
    kernel = _kernel(case, rank, groups, projects, (query, key, value))

    def attention() -> Tensor:
        return layouts.tokens_first(kernel.attention(), axes.output, case.batch_per_rank, case.heads_per_rank)

    check = None
    if isinstance(kernel, RingKernel):
        ring = kernel.ring
        check = lambda rank: check_ring(case, ring, rank)  # noqa: E731
    return Pipeline(kernel.steps, poison=kernel.poison, attention=attention, check_exchange=check)


def _ulysses(case: Case, rank: int, groups: RankGroups, device: Device, projects: Projects) -> Pipeline:
    group = groups.ulysses(case.ulysses)
    assert group is not None
    exchange = Exchange(case, group, device.torch_device)
    query, key, value = _shards(case, rank, device.torch_device)
    kernel = _kernel(case, rank, groups, projects, (exchange.query, exchange.key, exchange.value))

    def poison() -> None:
        kernel.poison()
        exchange.poison()

    def check(rank: int) -> str:
        wrong = [check_exchange(case, exchange, rank, device.torch_device)]
        if isinstance(kernel, RingKernel):
            wrong.append(check_ring(case, kernel.ring, rank // case.ulysses))
        return "; ".join(filter(None, wrong))

    steps = [
        Step("pack_in", lambda: exchange.pack_in(query, key, value)),
        Step("exchange_in", exchange.exchange_in),
        Step("unpack_in", exchange.unpack_in),
        *kernel.steps,
        Step("pack_out", lambda: exchange.pack_out(kernel.attention())),
        Step("exchange_out", exchange.exchange_out),
        Step("unpack_out", exchange.unpack_out),
    ]
    return Pipeline(steps, poison=poison, attention=lambda: exchange.out, check_exchange=check)


def _outside(case: Case, rank: int, groups: RankGroups, device: Device, projects: Projects) -> Pipeline:
    group = groups.ulysses(case.ulysses)
    exchange = subjects.outside_exchange(projects[case.exchange])
    assert group is not None
    outside = Outside(case, subjects.operator(case.op, projects), exchange, group, device.torch_device)
    return Pipeline(
        outside.steps(*_shards(case, rank, device.torch_device)),
        poison=outside.poison,
        attention=outside.attention,
        check_exchange=lambda rank: check_exchange(case, outside, rank, device.torch_device),
        recording=lambda device: outside.recording(device, groups.barrier),
    )


def _exchange_alone(case: Case, groups: RankGroups, device: Device) -> Pipeline:
    group = groups.ulysses(case.ulysses)
    assert group is not None
    bare = BareExchange(case, group, device.torch_device)
    return Pipeline(
        [Step("exchange_in", bare.exchange_in)], check_exchange=lambda rank: check_bare_exchange(bare, rank)
    )
