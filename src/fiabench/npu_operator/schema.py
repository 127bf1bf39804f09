"""The operators' schemas and layouts, as torch_npu declares them.

Source of the schemas: the texts that torch_npu 2.13.0 registers; tests/parity compares them. That of
`npu_fused_infer_attention_score` stands unchanged in 2.1, 2.5, 2.6, 2.8, 2.10 and 2.14; v2 is absent up to 2.6 and
has ``quant_scale_p`` and ``out_dtype`` since 2.10.
Source of the layouts: Ascend/op-plugin, `FusedInferAttentionScoreKernelNpuOpApi.cpp` (LAYOUT_MAP) and its Meta
registrations in Python, which hold the same table.
"""

from __future__ import annotations

from typing import NamedTuple

NAMESPACE = "npu"

FIA = "npu_fused_infer_attention_score"
FIA_WORKSPACE = "_npu_fused_infer_attention_score_get_max_workspace"
FIA_V2 = "npu_fused_infer_attention_score_v2"
FIA_V2_WORKSPACE = "_npu_fused_infer_attention_score_v2_get_max_workspace"
PROMPT_FLASH = "npu_prompt_flash_attention"
FUSION = "npu_fusion_attention"

TOKENS_MAX = 2147483647
"""Default of ``pre_tokens`` and, but for prompt flash attention, of ``next_tokens``: no limit."""

_FIA = (
    "Tensor query, Tensor key, Tensor value, *, Tensor? pse_shift=None, "
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
    "int value_antiquant_mode=0, bool softmax_lse_flag=False"
)

_FIA_V2 = (
    "Tensor query, Tensor key, Tensor value, *, Tensor? query_rope=None, Tensor? key_rope=None, "
    "Tensor? pse_shift=None, Tensor? atten_mask=None, SymInt[]? actual_seq_qlen=None, "
    "SymInt[]? actual_seq_kvlen=None, Tensor? block_table=None, Tensor? dequant_scale_query=None, "
    "Tensor? dequant_scale_key=None, Tensor? dequant_offset_key=None, Tensor? dequant_scale_value=None, "
    "Tensor? dequant_offset_value=None, Tensor? dequant_scale_key_rope=None, Tensor? quant_scale_out=None, "
    "Tensor? quant_offset_out=None, Tensor? quant_scale_p=None, Tensor? learnable_sink=None, "
    "int num_query_heads=1, int num_key_value_heads=0, float softmax_scale=1.0, int pre_tokens=2147483647, "
    'int next_tokens=2147483647, str input_layout="BSH", int sparse_mode=0, int block_size=0, '
    "int query_quant_mode=0, int key_quant_mode=0, int value_quant_mode=0, int inner_precise=0, "
    "bool return_softmax_lse=False, int? query_dtype=None, int? key_dtype=None, int? value_dtype=None, "
    "int? query_rope_dtype=None, int? key_rope_dtype=None, int? key_shared_prefix_dtype=None, "
    "int? value_shared_prefix_dtype=None, int? dequant_scale_query_dtype=None, "
    "int? dequant_scale_key_dtype=None, int? dequant_scale_value_dtype=None, "
    "int? dequant_scale_key_rope_dtype=None, int? out_dtype=None"
)

_PROMPT_FLASH = (
    "Tensor query, Tensor key, Tensor value, *, Tensor? padding_mask=None, Tensor? atten_mask=None, "
    "Tensor? pse_shift=None, int[]? actual_seq_lengths=None, Tensor? deq_scale1=None, Tensor? quant_scale1=None, "
    "Tensor? deq_scale2=None, Tensor? quant_scale2=None, Tensor? quant_offset2=None, int num_heads=1, "
    'float scale_value=1.0, int pre_tokens=2147483647, int next_tokens=0, str input_layout="BSH", '
    "int num_key_value_heads=0, int[]? actual_seq_lengths_kv=None, int sparse_mode=0"
)

_FUSION = (
    "Tensor query, Tensor key, Tensor value, int head_num, str input_layout, Tensor? pse=None, "
    "Tensor? padding_mask=None, Tensor? atten_mask=None, float scale=1.0, float keep_prob=1.0, "
    "int pre_tockens=2147483647, int next_tockens=2147483647, int inner_precise=0, int[]? prefix=None, "
    "int[]? actual_seq_qlen=None, int[]? actual_seq_kvlen=None, int sparse_mode=0, bool gen_mask_parallel=True, "
    'bool sync=False, str softmax_layout="", Tensor? sink=None, Tensor? dropout_mask=None, int seed=0, int offset=0'
)

# torch_npu declares the given tensors as a plain list, without saying that they are written to.
_GIVEN = "Tensor? workspace=None, Tensor[] out"

SCHEMAS = {
    FIA: f"{FIA}({_FIA}) -> (Tensor, Tensor)",
    f"{FIA}.out": f"{FIA}.out({_FIA}, {_GIVEN}) -> (Tensor, Tensor)",
    FIA_WORKSPACE: f"{FIA_WORKSPACE}({_FIA}) -> Tensor",
    FIA_V2: f"{FIA_V2}({_FIA_V2}) -> (Tensor, Tensor)",
    f"{FIA_V2}.out": f"{FIA_V2}.out({_FIA_V2}, {_GIVEN}) -> (Tensor, Tensor)",
    FIA_V2_WORKSPACE: f"{FIA_V2_WORKSPACE}({_FIA_V2}) -> Tensor",
    PROMPT_FLASH: f"{PROMPT_FLASH}({_PROMPT_FLASH}) -> Tensor",
    FUSION: f"{FUSION}({_FUSION}) -> (Tensor, Tensor, Tensor, Tensor, int, int, int)",
}
"""Every operator and overload that is provided, by its name in the namespace."""


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
