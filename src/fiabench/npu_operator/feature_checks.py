"""What a mask, a layout and a head dim allow of each other.

Source: `attention/fused_infer_attention_score/op_host/arch22/fused_infer_attention_score_tiling_check_feature.cpp`
(ops-transformer; `CheckFeatureGqaNoquant`, whose checks of lengths and blocks have modules of their own).
"""

from __future__ import annotations

from fiabench.npu_operator.errors import tiling_error
from fiabench.npu_operator.parse import INCREMENTAL_LAYOUTS, Call, Geometry

_FILE = "fused_infer_attention_score_tiling_check_feature.cpp"
_SITUATION = "In NO_QUANT rope not exist situation"

_PADDED_LAYOUTS = (*INCREMENTAL_LAYOUTS, "BNSD_BSND")
_NO_ROPE_LAYOUTS = ("BSH", "BSND", "BNSD", "BNSD_BSND", "TND", "NTD", "BSH_BNSD", "BSND_BNSD", "NTD_TND")
_EXTENDED_LAYOUTS = ("BNSD_NBSD",)
"""Taken here though the host takes them with rope alone: torch_npu documents them without that condition."""


def check_mask_feature(call: Call, geometry: Geometry) -> None:
    """Which modes need a mask, and which layouts take one without a batch axis. Raises RuntimeError."""
    mode = geometry.sparse_mode
    if mode == 9:
        text = "In NO_QUANT situation, when query_rope and key_rope not exist, sparse_mode does not support sparse(9)."
        raise tiling_error(text, "CheckFeatureSparseMode", _FILE)
    mask = call.atten_mask
    if mask is None or mask.numel() == 0:
        if mode != 0:
            text = f"when sparse_mode is {mode} (not 0), atten_mask should not be null."
            raise tiling_error(text, "CheckFeatureMask", _FILE)
        return
    if mode not in (0, 1) or mask.dim() != 2:
        return
    if geometry.head_dim != geometry.value_dim:
        text = (
            "In NO_QUANT situation, rope exists or qkHeadDim != vHeadDim, when sparseMode = 0 or 1, two dim mask is "
            "not supported."
        )
        raise tiling_error(text, "CheckFeatureMask", _FILE)
    if call.input_layout not in (*_PADDED_LAYOUTS, *_EXTENDED_LAYOUTS):
        text = (
            "In NO_QUANT situation, rope does not exist and qkHeadDim = vHeadDim, when sparseMode = 0 or 1, two dim "
            f"mask only support for layout BSH,BSND,BNSD,BNSD_BSND, but got {call.input_layout}"
        )
        raise tiling_error(text, "CheckFeatureMask", _FILE)


def check_layout(geometry: Geometry) -> None:
    """Which head dims a layout takes. Raises RuntimeError."""
    layout, dim = geometry.layout, geometry.value_dim
    if layout not in (*_NO_ROPE_LAYOUTS, *_EXTENDED_LAYOUTS):
        text = (
            f"{_SITUATION}, layout only supports BSH, BSND, BNSD, BNSD_BSND, TND, NTD, BSH_BNSD, BSND_BNSD, NTD_TND, "
            f"but got {layout}."
        )
        raise tiling_error(text, "CheckFeatureLayout", _FILE)
    if geometry.head_dim != dim:
        if (geometry.head_dim, dim) != (192, 128):
            text = (
                f"{_SITUATION}, when input_layout is BSH, BSND, BNSD, BNSD_BSND, TND, NTD, BSH_BNSD, BSND_BNSD, "
                "NTD_TND, and the headDim shared by query and key is not equal to that of value, only query|key "
                "headDim = 192, value headDim = 128 are supported, but got "
                f"query|key headDim: {geometry.head_dim}, value headDim: {dim}"
            )
            raise tiling_error(text, "CheckFeatureLayout", _FILE)
        return
    if layout in (*_PADDED_LAYOUTS, *_EXTENDED_LAYOUTS):
        if dim % 16 and not geometry.incremental:
            text = (
                f"{_SITUATION}, when Qs>1 and input_layout is {layout}, headDim of query|key|value should be align "
                "to 16."
            )
            raise tiling_error(text, "CheckFeatureLayout", _FILE)
    elif layout == "TND":
        if dim not in (64, 128, 192):
            text = (
                f"{_SITUATION}, when input_layout is TND, only query|key|value headDim = 64/128/192 are supported, "
                f"but got {dim}"
            )
            raise tiling_error(text, "CheckFeatureLayout", _FILE)
    elif dim not in (64, 128):
        text = (
            f"{_SITUATION}, when input_layout is NTD, BSH_BNSD, BSND_BNSD, NTD_TND, only query|key|value headDim = "
            f"64/128 are supported, but got {dim}"
        )
        raise tiling_error(text, "CheckFeatureLayout", _FILE)


def check_head_dim(geometry: Geometry) -> None:
    """The head dim's upper limit, and what a cache in NZ takes. Raises RuntimeError."""
    query_dim, dim = geometry.head_dim, geometry.value_dim
    if dim > 512:
        text = f"In NO_QUANT situation, headDim of value should be smaller or equal to 512, but got {dim}"
        raise tiling_error(text, "CheckFeatureHeadDim", _FILE)
    if geometry.cache_layout == "NZ" and query_dim == dim and dim not in (64, 128):
        text = (
            f"{_SITUATION}, when the dim of key&value is 5, and the headDim shared by query and key is equal to that "
            "of value. The headDim of query|key|value should be 64 | 128, but got "
            f"valueHeadDim:{dim}, queryHeadDim and keyHeadDim:{query_dim}"
        )
        raise tiling_error(text, "CheckFeatureHeadDim", _FILE)
