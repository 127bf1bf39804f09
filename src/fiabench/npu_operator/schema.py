"""The operator's schema and layouts, as torch_npu declares them.

Source of the schema: the same text stands in the `libtorch_npu.so` of torch_npu 2.1, 2.5, 2.6, 2.8, 2.10 and 2.14.
Source of the layouts: Ascend/op-plugin, `FusedInferAttentionScoreKernelNpuOpApi.cpp` (LAYOUT_MAP) and its Meta
registrations in Python, which hold the same table.
"""

from __future__ import annotations

from typing import NamedTuple

NAMESPACE = "npu"
NAME = "npu_fused_infer_attention_score"

TOKENS_MAX = 2147483647
"""Default of ``pre_tokens`` and ``next_tokens``: no limit."""

SCHEMA = (
    "npu_fused_infer_attention_score(Tensor query, Tensor key, Tensor value, *, Tensor? pse_shift=None, "
    "Tensor? atten_mask=None, SymInt[]? actual_seq_lengths=None, SymInt[]? actual_seq_lengths_kv=None, "
    "Tensor? dequant_scale1=None, Tensor? quant_scale1=None, Tensor? dequant_scale2=None, Tensor? quant_scale2=None, "
    "Tensor? quant_offset2=None, Tensor? antiquant_scale=None, Tensor? antiquant_offset=None, "
    "Tensor? key_antiquant_scale=None, Tensor? key_antiquant_offset=None, Tensor? value_antiquant_scale=None, "
    "Tensor? value_antiquant_offset=None, Tensor? block_table=None, Tensor? query_padding_size=None, "
    "Tensor? kv_padding_size=None, Tensor? key_shared_prefix=None, Tensor? value_shared_prefix=None, "
    "SymInt[]? actual_shared_prefix_len=None, Tensor? query_rope=None, Tensor? key_rope=None, "
    "Tensor? key_rope_antiquant_scale=None, int num_heads=1, float scale=1.0, int pre_tokens=2147483647, "
    'int next_tokens=2147483647, str input_layout="BSH", int num_key_value_heads=0, int sparse_mode=0, '
    "int inner_precise=0, int block_size=0, int antiquant_mode=0, int key_antiquant_mode=0, "
    "int value_antiquant_mode=0, bool softmax_lse_flag=False) -> (Tensor, Tensor)"
)


class Layout(NamedTuple):
    """How an ``input_layout`` arranges its axes: B batch, N heads, S tokens, D head dim, H = N x D, T packed tokens."""

    query: str
    """Axes of query, key and value."""
    output: str
    """Axes of the attention output."""


LAYOUTS = {
    "BSH": Layout("BSH", "BSH"),
    "BSND": Layout("BSND", "BSND"),
    "BNSD": Layout("BNSD", "BNSD"),
    "TND": Layout("TND", "TND"),
    "NTD": Layout("NTD", "NTD"),
    "BNSD_BSND": Layout("BNSD", "BSND"),
    "BSH_BNSD": Layout("BSH", "BNSD"),
    "BSND_BNSD": Layout("BSND", "BNSD"),
    "NTD_TND": Layout("NTD", "TND"),
    "BSH_NBSD": Layout("BSH", "NBSD"),
    "BSND_NBSD": Layout("BSND", "NBSD"),
    "BNSD_NBSD": Layout("BNSD", "NBSD"),
    "TND_NTD": Layout("TND", "NTD"),
    "NSD": Layout("NSD", "NSD"),
}
"""Every ``input_layout`` that torch_npu accepts."""
