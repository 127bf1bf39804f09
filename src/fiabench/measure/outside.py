"""An outside exchange around one attention, as it stands: its phases are found by where its collectives are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
import torch.distributed as dist
from torch import Tensor

from fiabench import layouts
from fiabench.cases.case import LAYOUTS, Case
from fiabench.devices.base import Device
from fiabench.measure.pipeline import Mark, RecordedStep, Step
from fiabench.ops import Operator
from fiabench.projects.exchanges import OutsideExchange
from fiabench.ulysses.exchange import TORCH_DTYPES
from fiabench.ulysses.recording import CollectiveMarks, split


class Outside:
    """One rank's attention between an outside project's exchanges.

    q, k and v go through the project's exchange one after the other and arrive as new tensors [B, S, n, D]. Where the
    layout is another, they are copied into the operator's tensors, which is unpacking; where the operator takes them as
    they come, its launch is prepared anew for them, in no phase. The output goes back as a view [B, S, n, D].
    """

    def __init__(
        self, case: Case, operator: Operator, exchange: OutsideExchange, group: dist.ProcessGroup, device: torch.device
    ) -> None:
        self._case = case
        self._exchange = exchange
        self._group = group
        self._marks: CollectiveMarks | None = None
        self._arrived: list[Tensor] = []
        self._launch: Callable[[], Tensor] | None = None
        self._attention: Tensor | None = None
        self._out: Tensor | None = None
        self._axes = LAYOUTS[case.layout]
        self._prepare = partial(operator.prepare, case)
        self._tensors: list[Tensor] = []
        """The operator's own, where it does not take those that arrived."""
        if case.inputs != "strided" and layouts.ORDERS[self._axes.input] != "BSND":
            of_kv = (case.tokens_per_rank_kv * case.ulysses, case.kv_heads_per_rank)
            of_query = (case.tokens_per_rank_q * case.ulysses, case.heads_per_rank)
            for size in (of_query, of_kv, of_kv):
                shape = layouts.shape(self._axes.input, case.batch_per_rank, *size, case.head_dim)
                self._tensors.append(torch.empty(shape, dtype=TORCH_DTYPES[case.dtype], device=device))
            self._launch = self._prepare(*self._tensors)

    def steps(self, query: Tensor, key: Tensor, value: Tensor) -> list[Step | RecordedStep]:
        """One iteration, from the sequence shards on."""
        return [
            RecordedStep(
                ("pack_in", "exchange_in", "unpack_in"),
                lambda: self._send(query, key, value),
                lambda device: self._send_recorded(device, query, key, value),
            ),
            Step("unpack_in", self._arrange),
            *([] if self._tensors else [Step(None, self._prepare_anew)]),
            Step("kernel", self._attend),
            RecordedStep(("pack_out", "exchange_out", "unpack_out"), self._send_back, self._send_back_recorded),
            Step(None, self._release),
        ]

    @contextmanager
    def recording(self, device: Device, meet: Callable[[], None]) -> Iterator[None]:
        """While this lasts, collectives are marked; ``meet`` returns when all ranks are there."""
        with CollectiveMarks(device) as self._marks:
            meet()  # entering takes tens of milliseconds, and more on one rank than on another
            yield

    def attention(self) -> Tensor:
        """The last iteration's, [B, s, N, D]."""
        if self._out is None:
            raise RuntimeError("nothing came back since the last output was forgotten")
        return self._out

    def poison(self) -> None:
        self._release()
        self._out = None

    def move_in(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The way in; the operator's tensors."""
        self._send(query, key, value)
        self._arrange()
        found = tuple(self._tensors or self._arrived)
        assert len(found) == 3
        return found

    def move_out(self, attention: Tensor) -> Tensor:
        """The way out; the sequence shard."""
        self._attention = attention
        self._send_back()
        return self.attention()

    def _send(self, *tensors: Tensor) -> None:
        self._arrived = [self._exchange.input(tensor, self._group) for tensor in tensors]

    def _send_recorded(self, device: Device, *tensors: Tensor) -> list[Mark]:
        found: list[Mark] = []
        for tensor in tensors:
            arrived, marks = self._recorded(device, "in", partial(self._exchange.input, tensor, self._group))
            self._arrived.append(arrived)
            found += marks
        return found

    def _arrange(self) -> None:
        """What arrived, with the layout's axes; copied only where no view has them contiguous."""
        if self._tensors:
            for arrived, tensor in zip(self._arrived, self._tensors):
                heads = arrived.size(2)
                layouts.tokens_first(tensor, self._axes.input, self._case.batch_per_rank, heads).copy_(arrived)
        else:
            self._arrived = [layouts.arranged(arrived.contiguous(), self._axes.input) for arrived in self._arrived]

    def _prepare_anew(self) -> None:
        self._launch = self._prepare(*self._arrived)

    def _attend(self) -> None:
        assert self._launch is not None
        self._attention = self._launch()

    def _view_back(self) -> Tensor:
        """The operator's output as [B, S, n, D]."""
        assert self._attention is not None
        case = self._case
        return layouts.tokens_first(self._attention, self._axes.output, case.batch_per_rank, case.heads_per_rank)

    def _send_back(self) -> None:
        self._out = self._exchange.output(self._view_back(), self._group)

    def _send_back_recorded(self, device: Device) -> list[Mark]:
        view = self._view_back()
        self._out, marks = self._recorded(device, "out", partial(self._exchange.output, view, self._group))
        return marks

    def _release(self) -> None:
        """Lets go of what arrived before as much again does."""
        self._arrived = []
        self._attention = None
        if not self._tensors:
            self._launch = None

    def _recorded(self, device: Device, way: str, move: Callable[[], Tensor]) -> tuple[Tensor, list[Mark]]:
        """What ``move`` gives, and its phases."""
        assert self._marks is not None
        self._marks.clear()
        start = device.mark()
        moved = move()
        phases = split(start, self._marks.take(), device.mark())
        return moved, [(f"{phase}_{way}", *interval) for phase, found in phases.items() for interval in found]
