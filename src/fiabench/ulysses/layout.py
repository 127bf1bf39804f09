"""Packing and unpacking: between a rank's sequence shard and its head shard.

Shapes: B batch, s tokens of a rank, S = P * s tokens of all, N heads of the group, n heads in a rank's slots, D head
dim, P ranks. A sequence shard is [B, s, N, D] as a model's projections leave it.

Whatever a layout's axes, its tensors have a tokens-first view [B, S, n, D], and a buffer for the wire one of
[P, B, s, n, D], a slab for each rank. Packing and unpacking know these views alone, so that each is one copy; the
layout decides the strides. Within a slab the order is the layout's own: what has to be moved is then whole stretches of
tokens, and nothing at all where the tokens of a rank are the outermost axis of the layout.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from torch import Tensor


def slabs(buffer: Tensor, order: str, batch: int, tokens: int, heads: int) -> Tensor:
    """The view [P, B, s, n, D] of a buffer [P, elements], contiguous within each slab, whose slabs have ``order``."""
    sizes = {"B": batch, "S": tokens, "N": heads, "D": -1}
    written_out = buffer.unflatten(1, [sizes[axis] for axis in order])
    return written_out.permute(0, *(1 + order.index(axis) for axis in "BSND"))


class Move(NamedTuple):
    """Heads of a shard and their slots on the wire: the same slots of neighbouring ranks."""

    ranks: slice
    slots: slice
    heads: slice
    copies: int
    """Neighbouring ranks that get the same head; more than 1 only where all do."""


def moves(slots: Sequence[int | None], ranks: int) -> list[Move]:
    """The fewest moves between a shard's heads and ``slots``, which names the head in each of P * n slots.

    A rank's slots hold neighbouring heads from the first slot on and padding (None) after them, as
    :func:`fiabench.cases.shards.head_slots` deals them out. One move where every rank has as many, or where each kv
    head is replicated; else one for each stretch of ranks that have as many.
    """
    each = len(slots) // ranks
    held = [[head for head in slots[rank * each : (rank + 1) * each] if head is not None] for rank in range(ranks)]
    distinct = sorted({head for heads in held for head in heads})
    copies = ranks // max(1, len(distinct))
    if each == 1 and copies > 1 and list(slots) == [head for head in distinct for _ in range(copies)]:
        return [Move(slice(0, ranks), slice(0, 1), slice(0, len(distinct)), copies)]
    return list(_stretches(held))


def _stretches(held: list[list[int]]) -> Iterator[Move]:
    """A move for each stretch of ranks with the same number of heads that follow on from each other's."""

    def stretch(rank: int) -> tuple[int, int]:
        heads = held[rank]
        return (len(heads), heads[0] - rank * len(heads)) if heads else (0, 0)

    for (count, _), members in groupby(range(len(held)), key=stretch):
        first, *rest = members
        last = rest[-1] if rest else first
        if count:
            heads = slice(held[first][0], held[last][-1] + 1)
            yield Move(slice(first, last + 1), slice(0, count), heads, 1)


def pack_heads(shard: Tensor, plan: Sequence[Move], send: Tensor) -> None:
    """Sequence shard [B, s, N, D] into ``send`` [P, B, s, n, D]: slab p gets the heads of rank p, one copy a move."""
    for move in plan:
        _slots(send, move).copy_(_heads(shard, move).unsqueeze(1))


def unpack_heads(received: Tensor, plan: Sequence[Move], out: Tensor) -> None:
    """``received`` [P, B, s, n, D], slab p holding the heads of rank p, into the sequence shard [B, s, N, D]."""
    for move in plan:
        _heads(out, move).copy_(_slots(received, move).squeeze(1))


def _heads(shard: Tensor, move: Move) -> Tensor:
    """[R, B, s, k, D]: the move's heads of a sequence shard, for each of R ranks or groups of copies."""
    count = move.slots.stop - move.slots.start
    return shard[:, :, move.heads].unflatten(2, (-1, count)).permute(2, 0, 1, 3, 4)


def _slots(wire: Tensor, move: Move) -> Tensor:
    """[R, copies, B, s, k, D]: where the move's heads stand on the wire."""
    return wire[move.ranks, :, :, move.slots].unflatten(0, (-1, move.copies))


def unpack_sequence(received: Tensor, whole: Tensor) -> None:
    """``received`` [P, B, s, n, D], slab p holding the tokens of rank p, into the tokens-first ``whole``."""
    whole.unflatten(1, (received.shape[0], -1)).copy_(received.transpose(0, 1))


def in_place(wire: Tensor) -> Tensor | None:
    """The tokens-first view [B, S, n, D] that ``wire`` [P, B, s, n, D] already is, or None where it must be copied."""
    if wire.stride(0) != wire.size(2) * wire.stride(2):
        return None
    return wire.transpose(0, 1).flatten(1, 2)


def by_rank(whole: Tensor, ranks: int) -> Tensor:
    """The view [P, B, s, n, D] of a tokens-first [B, S, n, D]: slab p has the tokens of rank p."""
    return whole.unflatten(1, (ranks, -1)).transpose(0, 1)
