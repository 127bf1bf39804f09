"""One attention as a list of steps, so that the same calls run with and without recording."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch.distributed as dist
from torch import Tensor

from fiabench import ops
from fiabench.cases.case import Case
from fiabench.devices.base import Device
from fiabench.measure import data
from fiabench.measure.check import check_bare_exchange, check_exchange
from fiabench.ulysses.exchange import BareExchange, Exchange


class Step(NamedTuple):
    """A call of the pipeline and the phase it belongs to; None for work that is no phase's."""

    phase: str | None
    call: Callable[[], None]


@dataclass
class Pipeline:
    """The steps of one iteration on one rank."""

    steps: list[Step]
    poison: Callable[[], None] = lambda: None
    """Makes every result of the last iteration unusable."""
    attention: Callable[[], Tensor] | None = None
    """The last iteration's attention, [B, s, N, D]; None where no attention is measured."""
    check_exchange: Callable[[int], str] | None = None
    """Checks the exchanges on a rank and returns what is wrong; None where nothing is exchanged."""
    phases: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.phases = list(dict.fromkeys(step.phase for step in self.steps if step.phase))

    def run(self) -> None:
        """One iteration without recording."""
        for step in self.steps:
            step.call()

    def run_recorded(self, device: Device) -> list[tuple[str, Any, Any]]:
        """One iteration with a mark before and after each phase: (phase, start, end), to be read when it has run.

        Time between two phases is in none of them; it shows as closure residual.
        """
        marks = []
        for step in self.steps:
            if step.phase is None:
                step.call()
                continue
            start = device.mark()
            step.call()
            marks.append((step.phase, start, device.mark()))
        return marks


def build(case: Case, rank: int, group: dist.ProcessGroup | None, device: Device) -> Pipeline:
    """Allocates what ``case`` needs on this rank and returns its pipeline.

    ``rank`` is the rank in the Ulysses group ``group``. Raises what the operator raises.
    """
    if case.measure == "exchange":
        assert group is not None
        return _exchange_alone(case, group, device)
    if case.measure == "kernel" or case.ulysses == 1:
        return _kernel_alone(case, device)
    assert group is not None
    return _ulysses(case, rank, group, device)


class _Kernel:
    """The operator's launch and its last output."""

    def __init__(self, case: Case, query: Tensor, key: Tensor, value: Tensor) -> None:
        self._launch = ops.load(case.op).prepare(case, query, key, value)
        self.output: Tensor | None = None

    def __call__(self) -> None:
        self.output = self._launch()

    def forget(self) -> None:
        self.output = None

    def attention(self) -> Tensor:
        if self.output is None:
            raise RuntimeError("the kernel has not run since its output was forgotten")
        return self.output


def _kernel_alone(case: Case, device: Device) -> Pipeline:
    tensors = [data.sequence_shard(case, name, 0, device.torch_device) for name in ("query", "key", "value")]
    if case.layout == "BNSD":
        tensors = [tensor.transpose(1, 2).contiguous() for tensor in tensors]
    kernel = _Kernel(case, *tensors)

    def attention() -> Tensor:
        output = kernel.attention()
        return output.transpose(1, 2) if case.layout == "BNSD" else output

    return Pipeline([Step("kernel", kernel)], poison=kernel.forget, attention=attention)


def _ulysses(case: Case, rank: int, group: dist.ProcessGroup, device: Device) -> Pipeline:
    exchange = Exchange(case, group, device.torch_device)
    query, key, value = (
        data.sequence_shard(case, name, rank, device.torch_device) for name in ("query", "key", "value")
    )
    kernel = _Kernel(case, exchange.query, exchange.key, exchange.value)

    def poison() -> None:
        kernel.forget()
        exchange.poison()

    steps = [
        Step("pack_in", lambda: exchange.pack_in(query, key, value)),
        Step("exchange_in", exchange.exchange_in),
        Step("unpack_in", exchange.unpack_in),
        Step("kernel", kernel),
        Step("pack_out", lambda: exchange.pack_out(kernel.attention())),
        Step("exchange_out", exchange.exchange_out),
        Step("unpack_out", exchange.unpack_out),
    ]
    return Pipeline(
        steps,
        poison=poison,
        attention=lambda: exchange.out,
        check_exchange=lambda rank: check_exchange(case, exchange, rank),
    )


def _exchange_alone(case: Case, group: dist.ProcessGroup, device: Device) -> Pipeline:
    bare = BareExchange(case, group, device.torch_device)
    steps = [Step("exchange_in", bare.exchange_in)]
    return Pipeline(steps, check_exchange=lambda rank: check_bare_exchange(bare, rank))
