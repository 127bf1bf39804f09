"""Whether exchanges put everything in its place: position codes are sent, and every element is compared.

A code follows from the place of its element, so that each rank knows what must arrive from any other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from fiabench import layouts
from fiabench.cases.case import LAYOUTS, Case
from fiabench.cases.shards import head_slots
from fiabench.measure import data
from fiabench.ulysses.exchange import TORCH_DTYPES, BareExchange
from fiabench.ulysses.ring import Ring

_CODES = {2: torch.int16, 4: torch.int32}
"""Integers as wide as an element."""
_DIGIT = 0x1FFF
_NORMAL = {2: 0x2000, 4: 0x20000000}
"""Added to a 13-bit code it gives the bits of a normal number in every dtype: neither a NaN nor a denormal, which a
device's copy kernels may alter without doing anything wrong."""


class Exchanging(Protocol):
    """The exchanges around an attention, whoever's they are."""

    def poison(self) -> None: ...

    def move_in(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Sequence shards [B, s, N, D] to the operator's tensors."""
        ...

    def move_out(self, attention: Tensor) -> Tensor:
        """The operator's output to a sequence shard."""
        ...


def check_exchange(case: Case, exchange: Exchanging, rank: int, device: torch.device) -> str:
    """Sends position codes both ways; returns what arrived wrongly, or nothing where all is in place.

    ``rank`` counts the ranks that share the sequence. Padded tokens have codes like any other, padded heads arrive as
    zeros and do not come back.
    """
    ring_index, place = divmod(rank, case.ulysses)
    heads_q, heads_kv = data.heads_of(case, "query"), data.heads_of(case, "key")
    axes = LAYOUTS[case.layout]
    slots_q, slots_kv = head_slots(heads_q, heads_kv, case.ulysses)
    my_q = slots_q[place * case.heads_per_rank : (place + 1) * case.heads_per_rank]
    my_kv = slots_kv[place * case.kv_heads_per_rank : (place + 1) * case.kv_heads_per_rank]
    # Of each tensor: a rank's tokens, the heads of the group, the heads of this rank.
    geometry: list[tuple[int, Sequence[int | None], Sequence[int | None]]] = [
        (case.tokens_per_rank_q, range(heads_q), my_q),
        (case.tokens_per_rank_kv, range(heads_kv), my_kv),
        (case.tokens_per_rank_kv, range(heads_kv), my_kv),
    ]

    def shard(tensor: int) -> Tensor:
        each, heads, _ = geometry[tensor]
        return _codes(case, tensor, range(rank * each, (rank + 1) * each), heads)

    def whole(tensor: int) -> Tensor:
        each, _, heads = geometry[tensor]
        gathered = each * case.ulysses
        return _codes(case, tensor, range(ring_index * gathered, (ring_index + 1) * gathered), heads)

    def on_device(codes: Tensor) -> Tensor:
        return codes.view(TORCH_DTYPES[case.dtype]).to(device)

    exchange.poison()
    wrong = []
    arrived = exchange.move_in(*(on_device(shard(tensor)) for tensor in range(3)))
    for tensor, (name, found) in enumerate(zip(("query", "key", "value"), arrived)):
        view = layouts.tokens_first(found, axes.input, case.batch_per_rank, len(geometry[tensor][2]))
        wrong += _compare(f"{name} after exchange_in", view, whole(tensor))
    attention = layouts.contiguous(on_device(whole(0)), axes.output)
    wrong += _compare("output after exchange_out", exchange.move_out(attention), shard(0))
    return "; ".join(wrong)


def check_ring(case: Case, ring: Ring, index: int) -> str:
    """Passes position codes around; returns which block of keys or values arrived wrongly, or nothing.

    ``index`` is that of the rank's Ulysses group in the ring.
    """
    gathered = case.tokens_per_rank_kv * case.ulysses
    axes = LAYOUTS[case.layout].input

    def codes(tensor: int, source: int) -> Tensor:
        tokens = range(source * gathered, (source + 1) * gathered)
        return _codes(case, tensor, tokens, range(case.kv_heads_per_rank))

    ring.poison()
    kept = [own.clone() for own in ring.held[0]]
    for tensor, own in enumerate(ring.held[0]):
        own.copy_(layouts.contiguous(codes(tensor, index).view(own.dtype), axes))
    wrong = []
    for step in range(1, case.ring):
        ring.exchange(step - 1)
        for tensor, (name, found) in enumerate(zip(("key", "value"), ring.held[step])):
            view = layouts.tokens_first(found, axes, case.batch_per_rank, case.kv_heads_per_rank)
            wrong += _compare(f"{name} in step {step} of the ring", view, codes(tensor, (index - step) % case.ring))
    for own, values in zip(ring.held[0], kept):
        own.copy_(values)  # without Ulysses they are the inputs, which nothing writes again
    return "; ".join(wrong)


def check_bare_exchange(bare: BareExchange, rank: int) -> str:
    """Sends each pair of ranks its own pattern through a bare exchange; returns what arrived wrongly, or nothing."""
    ranks = bare.send.shape[0]
    codes = torch.empty(bare.send.shape, dtype=bare.send.dtype).view(torch.uint8)
    pattern = torch.arange(256, dtype=torch.uint8).repeat(codes.shape[1] // 256 + 1)[: codes.shape[1]]
    for other in range(ranks):
        codes[other] = pattern + _pair(rank, other, ranks)
    bare.send.copy_(codes.view(bare.send.dtype))
    bare.received.fill_(math.nan)
    bare.exchange_in()
    arrived = bare.received.cpu().view(torch.uint8)
    wrong = [
        f"{int(count):,} bytes from rank {other} out of place"
        for other in range(ranks)
        if (count := (arrived[other] != pattern + _pair(other, rank, ranks)).sum())
    ]
    return "; ".join(wrong)


def _pair(sender: int, receiver: int, ranks: int) -> int:
    """An offset of its own for each pair of up to 15 ranks, within a byte."""
    return (sender * ranks + receiver + 1) % 251


def _codes(case: Case, tensor: int, tokens: range, heads: Sequence[int | None]) -> Tensor:
    """[B, tokens, heads, D] of integers as wide as the dtype, on the host, each of which follows from its own place.

    The first four of a row say token (two digits), head, batch and tensor outright, the others a mixture of token, head
    and element that wraps around. A head of None is padding: zeros.
    """
    dtype = _CODES[case.element_bytes]
    token = torch.arange(tokens.start, tokens.stop).view(1, -1, 1)
    head = torch.tensor([head or 0 for head in heads]).view(1, 1, -1)
    batch = torch.arange(case.batch_per_rank).view(-1, 1, 1)
    element = torch.arange(case.head_dim).to(dtype)
    mixture = (token * 257).to(dtype).unsqueeze(3) + (head * 8191).to(dtype).unsqueeze(3) + element
    codes = mixture.expand(case.batch_per_rank, -1, -1, -1).clone()
    named = (token, token >> 13, head, batch * 3 + tensor)
    for place, value in zip(range(case.head_dim), named, strict=False):
        codes[..., place] = (value & _DIGIT).to(dtype)
    codes.bitwise_and_(_DIGIT).add_(_NORMAL[case.element_bytes])
    codes[:, :, [slot for slot, head in enumerate(heads) if head is None]] = 0
    return codes


def _compare(what: str, found: Tensor, codes: Tensor) -> list[str]:
    if found.shape != codes.shape:
        return [f"{what}: shape {list(found.shape)}, wanted {list(codes.shape)}"]
    differs = found.contiguous().cpu().view(codes.dtype) != codes
    count = int(differs.sum())
    if not count:
        return []
    batch, token, head, dim = (int(index) for index in differs.nonzero()[0])
    return [f"{what}: {count:,} of {codes.numel():,} elements out of place, first at [{batch}, {token}, {head}, {dim}]"]
