"""Keys and values out of a paged cache, one batch entry at a time and no more blocks than its length needs.

Source of the cache layouts: `torch_npu-npu_fused_infer_attention_score.md` in Ascend/op-plugin. Block ids are the
caller's responsibility there; here one that the cache does not have is refused.
"""

from __future__ import annotations

import torch

from fiabench.npu_operator.errors import not_emulated


def gather(
    cache: torch.Tensor, blocks: torch.Tensor, tokens: int, block_size: int, kv_heads: int, cache_layout: str
) -> torch.Tensor:
    """The first ``tokens`` tokens of one batch entry as [kv_heads, tokens, D], copied once out of ``cache``.

    ``blocks`` is the entry's row of the block table; ``cache_layout`` as in `Geometry`. Raises RuntimeError.
    """
    ids = blocks[: -(-tokens // block_size)]
    # The index is made the second axis, so that what is gathered lies as it is read: heads, blocks, tokens.
    try:
        if cache_layout == "BBH":
            taken = cache.index_select(0, ids)
            heads_last = taken.view(-1, kv_heads, cache.size(2) // kv_heads)
            return heads_last.transpose(0, 1)[:, :tokens]
        if cache_layout == "BNBD":
            return cache.transpose(0, 1).index_select(1, ids).flatten(1, 2)[:, :tokens]
        taken = cache.permute(1, 0, 3, 2, 4).index_select(1, ids)
        return taken.flatten(3, 4).flatten(1, 2)[:, :tokens]
    except IndexError as error:
        raise not_emulated(f"block_table names blocks that the cache of {cache.size(0)} does not have") from error
