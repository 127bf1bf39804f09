"""A ring: every Ulysses group keeps its queries, while keys and values go around in blocks.

See :mod:`fiabench.ulysses.blocks` for who computes which of them. After each step they go to the next group. Nothing
overlaps: the phases add up.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from fiabench.ulysses.blocks import UnalignedBlock, blocks, unsupported

__all__ = ["Ring", "UnalignedBlock", "blocks", "pass_on", "unsupported"]


class Ring:
    """One rank's keys and values of every step; those of others arrive in buffers that take turns."""

    def __init__(self, degree: int, group: dist.ProcessGroup, key: Tensor, value: Tensor) -> None:
        """``key`` and ``value`` are the rank's own, contiguous."""
        turns = [(torch.empty_like(key), torch.empty_like(value)) for _ in range(min(2, degree - 1))]
        self.held = [(key, value), *(turns[step % len(turns)] for step in range(degree - 1))]
        """Key and value by step."""
        self._group = group

    def exchange(self, step: int) -> None:
        """Passes the keys and values of ``step`` on and receives those of the next."""
        pass_on(self.held[step], self.held[step + 1], self._group)

    def poison(self) -> None:
        """Makes what was received unusable."""
        for key, value in self.held[1:]:
            key.fill_(torch.nan)
            value.fill_(torch.nan)


def pass_on(tensors: tuple[Tensor, ...], received: tuple[Tensor, ...], group: dist.ProcessGroup) -> None:
    """Sends ``tensors`` to the next rank of ``group`` and receives as many from the one before; all contiguous.

    Returns when both are done; on a device, when they are queued.
    """
    rank, size = dist.get_rank(group), dist.get_world_size(group)
    following = dist.get_global_rank(group, (rank + 1) % size)
    former = dist.get_global_rank(group, (rank - 1) % size)
    sends = [dist.P2POp(dist.isend, tensor, following, group) for tensor in tensors]
    receives = [dist.P2POp(dist.irecv, tensor, former, group) for tensor in received]
    for work in dist.batch_isend_irecv(sends + receives):
        work.wait()
