"""Attention in stripes of query rows, so that no mask of all queries by all keys is ever made.

A stripe computes only the keys that one of its rows can see: a band costs what the pairs in it cost. Rows that see no
key are not computed at all. Tensors are [B, N, S, D] and may be strided views.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch

from fiabench.npu_operator.masking import Masking

Fused: TypeAlias = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor, Masking, float, bool],
    tuple[torch.Tensor, torch.Tensor | None],
]
"""A kernel for queries that all have a key in the window: query, key, value, masking, scale, whether to return the
log-sum-exp. Rows whose keys the mask hides give zeros and +inf."""


def striped(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: Masking,
    scale: float,
    with_lse: bool,
    rows: int,
    fused: Fused,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Attention [B, N, Sq, Dv] and its log-sum-exp [B, N, Sq], ``rows`` queries at a time.

    A row that sees no key gives zeros, with a log-sum-exp of +inf.
    """
    seq_q, seq_kv = query.size(2), key.size(2)
    first, end = mask.rows(seq_q, seq_kv)
    if (first, end) == (0, seq_q) and rows >= seq_q:
        start, stop = mask.keys(0, seq_q, seq_kv)
        inner = mask.within((0, seq_q), (start, stop))
        return fused(query, key[:, :, start:stop], value[:, :, start:stop], inner, scale, with_lse)
    output = _empty_like(query, value.size(-1))
    output[:, :, :first] = 0
    output[:, :, end:] = 0
    lse = None
    if with_lse:
        lse = query.new_full(query.shape[:3], torch.inf, dtype=torch.float32)
    for top in range(first, end, rows):
        bottom = min(end, top + rows)
        start, stop = mask.keys(top, bottom, seq_kv)
        inner = mask.within((top, bottom), (start, stop))
        part, part_lse = fused(
            query[:, :, top:bottom], key[:, :, start:stop], value[:, :, start:stop], inner, scale, with_lse
        )
        output[:, :, top:bottom] = part
        if lse is not None:
            lse[:, :, top:bottom] = part_lse
    return output, lse


def distance_bias(mask: Masking, seq_q: int, seq_kv: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """The window as a bias for queries in **reversed** order: [1, 1, Sq, Skv] over Sq + Skv numbers of memory.

    A window depends on key minus query alone. With the queries reversed that difference grows along both axes, so one
    line of numbers, read with stride 1 in both, is the whole matrix. (Forwards it would take a negative stride.)
    """
    distance = torch.arange(1 - seq_q, seq_kv, device=device)
    line = torch.zeros(distance.shape, dtype=dtype, device=device)
    if mask.before is not None:
        line.masked_fill_(distance < -mask.before, -torch.inf)
    if mask.after is not None:
        line.masked_fill_(distance > mask.after, -torch.inf)
    return line.as_strided((1, 1, seq_q, seq_kv), (0, 0, 1, 1))


def dense_bias(mask: Masking, seq_q: int, seq_kv: int, query: torch.Tensor, align: int = 1) -> torch.Tensor:
    """Mask and window as a bias [1|B, 1|N, Sq, Skv]; its rows start at multiples of ``align`` elements."""
    shared = (1, 1) if mask.hidden is None else mask.hidden.shape[:2]
    padded = -(-seq_kv // align) * align
    bias = query.new_zeros(*shared, seq_q, padded)[..., :seq_kv]
    if mask.hidden is not None:
        bias.masked_fill_(mask.hidden if mask.hidden.dtype == torch.bool else mask.hidden != 0, -torch.inf)
    if not mask.windowless:
        seen = query.new_ones(seq_q, seq_kv, dtype=torch.bool)
        if mask.before is not None:
            seen.triu_(-mask.before)
        if mask.after is not None:
            seen.tril_(mask.after)
        bias.masked_fill_(seen.logical_not_(), -torch.inf)
    return bias


def _empty_like(query: torch.Tensor, value_dim: int) -> torch.Tensor:
    """Uninitialised [B, N, Sq, value_dim], with tokens before heads in memory where the query has them so."""
    batch, heads, seq_q, _ = query.shape
    if query.stride(1) < query.stride(2):
        return query.new_empty(batch, seq_q, heads, value_dim).transpose(1, 2)
    return query.new_empty(batch, heads, seq_q, value_dim)
