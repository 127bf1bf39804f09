"""The attention between the exchanges: the operator's one call, or a ring of calls whose outputs are merged."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol, cast

import torch
import torch.distributed as dist
from torch import Tensor

from fiabench import layouts
from fiabench.cases.case import LAYOUTS, Case
from fiabench.measure.pipeline import RecordedStep, Step
from fiabench.ops import Operator
from fiabench.ulysses import ring as rings
from fiabench.ulysses.merge import Merge

Launch = Callable[[], tuple[Tensor, Tensor]]


class OperatorWithLse(Operator, Protocol):
    """An operator whose partial outputs can be merged."""

    def prepare_with_lse(self, case: Case, query: Tensor, key: Tensor, value: Tensor) -> Launch:
        """The launch: the output in ``case.layout`` and its log-sum-exp [B, N, Sq] in float32."""
        ...


def unsupported(case: Case, operator: Operator, device: str) -> str | None:
    """Why ``operator`` cannot compute ``case`` in its ring, as far as that is known beforehand; None without a ring."""
    if case.ring == 1:
        return None
    if not hasattr(operator, "prepare_with_lse"):
        return f"{case.op} gives no log-sum-exp, by which a ring merges"
    if reason := rings.unsupported(case):
        return reason
    seen = {block for index in range(case.ring) for block in rings.blocks(case, index) if block}
    return next((reason for block in seen if (reason := operator.unsupported(block.of(case), device))), None)


class Kernel:
    """The operator's launch on tensors that stay where they are, and its last output in the layout's output axes."""

    def __init__(self, case: Case, operator: Operator, query: Tensor, key: Tensor, value: Tensor) -> None:
        self._launch = operator.prepare(case, query, key, value)
        self._output: Tensor | None = None
        self.steps: list[Step | RecordedStep] = [Step("kernel", self._run)]

    def _run(self) -> None:
        self._output = self._launch()

    def poison(self) -> None:
        self._output = None

    def attention(self) -> Tensor:
        if self._output is None:
            raise RuntimeError("the kernel has not run since its output was forgotten")
        return self._output


class RingKernel:
    """A rank's part of a ring: of each block of keys a launch, a merge and an exchange, one after the other.

    Every step is there on every rank, so that the ranks' phases are the same: of a block that its queries do not see
    a rank computes nothing, and passes it on.
    """

    def __init__(
        self,
        case: Case,
        operator: Operator,
        index: int,
        group: dist.ProcessGroup,
        tensors: tuple[Tensor, Tensor, Tensor],
    ) -> None:
        """``index`` is that of the rank's Ulysses group in the ring, ``tensors`` its query, key and value."""
        query, key, value = tensors
        self._case = case
        self.ring = rings.Ring(case.ring, group, key, value)
        axes = LAYOUTS[case.layout].output
        sizes = (case.batch_per_rank, case.tokens_per_rank_q * case.ulysses, case.heads_per_rank, case.head_dim)
        self._out = torch.empty(layouts.shape(axes, *sizes), dtype=query.dtype, device=query.device)
        self._merge = Merge(self._tokens_first(self._out))
        self._parts: list[tuple[Tensor, Tensor] | None] = [None] * case.ring
        self.steps: list[Step | RecordedStep] = []
        prepare = cast(OperatorWithLse, operator).prepare_with_lse
        for step, block in enumerate(rings.blocks(case, index)):
            launch = prepare(block.of(case), query, *self.ring.held[step]) if block else None
            rows = slice(block.hidden, block.queries) if block else slice(0)
            self.steps.append(Step("kernel", partial(self._launch, step, launch)))
            self.steps.append(Step("merge", partial(self._add, step, rows)))
            if step + 1 < case.ring:
                self.steps.append(Step("ring_exchange", partial(self.ring.exchange, step)))

    def _tokens_first(self, output: Tensor) -> Tensor:
        case = self._case
        return layouts.tokens_first(output, LAYOUTS[case.layout].output, case.batch_per_rank, case.heads_per_rank)

    def _launch(self, step: int, launch: Launch | None) -> None:
        self._parts[step] = launch() if launch else None

    def _add(self, step: int, rows: slice) -> None:
        if step == 0:
            self._merge.begin()
        part, self._parts[step] = self._parts[step], None
        if part is not None:
            output, lse = part
            self._merge.add(self._tokens_first(output), lse, rows)
        if step + 1 == self._case.ring:
            self._merge.finish()

    def poison(self) -> None:
        self._out.fill_(torch.nan)
        self.ring.poison()

    def attention(self) -> Tensor:
        return self._out
