"""Packing and unpacking: between a rank's sequence shard and its head shard.

Shapes: B batch, s tokens of a rank, S = P * s tokens of all, N heads of the group, n = N / P heads of a
rank, D head dim, P ranks. A sequence shard is [B, s, N, D] as a model's projections leave it; on the wire
a buffer is [P, B, s, n, D], one slab for each rank; a head shard has the operator's layout.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def pack_heads(shard: Tensor, sources: Sequence[int], send: Tensor) -> None:
    """Sequence shard [B, s, N, D] into ``send`` [P, B, s, n, D]: slab p gets the heads of rank p.

    ``sources`` names the head of the shard for each of the P * n heads sent: its own index, or a repeated
    one where kv heads are replicated.
    """
    ranks, heads = send.shape[0], send.shape[3]
    if list(sources) == list(range(shard.shape[2])):
        send.copy_(shard.unflatten(2, (ranks, heads)).permute(2, 0, 1, 3, 4))
        return
    for position, source in enumerate(sources):
        send[position // heads, :, :, position % heads].copy_(shard[:, :, source])


def unpack_sequence(received: Tensor, layout: str, out: Tensor) -> None:
    """``received`` [P, B, s, n, D], slab p holding the tokens of rank p, into ``out`` in the operator's layout."""
    ranks = received.shape[0]
    if layout == "BNSD":
        out.unflatten(2, (ranks, -1)).copy_(received.permute(1, 3, 0, 2, 4))
    else:
        out.unflatten(1, (ranks, -1)).copy_(received.permute(1, 0, 2, 3, 4))


def received_in_place(received: Tensor, layout: str) -> Tensor | None:
    """The head shard that ``received`` already is (BSND with a batch of one), or None where it must be copied."""
    if layout == "BSND" and received.shape[1] == 1 and received.is_contiguous():
        return received.flatten(0, 2).unsqueeze(0)
    return None


def pack_sequence(attention: Tensor, layout: str, send: Tensor) -> None:
    """The operator's output in its layout into ``send`` [P, B, s, n, D]: slab p gets the tokens of rank p."""
    ranks = send.shape[0]
    if layout == "BNSD":
        send.copy_(attention.unflatten(2, (ranks, -1)).permute(2, 0, 3, 1, 4))
    else:
        send.copy_(attention.unflatten(1, (ranks, -1)).permute(1, 0, 2, 3, 4))


def unpack_heads(received: Tensor, out: Tensor) -> None:
    """``received`` [P, B, s, n, D], slab p holding the heads of rank p, into the sequence shard [B, s, N, D]."""
    ranks = received.shape[0]
    out.unflatten(2, (ranks, -1)).copy_(received.permute(1, 2, 0, 3, 4))
