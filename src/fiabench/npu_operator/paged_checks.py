"""A paged cache: block size, block table, and the shapes of keys and values in blocks.

Sources, in ops-transformer's `attention/fused_infer_attention_score/op_host/`:
`arch22/fused_infer_attention_score_tiling_check_feature.cpp` (`CheckFeatureBlockSize`),
`arch22/fused_infer_attention_score_tiling_check_consistency.cpp` (`CheckBlockTable`, `CheckKVShapeForPageAttention`),
and what only the later generation checks, `checkers/paged_attention_checker.cpp`.
"""

from __future__ import annotations

import torch

from fiabench.npu_operator.errors import expected_value, invalid_shape, tiling_error
from fiabench.npu_operator.parse import Call, Geometry
from fiabench.npu_operator.shapes import compare_shape

_FEATURE = "fused_infer_attention_score_tiling_check_feature.cpp"
_CONSISTENCY = "fused_infer_attention_score_tiling_check_consistency.cpp"
_CHECKER = "paged_attention_checker.cpp"

_NZ_INNER = 16
"""Axis D0 of the NZ layout: 32 bytes of a 2-byte dtype."""


def check_block_size(geometry: Geometry) -> None:
    """16 to 1024 in steps of 16; other head dims than 64 and 128 take less. Raises RuntimeError."""
    size = geometry.block_size
    if size % 16:
        text = f"In NO_QUANT situation, block_size should be aligned to 16, but got {size}."
        raise tiling_error(text, "CheckFeatureBlockSize", _FEATURE)
    if size > 1024:
        text = f"In NO_QUANT situation, block_size should be less than or equal to 1024, but got {size}."
        raise tiling_error(text, "CheckFeatureBlockSize", _FEATURE)
    if size == 0 or geometry.head_dim in (64, 128) or geometry.head_dim != geometry.value_dim:
        return
    step, most = (128, 1024) if geometry.seq_q > 1 else (16, 512)
    if size % step or size > most:
        correct = f"a multiple of {step} in range of [{step}, {most}]"
        raise expected_value("block_size", size, correct, "CheckBlockSizeNonQuant910B", _CHECKER)


def check_block_table(call: Call, geometry: Geometry) -> None:
    """int32, a row for each batch entry, columns for the longest. Raises RuntimeError."""
    table = call.block_table
    if table is None:
        return
    if table.dtype != torch.int32:
        text = "When page attention enable, blockTable dtype only support INT32."
        raise tiling_error(text, "CheckBlockTableDtype", _CHECKER)
    if table.numel() == 0:
        raise tiling_error("block_table shape size is zero.", "CheckBlockTable", _CONSISTENCY)
    if call.axes == "TND" and table.size(0) != geometry.batch:
        text = (
            f"when query's layout is TND, block_table's first dimension({table.size(0)}) should be equal to batch "
            f"size({geometry.batch})"
        )
        raise tiling_error(text, "CheckBlockTable", _CONSISTENCY)
    blocks = most_blocks(geometry)
    if table.size(0) != geometry.batch or table.size(1) < blocks:
        reason = (
            f"When page attention enable, block_table shape must be [batch_size({geometry.batch}), "
            f">=max_block_num_per_batch({blocks})]"
        )
        raise invalid_shape("block_table", table.shape, reason, "CheckBlockTableShape", _CHECKER)


def most_blocks(geometry: Geometry) -> int:
    """Blocks of the longest key sequence."""
    return max(-(-length // geometry.block_size) for length in geometry.lengths_kv or (0,))


def check_cache_shapes(call: Call, geometry: Geometry) -> None:
    """Keys and values as the attributes imply them. Raises RuntimeError."""
    assert call.cache is not None
    for name, tensor, dim in (("key", call.key, geometry.head_dim), ("value", call.value, geometry.value_dim)):
        sizes = {"Bn": call.key.size(0), "Bs": geometry.block_size, "N": geometry.kv_heads, "D": dim}
        sizes |= {"H": geometry.kv_heads * dim, "D1": dim // _NZ_INNER, "D0": _NZ_INNER}
        expected = [sizes[axis] for axis in call.cache.axes]
        compare_shape("CheckKVShapeForPageAttention", name, call.cache.host_name, tensor.shape, expected)
