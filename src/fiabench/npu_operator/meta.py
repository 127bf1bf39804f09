"""Output shapes without computing, as torch_npu's Meta kernel gives them.

Source: the Meta registration of `npu_fused_infer_attention_score` in Ascend/op-plugin (Python). It checks
``num_heads``, the layout's name and the ranks; it does **not** compare the head axis with ``num_heads``, so shape
propagation alone cannot catch a wrong head count.
"""

from __future__ import annotations

import torch

from fiabench.npu_operator.errors import plugin_error
from fiabench.npu_operator.schema import LAYOUTS


def output_shapes(
    query: torch.Tensor,
    value: torch.Tensor,
    *,
    num_heads: int,
    num_key_value_heads: int,
    input_layout: str,
    block_table: torch.Tensor | None,
) -> tuple[list[int], list[int]]:
    """Shapes of attention_out and, with the flag, of softmax_lse. Raises RuntimeError where the real one does."""
    if not num_heads > 0:
        raise plugin_error(f"numHeads should be greater than 0, but got {num_heads}")
    layout = LAYOUTS.get(input_layout)
    if layout is None:
        raise plugin_error(f"Layout {input_layout} is not supported!")
    if query.dim() != len(layout.query):
        raise plugin_error(f"Layout {layout.query}, queryDims({query.dim()}) must be {len(layout.query)}!")
    sizes = dict(zip(layout.query, query.shape))
    sizes["D"] = _value_head_dim(
        query,
        value,
        layout.query,
        num_key_value_heads or num_heads,
        block_table is not None,
    )
    sizes.setdefault("N", num_heads)
    sizes.setdefault("B", 1)
    sizes["H"] = sizes["N"] * sizes["D"]
    output = [sizes[axis] for axis in layout.output]
    lse = [sizes["T"], sizes["N"], 1] if "T" in sizes else [sizes["B"], sizes["N"], sizes["S"], 1]
    return output, lse


def _value_head_dim(query: torch.Tensor, value: torch.Tensor, axes: str, kv_heads: int, paged: bool) -> int:
    # An int4 value comes eight to an int32.
    packed = 8 if value.dtype == torch.int32 else 1
    if paged:
        if value.dim() == 3:
            return value.size(2) // kv_heads * packed
        if value.dim() == 4:
            return value.size(3) * packed
        if value.dim() == 5:
            return value.size(2) * value.size(4) * packed
        raise plugin_error(f"when Page Attention enabled, value's dim should be 3/4/5, but got {value.dim()}")
    if value.dim() != query.dim():
        raise plugin_error(
            f"when Page Attention not enabled, value'dim{value.dim()} should equal to query's dim{query.dim()}!"
        )
    return (value.size(2) // kv_heads if axes == "BSH" else value.size(-1)) * packed


def output_dtype(
    query: torch.Tensor,
    quant_scale2: torch.Tensor | None,
    query_rope: torch.Tensor | None,
) -> torch.dtype:
    """Dtype of attention_out: int8 with an output scale, else the query's; for an int8 query the rope's, or fp16."""
    if quant_scale2 is not None:
        return torch.int8
    if query.dtype == torch.int8:
        return query_rope.dtype if query_rope is not None else torch.float16
    return query.dtype
