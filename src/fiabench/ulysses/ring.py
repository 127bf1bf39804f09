"""A ring: every Ulysses group keeps its queries, while keys and values go around in blocks.

The sequence lies on the groups in contiguous chunks. In step i the group with index r in the ring has the keys of group
r - i, which came from the group before it; after the step they go to the next. Nothing overlaps: the phases add up.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from fiabench.cases.case import Case


class Block(NamedTuple):
    """What a group's queries see of one block of keys; counts are of real tokens, without padding."""

    mask: str
    """Of the call that computes it, with the counts of this block."""
    queries: int
    keys: int
    """Keys from the block's first on that any query sees."""
    hidden: int
    """The first queries, which see none of them: what an operator gives for them, and with what weight, differs."""

    def of(self, case: Case) -> Case:
        """The case of the call."""
        return case._replace(ring=1, mask=self.mask, seq_len_q=self.queries, seq_len_kv=self.keys)


class UnalignedBlock(ValueError):
    """A block whose causal mask no operator takes: aligned neither to the top left nor to the bottom right."""


def blocks(case: Case, index: int) -> list[Block | None]:
    """What the queries of the group with that index in the ring see, step by step; None of a block they do not.

    Raises UnalignedBlock.
    """
    return [_block(case, index, (index - step) % case.ring) for step in range(case.ring)]


def unsupported(case: Case) -> str | None:
    """Why the ring of ``case`` cannot be computed block by block; None where it can."""
    if case.kv_cache != "contiguous":
        return f"kv cache {case.kv_cache} with ring {case.ring}: a ring passes whole keys and values on"
    try:
        for index in range(case.ring):
            blocks(case, index)
    except UnalignedBlock as error:
        return str(error)
    return None


def _block(case: Case, index: int, source: int) -> Block | None:
    first_query, queries = _chunk(case.seq_len_q, case.tokens_per_rank_q * case.ulysses, index)
    first_key, keys = _chunk(case.seq_len_kv, case.tokens_per_rank_kv * case.ulysses, source)
    if not queries or not keys:
        return None
    if case.mask == "none":
        return Block("none", queries, keys, 0)
    aligned = 0 if case.mask == "causal_top_left" else case.seq_len_kv - case.seq_len_q
    # Query i of the chunk sees the keys of the block up to i + diagonal.
    diagonal = first_query + aligned - first_key
    seen = min(keys, queries + diagonal)
    if seen <= 0:
        return None
    if diagonal >= seen - 1:
        return Block("none", queries, seen, 0)
    if seen == queries + diagonal:
        bottom_right = "causal_full" if case.mask == "causal_full" else "causal"
        return Block(bottom_right, queries, seen, max(0, -diagonal))
    if diagonal == 0:
        return Block("causal_top_left", queries, seen, 0)
    raise UnalignedBlock(
        f"mask {case.mask}, {case.seq_len_q} queries on {case.seq_len_kv} keys in ring {case.ring}: the diagonal of "
        f"block {source} starts {diagonal} keys into it, aligned to neither of its ends"
    )


def _chunk(tokens: int, each: int, index: int) -> tuple[int, int]:
    """The first token of a group's chunk and its number of real ones."""
    first = index * each
    return first, max(0, min(tokens - first, each))


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
