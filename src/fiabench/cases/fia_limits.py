"""The most that npu_fused_infer_attention_score takes without quantisation.

From its documentation (`torch_npu-npu_fused_infer_attention_score.md` in Ascend/op-plugin, docs/zh) and its host code
(ops-transformer, `attention/fused_infer_attention_score/op_host` and, for batch and heads,
`attention/incre_flash_attention/op_host/incre_flash_attention_tiling_check.cpp`). Sweeps are checked against them
before anything runs, the operators under test say by them what they support, and the provided operator refuses what
is beyond them.
"""

MOST_BATCH = 65_536
MOST_PACKED_BATCH = 4_096
"""Sequences in TND and NTD."""
MOST_HEADS = 256
MOST_GROUP = 64
"""Query heads to one kv head."""
MOST_HEAD_DIM = 512
HEAD_DIM_STEP = 16
"""Head dims are multiples of this where there is more than one query token."""
MOST_TOKENS = 20 * 1024 * 1024
MOST_KEYS_DECODING = 262_144
"""Keys where there is one query token."""
