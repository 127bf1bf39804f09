"""The host's checks of an unquantised call, in the real order and words.

Sources, public (ops-transformer in hicann and recursion-ascend, the latter at a093e954; paths below
`attention/fused_infer_attention_score/op_host/`, the comparison of shapes in
`attention/common/op_host/fia_tiling_shape.cpp`):

1. torch_npu, before CANN: Ascend/op-plugin, `FusedInferAttentionScoreKernelNpuOpApi.cpp`.
2. `fused_infer_attention_score_tiling_info_parser.cpp`: reads the call's geometry.
3. `arch22/fused_infer_attention_score_tiling_check*.cpp`: single parameters, existence, features, consistency.

Each refusal names its file. A text that was not found there begins `fiabench:`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fiabench.npu_operator.errors import not_emulated, plugin_error, tiling_error
from fiabench.npu_operator.mask_checks import check_mask, check_tokens
from fiabench.npu_operator.parse import Call, Geometry, parse
from fiabench.npu_operator.schema import LAYOUTS
from fiabench.npu_operator.shapes import compare_shape

__all__ = ["Geometry", "check_host", "check_plugin"]

_SINGLE = "fused_infer_attention_score_tiling_check_single_para.cpp"
_EXISTENCE = "fused_infer_attention_score_tiling_check_existence.cpp"
_FEATURE = "fused_infer_attention_score_tiling_check_feature.cpp"
_CONSISTENCY = "fused_infer_attention_score_tiling_check_consistency.cpp"

_DTYPE_NAMES = {
    torch.float16: "DT_FLOAT16",
    torch.bfloat16: "DT_BFLOAT16",
    torch.float32: "DT_FLOAT",
    torch.float64: "DT_DOUBLE",
    torch.int8: "DT_INT8",
    torch.uint8: "DT_UINT8",
    torch.int16: "DT_INT16",
    torch.int32: "DT_INT32",
    torch.int64: "DT_INT64",
    torch.bool: "DT_BOOL",
}
_INPUT_DTYPES = (torch.float16, torch.bfloat16)
_MASK_DTYPES = (torch.bool, torch.int8, torch.uint8)
_SPARSE_MODES = (0, 1, 2, 3, 4, 9)
_NO_QUANT = "In NO_QUANT rope not exist situation"


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
    _check_single_parameters(query, key, value, atten_mask, inner_precise, geometry.sparse_mode)
    _check_dtypes_agree(query, key)
    _check_features(geometry, atten_mask, geometry.value_dim, input_layout)

    sizes = {"B": geometry.batch, "S": geometry.seq_q, "D": geometry.head_dim, "N": num_heads}
    axes = LAYOUTS[input_layout].query
    sizes["T"] = query.size(axes.index("T")) if "T" in axes else 0
    sizes["H"] = sizes["N"] * sizes["D"]
    compare_shape("CheckQShape", "query", axes, query.shape, [sizes[axis] for axis in axes])
    if value.dtype != key.dtype:
        text = f"value's dtype is {_dtype(value)}, it should be {_dtype(key)}."
        raise tiling_error(text, "CheckKVDType", _CONSISTENCY)
    if not geometry.cache_layout:
        sizes |= {"S": geometry.seq_kv, "N": geometry.kv_heads}
        sizes["T"] = key.size(axes.index("T")) if "T" in axes else 0
        for name, tensor, width in (("key", key, geometry.head_dim), ("value", value, geometry.value_dim)):
            sizes |= {"D": width, "H": geometry.kv_heads * width}
            expected = [sizes[axis] for axis in axes]
            compare_shape("CheckKVShapeForBatchContinuous", name, axes, tensor.shape, expected)
    if atten_mask is not None:
        check_mask(atten_mask.shape, geometry.sparse_mode, geometry.batch, geometry.seq_q, geometry.seq_kv)
        check_tokens(geometry.sparse_mode, geometry.pre_tokens, geometry.next_tokens)
    return geometry


def _check_single_parameters(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    atten_mask: torch.Tensor | None,
    inner_precise: int,
    sparse_mode: int,
) -> None:
    """Source: `arch22/fused_infer_attention_score_tiling_check_single_para.cpp`."""
    _check_dtype(query, "query", "DT_FLOAT16, DT_BFLOAT16, DT_INT8", _INPUT_DTYPES)
    _check_dtype(key, "key", "DT_FLOAT16, DT_BFLOAT16, DT_INT8, DT_INT4", _INPUT_DTYPES)
    _check_dtype(value, "value", "DT_FLOAT16, DT_BFLOAT16, DT_INT8, DT_INT4", _INPUT_DTYPES)
    if atten_mask is not None:
        _check_dtype(atten_mask, "atten_mask", "DT_BOOL, DT_INT8, DT_UINT8", _MASK_DTYPES)
    if inner_precise not in (0, 1, 2, 3):
        text = f"inner_precise attr value only supports 0, 1, 2, 3, but got {inner_precise}"
        raise tiling_error(text, "CheckSingleParaInnerPrecise", _SINGLE)
    if sparse_mode not in _SPARSE_MODES:
        text = f"sparse_mode attr value only supports {', '.join(map(str, _SPARSE_MODES))}, but got {sparse_mode}"
        raise tiling_error(text, "CheckSingleParaSparseMode", _SINGLE)


def _check_dtype(tensor: torch.Tensor, name: str, supported: str, allowed: tuple[torch.dtype, ...]) -> None:
    if tensor.dtype not in allowed:
        text = f"Tensor {name} only supports dtype {supported}, but got {_dtype(tensor)}"
        raise tiling_error(text, "CheckDtypeSupport", _SINGLE)


def _check_dtypes_agree(query: torch.Tensor, key: torch.Tensor) -> None:
    """Source: `arch22/fused_infer_attention_score_tiling_check_existence.cpp`."""
    if query.dtype == key.dtype:
        return
    pairs = (
        "[DT_FLOAT16, DT_FLOAT16], [DT_BFLOAT16, DT_BFLOAT16], [DT_FLOAT16, DT_INT8], [DT_BFLOAT16, DT_INT8], "
        "[DT_FLOAT16, DT_INT4], [DT_BFLOAT16, DT_INT4], [DT_INT8, DT_INT8]"
    )
    text = (
        f"In NO_QUANT situation, only supports [query_dtype, kv_dtype] as {pairs}, "
        f"but got [{_dtype(query)}, {_dtype(key)}]"
    )
    raise tiling_error(text, "CheckDtypeAndSetQuantFlagGqa", _EXISTENCE)


def _check_features(geometry: Geometry, atten_mask: torch.Tensor | None, value_dim: int, layout: str) -> None:
    """Source: `arch22/fused_infer_attention_score_tiling_check_feature.cpp`."""
    if geometry.sparse_mode == 9:
        text = "In NO_QUANT situation, when query_rope and key_rope not exist, sparse_mode does not support sparse(9)."
        raise tiling_error(text, "CheckFeatureSparseMode", _FEATURE)
    if geometry.sparse_mode != 0 and (atten_mask is None or atten_mask.numel() == 0):
        text = f"when sparse_mode is {geometry.sparse_mode} (not 0), atten_mask should not be null."
        raise tiling_error(text, "CheckFeatureMask", _FEATURE)
    if value_dim != geometry.head_dim:
        if (geometry.head_dim, value_dim) == (192, 128):
            raise not_emulated("a value head dim other than the query's (192 and 128) is not emulated")
        text = (
            f"{_NO_QUANT}, when input_layout is BSH, BSND, BNSD, BNSD_BSND, TND, NTD, BSH_BNSD, BSND_BNSD, NTD_TND, "
            "and the headDim shared by query and key is not equal to that of value, only query|key headDim = 192, "
            "value headDim = 128 are supported, but got "
            f"query|key headDim: {geometry.head_dim}, value headDim: {value_dim}"
        )
        raise tiling_error(text, "CheckFeatureLayout", _FEATURE)
    if geometry.seq_q > 1 and value_dim % 16:
        text = f"{_NO_QUANT}, when Qs>1 and input_layout is {layout}, headDim of query|key|value should be align to 16."
        raise tiling_error(text, "CheckFeatureLayout", _FEATURE)
    if value_dim > 512:
        text = f"In NO_QUANT situation, headDim of value should be smaller or equal to 512, but got {value_dim}"
        raise tiling_error(text, "CheckFeatureHeadDim", _FEATURE)


def _dtype(tensor: torch.Tensor) -> str:
    return _DTYPE_NAMES.get(tensor.dtype, "UNDEFINED")
