"""Keys and values in the blocks of a paged cache, as an engine's memory holds them after a while: scattered."""

from __future__ import annotations

import torch
from torch import Tensor

from fiabench.cases.case import LAYOUTS, Case
from fiabench.ops._axes import Sizes, heads_first

_SEED = 20
"""Of the order of the blocks, which is the same in every run."""

_NZ_WIDTH = 16
"""Elements of the last axis of NZ: 32 bytes of a 2-byte dtype."""


def paged(case: Case, sizes: Sizes, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(keys, values, block_table): caches of ``case.kv_cache`` with the real tokens of ``key`` and ``value``.

    ``block_table`` is int32 [B, blocks of a sequence], shuffled over all sequences. Cache layouts: BBH
    [blocks, block_size, N x D], BNBD [blocks, N, block_size, D], NZ [blocks, N, D / 16, block_size, 16].
    """
    each = -(-case.seq_len_kv // case.block_size)
    order = torch.randperm(sizes.batch * each, generator=torch.Generator().manual_seed(_SEED))
    table = order.to(dtype=torch.int32, device=key.device).view(sizes.batch, each)
    axes = LAYOUTS[case.layout].input
    keys, values = (
        _scattered(case, heads_first(tensor, axes, sizes.kv_heads, sizes.batch), table) for tensor in (key, value)
    )
    return keys, values, table


def _scattered(case: Case, tokens: Tensor, table: Tensor) -> Tensor:
    """The cache of [B, N, S, D] ``tokens``; what is left of a sequence's last block stays 0."""
    batch, heads, _, head_dim = tokens.shape
    size, each = case.block_size, table.size(1)
    whole = tokens.new_zeros(batch, heads, each * size, head_dim)
    whole[:, :, : case.seq_len_kv] = tokens[:, :, : case.seq_len_kv]
    # [B x blocks, N, block_size, D], the blocks in the order of the sequences.
    blocks = whole.unflatten(2, (each, size)).transpose(1, 2).flatten(0, 1)
    cache = torch.empty_like(blocks, memory_format=torch.contiguous_format)
    cache[table.flatten().long()] = blocks
    if case.cache_layout == "BBH":
        return cache.transpose(1, 2).flatten(2).contiguous()
    if case.cache_layout == "NZ":
        return cache.unflatten(3, (head_dim // _NZ_WIDTH, _NZ_WIDTH)).transpose(2, 3).contiguous()
    return cache
