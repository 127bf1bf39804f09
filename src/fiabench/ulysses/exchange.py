"""The exchanges around one attention: buffers made once, then pack, exchange and unpack in each iteration."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from fiabench import layouts
from fiabench.cases.case import EXCHANGES, LAYOUTS, Case
from fiabench.cases.shards import head_slots, kv_heads_on_group
from fiabench.ulysses import layout

TORCH_DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


def unsupported(case: Case) -> str | None:
    """Why the tensors of ``case`` cannot be exchanged or laid out as it says; None where they can."""
    axes = LAYOUTS[case.layout].input
    exchanged = case.measure == "ulysses" and case.ulysses > 1
    if exchanged and case.exchange not in EXCHANGES:
        if case.ring > 1:
            return (
                f"exchange {case.exchange} with ring {case.ring}: only fiabench's own exchanges are measured in a ring"
            )
        if any(slots != list(range(len(slots))) for slots in _slots(case)):
            heads = f"{case.heads_on_group} query and {kv_heads_on_group(case.kv_heads, case.tp)} kv heads"
            return f"exchange {case.exchange}: {heads} on ulysses {case.ulysses} would be padded or replicated first"
    if case.inputs != "strided":
        return None
    if case.ring > 1:
        return "strided inputs: a ring passes contiguous keys and values on"
    if axes not in layouts.OTHER_ORDERS:
        return f"strided inputs: there is no view of the other order of tokens and heads in layout {case.layout}"
    if not exchanged:
        return None
    if layouts.ORDERS[axes] == "BSND":
        return f"strided inputs: heads arrive contiguous in layout {case.layout}"
    if case.exchange in EXCHANGES and (case.exchange == "packed" or case.batch_per_rank > 1):
        return f"strided inputs: {case.exchange} with batch {case.batch_per_rank} a rank leaves no view to hand on"
    if "T" in axes and case.batch_per_rank > 1:
        return f"strided inputs: there is no view of packed sequences in layout {case.layout} with batch above 1"
    return None


def _slots(case: Case) -> tuple[list[int | None], list[int | None]]:
    """The query head and the kv head in each slot of the case's Ulysses group."""
    return head_slots(case.heads_on_group, kv_heads_on_group(case.kv_heads, case.tp), case.ulysses)


class Slot(NamedTuple):
    """Where one tensor lies on the wire: views [P, B, s, n, D] into a send and a receive buffer."""

    send: Tensor
    received: Tensor


class Exchange:
    """One rank's exchanges of a case.

    Takes sequence shards [B, s, N, D] to ``query``, ``key`` and ``value``, head shards with the layout's input axes,
    and the operator's output back to ``out``, a sequence shard. `separate` sends q, k and v each on its own, `packed`
    in one exchange. Every buffer is allocated once and used again by each iteration. Padded heads are zeros on the
    wire, from the buffers' making; ``out`` has none.
    """

    def __init__(self, case: Case, group: dist.ProcessGroup, device: torch.device) -> None:
        self._case = case
        self._group = group
        self._empty = {"dtype": TORCH_DTYPES[case.dtype], "device": device}
        axes = LAYOUTS[case.layout]
        self._strided = case.inputs == "strided"
        order = "BSND" if self._strided else layouts.ORDERS[axes.input]
        query_slots, kv_slots = _slots(case)
        self._query_moves = layout.moves(query_slots, case.ulysses)
        kv_moves = layout.moves(kv_slots, case.ulysses)
        self._moves = {"query": self._query_moves, "key": kv_moves, "value": kv_moves}
        of_kv = (case.tokens_per_rank_kv, case.kv_heads_per_rank)
        sizes = {"query": (case.tokens_per_rank_q, case.heads_per_rank), "key": of_kv, "value": of_kv}
        self._wires_in: list[Slot] = []
        """Buffers [P, elements] that are exchanged."""
        self._slots: dict[str, Slot] = {}
        for names in [list(sizes)] if case.exchange == "packed" else [[name] for name in sizes]:
            self._add_wire({name: sizes[name] for name in names}, order)
        self._copied: list[tuple[Tensor, Tensor]] = []
        """What was received, and the tokens-first view of what it has to be unpacked into."""
        self.query, self.key, self.value = (
            layouts.arranged(self._whole(slot.received), axes.input) for slot in self._slots.values()
        )

        self._order_out = layouts.ORDERS[axes.output]
        self._wire_out = self._buffer((case.ulysses, self._elements(*sizes["query"])))
        self._slot_out = self._slabs(self._wire_out, self._order_out, *sizes["query"])
        self._sent_out: Tensor | None = None
        self._send_out: Tensor | None = None
        self.out = self._buffer((case.batch_per_rank, case.tokens_per_rank_q, case.heads_on_group, case.head_dim))

    def _buffer(self, shape: tuple[int, ...]) -> Tensor:
        return torch.zeros(shape, **self._empty)

    def _elements(self, tokens: int, heads: int) -> int:
        return self._case.batch_per_rank * tokens * heads * self._case.head_dim

    def _slabs(self, buffer: Tensor, order: str, tokens: int, heads: int) -> Tensor:
        return layout.slabs(buffer, order, self._case.batch_per_rank, tokens, heads)

    def _add_wire(self, sizes: dict[str, tuple[int, int]], order: str) -> None:
        """A pair of buffers [P, everything for that rank] with the tensors one after the other in each rank's slab."""
        lengths = [self._elements(*size) for size in sizes.values()]
        wire = Slot(*(self._buffer((self._case.ulysses, sum(lengths))) for _ in range(2)))
        parts = [buffer.split(lengths, dim=1) for buffer in wire]
        for index, (name, size) in enumerate(sizes.items()):
            self._slots[name] = Slot(*(self._slabs(part[index], order, *size) for part in parts))
        self._wires_in.append(wire)

    def _whole(self, received: Tensor) -> Tensor:
        """The head shard [B, S, n, D]: what was received itself, or what it has to be unpacked into."""
        found = layout.in_place(received)
        if found is not None:
            return found
        if self._strided:
            raise ValueError(f"{self._case.id}: {unsupported(self._case)}")
        ranks, batch, tokens, heads, dim = received.shape
        axes = LAYOUTS[self._case.layout].input
        made = self._buffer(layouts.shape(axes, batch, ranks * tokens, heads, dim))
        whole = layouts.tokens_first(made, axes, batch, heads)
        self._copied.append((received, whole))
        return whole

    def poison(self) -> None:
        """Fills every buffer that an iteration should overwrite with NaN, so that what was not written shows."""
        received = [wire.received for wire in self._wires_in]
        for buffer in (*received, *(whole for _, whole in self._copied), self._wire_out, self.out):
            buffer.fill_(math.nan)
        self._sent_out = None

    def pack_in(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        for (name, slot), shard in zip(self._slots.items(), (query, key, value), strict=True):
            layout.pack_heads(shard, self._moves[name], slot.send)

    def exchange_in(self) -> None:
        """Starts every exchange before it waits for any: Gloo takes several at once, other backends queue them."""
        works = [
            dist.all_to_all_single(wire.received, wire.send, group=self._group, async_op=True)
            for wire in self._wires_in
        ]
        for work in works:
            work.wait()

    def unpack_in(self) -> None:
        for received, whole in self._copied:
            layout.unpack_sequence(received, whole)

    def pack_out(self, attention: Tensor) -> None:
        """Makes the operator's output, with the layout's output axes, ready to be sent; as it is where it can be."""
        case = self._case
        axes = LAYOUTS[case.layout].output
        whole = layouts.tokens_first(attention, axes, case.batch_per_rank, case.heads_per_rank)
        if attention.is_contiguous() and layout.in_place(self._slot_out) is not None:
            self._sent_out = attention.view(case.ulysses, -1)
            return
        if self._send_out is None:
            self._send_out = torch.empty_like(self._wire_out)
        size = (case.tokens_per_rank_q, case.heads_per_rank)
        self._slabs(self._send_out, self._order_out, *size).copy_(layout.by_rank(whole, case.ulysses))
        self._sent_out = self._send_out

    def exchange_out(self) -> None:
        if self._sent_out is None:
            raise RuntimeError("nothing was packed since the exchange was poisoned")
        dist.all_to_all_single(self._wire_out, self._sent_out, group=self._group)

    def unpack_out(self) -> None:
        layout.unpack_heads(self._slot_out, self._query_moves, self.out)

    def move_in(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """All phases of the way in; the operator's tensors."""
        self.pack_in(query, key, value)
        self.exchange_in()
        self.unpack_in()
        return self.query, self.key, self.value

    def move_out(self, attention: Tensor) -> Tensor:
        """All phases of the way out; the sequence shard."""
        self.pack_out(attention)
        self.exchange_out()
        self.unpack_out()
        return self.out


class BareExchange:
    """One all_to_all_single of a given size, without packing: ``send`` and ``received`` are [P, elements]."""

    def __init__(self, case: Case, group: dist.ProcessGroup, device: torch.device) -> None:
        shape = (case.ulysses, case.exchange_bytes // case.ulysses // case.element_bytes)
        self.send = torch.zeros(shape, dtype=TORCH_DTYPES[case.dtype], device=device)
        self.received = torch.empty_like(self.send)
        self._group = group

    def exchange_in(self) -> None:
        dist.all_to_all_single(self.received, self.send, group=self._group)
