"""The checks of an unquantised call, in the real order and words.

1. :func:`check_plugin`: torch_npu, before CANN. Source: Ascend/op-plugin, `FusedInferAttentionScoreKernelNpuOpApi.cpp`.
2. :func:`check_host`: CANN's host code, public in hicann/ops-transformer and recursion-ascend/ops-transformer (the
   latter at a093e954), `attention/fused_infer_attention_score/op_host/`: the parser, then single parameters,
   existence, features, consistency of several parameters.

CANN has had two generations of these checks, `FiaTilingCheck` (`arch22/`, with `CheckQShape`) and later `FIAChecker`
(`checkers/`). The first is followed, for its words are those of the published reports; the second where only it checks.
Each refusal names its file. A text that was not found there begins `fiabench:`. docs/operator.md has the table.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fiabench.npu_operator.errors import plugin_error, tiling_error
from fiabench.npu_operator.feature_checks import check_head_dim, check_layout, check_mask_feature
from fiabench.npu_operator.length_checks import check_lengths, check_list_sizes, check_most_lengths
from fiabench.npu_operator.limit_checks import check_limits
from fiabench.npu_operator.mask_checks import check_mask, check_tokens
from fiabench.npu_operator.paged_checks import check_block_size, check_block_table, check_cache_shapes, most_blocks
from fiabench.npu_operator.parse import Call, Geometry, parse
from fiabench.npu_operator.schema import LAYOUTS
from fiabench.npu_operator.shapes import compare_shape
from fiabench.npu_operator.single_checks import check_existence, check_single_parameters, dtype_name

__all__ = ["Geometry", "check_host", "check_plugin"]

_CONSISTENCY = "fused_infer_attention_score_tiling_check_consistency.cpp"


def check_plugin(
    query: torch.Tensor,
    value: torch.Tensor,
    num_heads: int,
    input_layout: str,
    block_table: torch.Tensor | None,
) -> None:
    """torch_npu's own checks. Source: `FusedInferAttentionScoreKernelNpuOpApi.cpp`. Raises RuntimeError."""
    if not num_heads > 0:
        raise plugin_error(f"num_heads should be greater than 0, but the actual value is{num_heads}")
    layout = LAYOUTS.get(input_layout)
    if layout is None:
        # The real text ends with the initial value of its own variable, "BSH", whatever was passed.
        raise plugin_error(
            "layout only support BSH, BSND, TND, NTD, BNSD_BSND, BSH_BNSD, BSND_BNSD, NTD_TND, "
            "BSH_NBSD, BSND_NBSD, BNSD_NBSD, TND_NTD, but got BSH"
        )
    if query.dim() != len(layout.query):
        raise plugin_error("query's dim should be consistent with that of Layout")
    if block_table is None and value.dim() != query.dim():
        raise plugin_error("when Page Attention not enabled, value'dim should equal to query's dim!")


def check_host(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    atten_mask: torch.Tensor | None,
    *,
    num_heads: int,
    num_key_value_heads: int,
    input_layout: str,
    sparse_mode: int,
    pre_tokens: int,
    next_tokens: int,
    inner_precise: int,
    actual_seq_lengths: Sequence[int] | None,
    actual_seq_lengths_kv: Sequence[int] | None,
    block_table: torch.Tensor | None,
    block_size: int,
    softmax_lse_flag: bool,
) -> Geometry:
    """CANN's checks of an unquantised call; :func:`check_plugin` has passed. Raises RuntimeError."""
    call = Call(
        query=query,
        key=key,
        value=value,
        atten_mask=atten_mask,
        num_heads=num_heads,
        num_key_value_heads=num_key_value_heads,
        input_layout=input_layout,
        sparse_mode=sparse_mode,
        pre_tokens=pre_tokens,
        next_tokens=next_tokens,
        inner_precise=inner_precise,
        actual_seq_lengths=actual_seq_lengths,
        actual_seq_lengths_kv=actual_seq_lengths_kv,
        block_table=block_table,
        block_size=block_size,
        softmax_lse_flag=softmax_lse_flag,
    )
    geometry = parse(call)
    check_single_parameters(call, geometry)
    check_existence(call)
    _check_features(call, geometry)
    _check_consistency(call, geometry)
    check_limits(call, geometry)
    return geometry


def _check_features(call: Call, geometry: Geometry) -> None:
    """Source: `CheckFeatureGqaNoquant` in `fused_infer_attention_score_tiling_check_feature.cpp`."""
    check_block_size(geometry)
    check_lengths(call, geometry)
    check_mask_feature(call, geometry)
    check_layout(geometry)
    check_most_lengths(call, geometry)
    check_head_dim(geometry)


def _check_consistency(call: Call, geometry: Geometry) -> None:
    """Source: `CheckMultiParaConsistency` in `fused_infer_attention_score_tiling_check_consistency.cpp`."""
    check_list_sizes(call, geometry)
    check_block_table(call, geometry)
    expected = _expected_shape(call, call.query, geometry.batch, geometry.heads, geometry.seq_q, geometry.head_dim)
    compare_shape("CheckQShape", "query", call.axes, call.query.shape, expected)
    if call.value.dtype != call.key.dtype:
        text = f"value's dtype is {dtype_name(call.value)}, it should be {dtype_name(call.key)}."
        raise tiling_error(text, "CheckKVDType", _CONSISTENCY)
    if call.cache:
        check_cache_shapes(call, geometry)
    else:
        for name, tensor, dim in (("key", call.key, geometry.head_dim), ("value", call.value, geometry.value_dim)):
            expected = _expected_shape(call, call.key, geometry.batch, geometry.kv_heads, geometry.seq_kv, dim)
            compare_shape("CheckKVShapeForBatchContinuous", name, call.axes, tensor.shape, expected)
    if call.atten_mask is not None:
        # Paged, the host takes the blocks that the lengths need, not those that the table has room for.
        seq_kv = most_blocks(geometry) * geometry.block_size if call.cache else geometry.seq_kv
        check_mask(call.atten_mask.shape, geometry.sparse_mode, geometry.batch, geometry.seq_q, seq_kv)
        check_tokens(geometry.pre_tokens, geometry.next_tokens)


def _expected_shape(call: Call, packed: torch.Tensor, batch: int, heads: int, seq: int, dim: int) -> list[int]:
    """The shape that the attributes imply in the call's layout; axis T is that of ``packed``."""
    sizes = {"B": batch, "N": heads, "S": seq, "D": dim, "H": heads * dim}
    if call.packed and packed.dim() == len(call.axes):
        sizes["T"] = packed.size(call.axes.index("T"))
    return [sizes.get(axis, 0) for axis in call.axes]
