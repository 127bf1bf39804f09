"""Output shapes and dtypes without computing, as torch_npu's Meta kernels give them.

Source: the Meta registrations in Ascend/op-plugin (Python), as the torch_npu 2.13.0 wheel holds them; tests/parity
compares them over a grid. They check the head count, the layout's name and the ranks and nothing else: the head axis
is **not** compared with the head count, so shape propagation alone cannot catch a wrong one. The `.out` overloads and
the workspaces have no Meta kernel there, hence none here.
"""

from __future__ import annotations

import torch

from fiabench.npu_operator.errors import plugin_error
from fiabench.npu_operator.schema import LAYOUTS

_ENUMERATED = (
    *(torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.float32, torch.float64),
    *(torch.complex32, torch.complex64, torch.complex128, torch.bool),
)

_OUT_DTYPES = dict(enumerate(_ENUMERATED)) | {
    15: torch.bfloat16,
    23: torch.float8_e5m2,
    24: torch.float8_e4m3fn,
    285: torch.uint8,
    290: torch.uint8,
    291: torch.float8_e5m2,
    292: torch.float8_e4m3fn,
    296: torch.uint8,
    297: torch.uint8,
}
"""What v2's ``*_dtype`` numbers stand for: torch's own below 285, torch_npu's above (uint8 holds what torch lacks).
torch's quantised dtypes, of which Meta tensors cannot be made, are left out."""

_HIFLOAT8 = 290
_FLOAT4_PAIRS = (296, 297)
"""float4_e2m1fn_x2 and float4_e1m2fn_x2: two values to an element."""


def fused_infer_attention_score(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    num_heads: int = 1,
    num_key_value_heads: int = 0,
    input_layout: str = "BSH",
    block_table: torch.Tensor | None = None,
    quant_scale2: torch.Tensor | None = None,
    query_rope: torch.Tensor | None = None,
    softmax_lse_flag: bool = False,
    **others: object,
) -> tuple[torch.Tensor, torch.Tensor]:
    """attention_out and softmax_lse, (0,) without the flag; ``others`` do not bear on them."""
    del key, others
    # An int4 value comes eight to an int32.
    packed = 8 if value.dtype == torch.int32 else 1
    output, lse = _shapes(query, value, num_heads, num_key_value_heads, input_layout, block_table is not None, packed)
    dtype = query.dtype
    if quant_scale2 is not None:
        dtype = torch.int8
    elif query.dtype == torch.int8:
        dtype = torch.float16 if query_rope is None else query_rope.dtype
    return query.new_empty(output, dtype=dtype), query.new_empty(lse if softmax_lse_flag else [0], dtype=torch.float32)


def fused_infer_attention_score_v2(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    num_query_heads: int = 1,
    num_key_value_heads: int = 0,
    input_layout: str = "BSH",
    block_table: torch.Tensor | None = None,
    quant_scale_out: torch.Tensor | None = None,
    query_rope: torch.Tensor | None = None,
    query_quant_mode: int = 0,
    key_quant_mode: int = 0,
    value_quant_mode: int = 0,
    return_softmax_lse: bool = False,
    query_dtype: int | None = None,
    value_dtype: int | None = None,
    out_dtype: int | None = None,
    **others: object,
) -> tuple[torch.Tensor, torch.Tensor]:
    """As :func:`fused_infer_attention_score`, under v2's names; it knows more quantised dtypes."""
    del others
    if not num_query_heads > 0:
        raise plugin_error(f"numHeads should be greater than 0, but got {num_query_heads}")
    modes = (query_quant_mode, key_quant_mode, value_quant_mode)
    if modes == (3, 3, 2) and all(tensor.dtype == torch.float8_e4m3fn for tensor in (query, key, value)):
        text = "GQA FP8 Fullquant(Query/Key Per-Token-Head, Value PerHead) only supports eager mode."
        raise plugin_error(text)
    packed = 8 if value.dtype == torch.int32 else 1
    # torch before 2.8 has no such dtype.
    if value_dtype in _FLOAT4_PAIRS or value.dtype == getattr(torch, "float4_e2m1fn_x2", None):
        packed = 2
    paged = block_table is not None
    output, lse = _shapes(query, value, num_query_heads, num_key_value_heads, input_layout, paged, packed)
    quantised = query.dtype in (torch.int8, torch.float8_e4m3fn)
    quantised = quantised or (query.dtype == torch.uint8 and query_dtype == _HIFLOAT8)
    dtype = query.dtype
    if out_dtype is not None and (quant_scale_out is not None or quantised):
        dtype = _OUT_DTYPES[out_dtype]
    elif quant_scale_out is not None:
        dtype = torch.int8
    elif quantised:
        dtype = torch.float16 if query_rope is None else query_rope.dtype
    lse = lse if return_softmax_lse else [0]
    return query.new_empty(output, dtype=dtype), query.new_empty(lse, dtype=torch.float32)


def prompt_flash_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    input_layout: str = "BSH",
    quant_scale2: torch.Tensor | None = None,
    **others: object,
) -> torch.Tensor:
    """attention_out; like the query but in BNSD_BSND and TND. Neither the layout's name nor any rank is checked."""
    del key, others
    dtype = query.dtype
    if quant_scale2 is not None:
        dtype = torch.int8
    elif query.dtype == torch.int8:
        dtype = torch.float16
    if input_layout == "TND":
        return query.new_empty([query.size(0), query.size(1), value.size(2)], dtype=dtype)
    if input_layout == "BNSD_BSND":
        return query.new_empty([query.size(axis) for axis in (0, 2, 1, 3)], dtype=dtype)
    return torch.empty_like(query, dtype=dtype)


def fusion_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    head_num: int,
    input_layout: str,
    *others: object,
    **more: object,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, int, int, int]:
    """attention_out, softmax_max and softmax_sum [B, N, S, 8] (TND: [T, N, 8]), an empty tensor, and three zeros."""
    del others, more
    batch, tokens = query.size(0), query.size(2)
    if input_layout in ("BSH", "BSND"):
        tokens = query.size(1)
    elif input_layout == "SBH":
        batch, tokens = query.size(1), query.size(0)
    output = list(query.shape)
    if input_layout in ("BSH", "SBH"):
        # In floating point, as there: the last axis is cut off to a whole number.
        head_dim = query.size(2) / head_num
        value_dim = value.size(2) / (key.size(2) / head_dim) if head_dim and key.size(2) else 0
        output = [*output[:2], int(head_num * value_dim)]
    elif input_layout in ("BNSD", "BSND"):
        output = [batch, head_num, tokens] if input_layout == "BNSD" else [batch, tokens, head_num]
        output.append(value.size(3))
    elif input_layout == "TND":
        output = [query.size(0), head_num, value.size(2)]
    statistics = [batch, head_num, 8] if input_layout == "TND" else [batch, head_num, tokens, 8]
    largest, total = (query.new_empty(statistics, dtype=torch.float32) for _ in range(2))
    return query.new_empty(output), largest, total, query.new_empty([0]), 0, 0, 0


def _shapes(
    query: torch.Tensor,
    value: torch.Tensor,
    heads: int,
    kv_heads: int,
    input_layout: str,
    paged: bool,
    packed: int,
) -> tuple[list[int], list[int]]:
    """Shapes of attention_out and, with the flag, of softmax_lse; ``packed`` values to an element of ``value``."""
    if not heads > 0:
        raise plugin_error(f"numHeads should be greater than 0, but got {heads}")
    layout = LAYOUTS.get(input_layout)
    if layout is None:
        raise plugin_error(f"Layout {input_layout} is not supported!")
    if query.dim() != len(layout.query):
        raise plugin_error(f"Layout {layout.query}, queryDims({query.dim()}) must be {len(layout.query)}!")
    sizes = dict(zip(layout.query, query.shape))
    value_dim = _value_head_dim(query, value, layout.query, kv_heads or heads, paged) * packed
    sizes.setdefault("N", heads)
    sizes.setdefault("B", 1)
    if "H" in sizes:
        sizes["D"] = sizes["H"] // heads
    # An empty query or value leaves the query's own size.
    if sizes["N"] * value_dim and sizes.get("H", 1):
        sizes["H"] = sizes["N"] * value_dim
    if value_dim and sizes["D"]:
        sizes["D"] = value_dim
    output = [sizes[axis] for axis in layout.output]
    lse = [sizes["T"], sizes["N"], 1] if "T" in sizes else [sizes["B"], sizes["N"], sizes["S"], 1]
    return output, lse


def _value_head_dim(query: torch.Tensor, value: torch.Tensor, axes: str, kv_heads: int, paged: bool) -> int:
    if paged:
        if value.dim() == 3:
            return value.size(2) // kv_heads
        if value.dim() == 4:
            return value.size(3)
        if value.dim() == 5:
            return value.size(2) * value.size(4)
        raise plugin_error(f"when Page Attention enabled, value's dim should be 3/4/5, but got {value.dim()}")
    if value.dim() != query.dim():
        raise plugin_error(
            f"when Page Attention not enabled, value'dim{value.dim()} should equal to query's dim{query.dim()}!"
        )
    return value.size(2) // kv_heads if axes == "BSH" else value.size(-1)
