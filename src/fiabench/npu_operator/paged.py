"""Keys and values out of a paged cache, one batch entry at a time and no more blocks than its length needs.

Source of the cache layouts: `torch_npu-npu_fused_infer_attention_score.md` in Ascend/op-plugin. Block ids are the
caller's responsibility there; here, on the CPU, one that the cache does not have is refused.
"""

from __future__ import annotations

import torch

from fiabench.npu_operator.errors import not_emulated


def gather(
    cache: torch.Tensor, blocks: torch.Tensor, tokens: int, block_size: int, kv_heads: int, cache_layout: str
) -> torch.Tensor:
    """The first ``tokens`` tokens of one batch entry as [kv_heads, tokens, D], copied out of ``cache``.

    ``blocks`` is the entry's row of the block table; ``cache_layout`` as in `Geometry`. Raises RuntimeError.
    """
    ids = blocks[: -(-tokens // block_size)]
    if ids.device.type == "cpu" and not (int(ids.min()) >= 0 and int(ids.max()) < cache.size(0)):
        raise not_emulated(f"block_table names blocks that the cache of {cache.size(0)} does not have")
    taken = cache.index_select(0, ids)
    if cache_layout == "BBH":
        return taken.unflatten(2, (kv_heads, -1)).flatten(0, 1).transpose(0, 1)[:, :tokens]
    if cache_layout == "NZ":
        taken = taken.transpose(2, 3).flatten(3, 4)
    # A second copy puts heads before blocks; choosing blocks along the second axis at once takes torch five times as
    # long.
    return taken.transpose(0, 1).flatten(1, 2)[:, :tokens]
