"""The exchanges around one attention: buffers made once, then pack, exchange and unpack in each iteration."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from fiabench.cases.case import Case
from fiabench.cases.shards import head_slots, kv_heads_on_group
from fiabench.ulysses import layout

TORCH_DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


class Slot(NamedTuple):
    """Where one tensor lies on the wire: views [P, B, s, n, D] into a send and a receive buffer."""

    send: Tensor
    received: Tensor


class Exchange:
    """One rank's exchanges of a case.

    Takes sequence shards [B, s, N, D] to ``query``, ``key`` and ``value``, head shards in the operator's layout,
    and the operator's output back to ``out``, a sequence shard. `separate` sends q, k and v each on its own,
    `packed` in one exchange. Every buffer is allocated here and used again by each iteration.
    """

    def __init__(self, case: Case, group: dist.ProcessGroup, device: torch.device) -> None:
        ranks, dim = case.ulysses, case.head_dim
        self._layout = case.layout
        self._group = group
        self._empty = {"dtype": TORCH_DTYPES[case.dtype], "device": device}
        of_kv_heads = head_slots(case.heads_on_group, kv_heads_on_group(case.kv_heads, case.tp), ranks)[1]
        self._sources = {
            "query": list(range(ranks * case.heads_per_rank)),
            "key": of_kv_heads,
            "value": of_kv_heads,
        }
        of_query = (ranks, case.batch, case.seq_len_q // ranks, case.heads_per_rank, dim)
        of_kv = (ranks, case.batch, case.seq_len_kv // ranks, case.kv_heads_per_rank, dim)
        shapes: dict[str, tuple[int, ...]] = {"query": of_query, "key": of_kv, "value": of_kv}
        if case.exchange == "packed":
            buffers, self._slots = self._packed(shapes)
            self._wires_in = [buffers]
        else:
            self._slots = {name: Slot(self._buffer(shape), self._buffer(shape)) for name, shape in shapes.items()}
            self._wires_in = list(self._slots.values())
        self._wire_out = Slot(self._buffer(of_query), self._buffer(of_query))

        self.query, self.key, self.value = (self._head_shard(slot.received) for slot in self._slots.values())
        self.out = self._buffer((case.batch, case.seq_len_q // ranks, ranks * case.heads_per_rank, dim))

    def _buffer(self, shape: tuple[int, ...]) -> Tensor:
        return torch.empty(shape, **self._empty)

    def _packed(self, shapes: dict[str, tuple[int, ...]]) -> tuple[Slot, dict[str, Slot]]:
        """One buffer [P, everything for that rank] with the tensors one after the other in each rank's slab."""
        ranks = shapes["query"][0]
        lengths = [math.prod(shape[1:]) for shape in shapes.values()]
        wire = Slot(self._buffer((ranks, sum(lengths))), self._buffer((ranks, sum(lengths))))
        slots, start = {}, 0
        for (name, shape), length in zip(shapes.items(), lengths, strict=True):
            part = (slice(None), slice(start, start + length))
            slots[name] = Slot(*(buffer[part].unflatten(1, shape[1:]) for buffer in wire))
            start += length
        return wire, slots

    def _head_shard(self, received: Tensor) -> Tensor:
        in_place = layout.received_in_place(received, self._layout)
        if in_place is not None:
            return in_place
        ranks, batch, tokens, heads, dim = received.shape
        whole = (batch, heads, ranks * tokens, dim) if self._layout == "BNSD" else (batch, ranks * tokens, heads, dim)
        return self._buffer(whole)

    def poison(self) -> None:
        """Fills every buffer that an iteration should overwrite with NaN, so that what was not written shows."""
        for buffer in (*(wire.received for wire in self._wires_in), self._wire_out.received, self.query, self.key):
            buffer.fill_(math.nan)
        self.value.fill_(math.nan)
        self.out.fill_(math.nan)

    def pack_in(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        for (name, slot), shard in zip(self._slots.items(), (query, key, value), strict=True):
            layout.pack_heads(shard, self._sources[name], slot.send)

    def exchange_in(self) -> None:
        for wire in self._wires_in:
            dist.all_to_all_single(wire.received, wire.send, group=self._group)

    def unpack_in(self) -> None:
        for slot, whole in zip(self._slots.values(), (self.query, self.key, self.value), strict=True):
            if layout.received_in_place(slot.received, self._layout) is None:
                layout.unpack_sequence(slot.received, self._layout, whole)

    def pack_out(self, attention: Tensor) -> None:
        layout.pack_sequence(attention, self._layout, self._wire_out.send)

    def exchange_out(self) -> None:
        dist.all_to_all_single(self._wire_out.received, self._wire_out.send, group=self._group)

    def unpack_out(self) -> None:
        layout.unpack_heads(self._wire_out.received, self.out)


class BareExchange:
    """One all_to_all_single of a given size, without packing: ``send`` and ``received`` are [P, elements]."""

    def __init__(self, case: Case, group: dist.ProcessGroup, device: torch.device) -> None:
        shape = (case.ulysses, case.exchange_bytes // case.ulysses // case.element_bytes)
        self.send = torch.zeros(shape, dtype=TORCH_DTYPES[case.dtype], device=device)
        self.received = torch.empty_like(self.send)
        self._group = group

    def exchange_in(self) -> None:
        dist.all_to_all_single(self.received, self.send, group=self._group)
