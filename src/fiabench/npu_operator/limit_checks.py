"""Upper limits of the axes.

The tiling that recent CANN takes for unquantised calls has none of these; the older one for decoding refuses three of
them, and torch_npu documents them all. They come last, so that they never hide a refusal of the recent tiling.

Sources: `attention/incre_flash_attention/op_host/incre_flash_attention_tiling_check.cpp` (ops-transformer), and
`docs/zh/custom_APIs/torch_npu/torch_npu-npu_fused_infer_attention_score.md` (Ascend/op-plugin), whose limits have no
host text: those refusals begin `fiabench:`.
"""

from __future__ import annotations

from fiabench.cases.fia_limits import (
    MOST_BATCH,
    MOST_GROUP,
    MOST_HEADS,
    MOST_KEYS_DECODING,
    MOST_PACKED_BATCH,
    MOST_TOKENS,
)
from fiabench.npu_operator.errors import not_emulated, tiling_error
from fiabench.npu_operator.parse import Call, Geometry

_FILE = "incre_flash_attention_tiling_check.cpp"


def check_limits(call: Call, geometry: Geometry) -> None:
    """Raises RuntimeError."""
    group = geometry.heads // geometry.kv_heads
    if group > MOST_GROUP:
        text = f"the query's heads num divided by the key/value's heads num = {group}, cannot be greater than 64"
        raise tiling_error(text, "CheckInputQKVTypeMatch", _FILE)
    if geometry.batch > MOST_BATCH:
        text = f"batch size:{geometry.batch} cannot be greater than 65536."
        raise tiling_error(text, "CheckInputFormatAndLimits", _FILE)
    if geometry.kv_heads > MOST_HEADS:
        text = f"numHead of key and value:{geometry.kv_heads} cannot be greater than 256."
        raise tiling_error(text, "CheckInputFormatAndLimits", _FILE)
    if geometry.heads > MOST_HEADS:
        raise not_emulated(f"num_heads {geometry.heads} is above {MOST_HEADS}, the most that torch_npu documents")
    if call.packed and geometry.batch > MOST_PACKED_BATCH:
        text = f"{geometry.batch} packed sequences are above {MOST_PACKED_BATCH}, the most that torch_npu documents"
        raise not_emulated(text)
    most_keys = MOST_KEYS_DECODING if geometry.incremental else MOST_TOKENS
    for name, tokens, most in (("query", geometry.seq_q, MOST_TOKENS), ("key", geometry.seq_kv, most_keys)):
        if tokens > most:
            raise not_emulated(f"{name} length {tokens} is above {most}, the most that torch_npu documents")
