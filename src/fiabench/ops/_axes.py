"""Any layout as [B, N, S, D] views, and back.

For operators that know fewer layouts than a case has, and for what must be read out of a layout. Sequences of a packed
layout are equally long here, as a case's are, so that T is B times S.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from fiabench import layouts
from fiabench.cases.case import LAYOUTS, Case


class Sizes(NamedTuple):
    """What one rank's tensors hold, padding included."""

    batch: int
    heads: int
    kv_heads: int
    tokens_q: int
    """Query tokens of one sequence; may be more than ``case.seq_len_q``, which are the real ones."""
    tokens_kv: int
    head_dim: int


def sizes_of(case: Case, query: Tensor, key: Tensor) -> Sizes:
    """Read from the tensors. BSH has no head axis: there the counts are the case's for one rank."""
    axes = LAYOUTS[case.layout].input
    batch = case.batch_per_rank
    if "N" in axes:
        heads, kv_heads = query.size(axes.index("N")), key.size(axes.index("N"))
        head_dim = query.size(-1)
    else:
        heads, kv_heads = case.heads_per_rank, case.kv_heads_per_rank
        head_dim = query.size(-1) // heads
    if "T" in axes:
        tokens_q, tokens_kv = (tensor.size(axes.index("T")) // batch for tensor in (query, key))
    else:
        tokens_q, tokens_kv = query.size(axes.index("S")), key.size(axes.index("S"))
    return Sizes(batch, heads, kv_heads, tokens_q, tokens_kv, head_dim)


def heads_first(tensor: Tensor, axes: str, heads: int, batch: int) -> Tensor:
    """A [B, N, S, D] view of a tensor in ``axes``, one of a layout's input axes."""
    return layouts.tokens_first(tensor, axes, batch, heads).transpose(1, 2)


def arranged(output: Tensor, axes: str) -> Tensor:
    """A [B, N, S, D] tensor in a layout's output axes, contiguous; copied only where it lies otherwise."""
    return layouts.contiguous(output, axes, given="BNSD")


def packed_lengths(case: Case, sizes: Sizes) -> tuple[list[int], list[int]]:
    """Tokens of each packed sequence, of queries and of keys.

    Packed sequences lie end to end without gaps, so the padding at the end of one is made a sequence of its own, whose
    output nobody reads.
    """
    queries, keys = case.seq_len_q, case.seq_len_kv
    if (queries, keys) == (sizes.tokens_q, sizes.tokens_kv):
        return [queries] * sizes.batch, [keys] * sizes.batch
    return [queries, sizes.tokens_q - queries] * sizes.batch, [keys, sizes.tokens_kv - keys] * sizes.batch
