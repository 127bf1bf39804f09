"""Checks of the mask's shape and of the token limits beside it.

Source: `arch22/fused_infer_attention_score_tiling_check_consistency.cpp` (`SetAttenMaskCompare`,
`CheckAttentionMask`, `CheckTokens`) in ops-transformer.
"""

from __future__ import annotations

from collections.abc import Sequence

from fiabench.npu_operator.errors import tiling_error
from fiabench.npu_operator.shapes import compare_axes, compare_shape

COMPRESSED = 2048
"""Both sides of the mask that stands for any length in sparse modes 2, 3 and 4."""

_FILE = "fused_infer_attention_score_tiling_check_consistency.cpp"


def check_mask(shape: Sequence[int], sparse_mode: int, batch: int, seq_q: int, seq_kv: int) -> None:
    """Refuse a mask whose shape the mode does not take. Raises RuntimeError.

    Modes 0 and 1 take [Sq, Skv] (with one query token [B, Skv]), [1|B, Sq, Skv] or [1|B, 1, Sq, Skv], each of Sq and
    Skv or more; there is no head axis. Modes 2 to 4 take 2048 x 2048, leading 1s allowed.
    """
    dims = len(shape)
    if sparse_mode in (0, 1):
        layout, axes, expected = _full_mask(shape, batch, seq_q, seq_kv)
        compare_axes("CheckAttentionMask", "atten_mask", layout, axes, shape, expected)
        return
    if dims not in (2, 3, 4):
        raise tiling_error(
            f"atten_mask dim num only support 2, but got {dims}",
            "SetAttenMaskCompare",
            _FILE,
        )
    layout = {2: "S1S2", 3: "1S1S2", 4: "11S1S2"}[dims]
    expected = [1] * (dims - 2) + [COMPRESSED, COMPRESSED]
    compare_shape("CheckAttentionMask", "atten_mask", layout, shape, expected)


def _full_mask(shape: Sequence[int], batch: int, seq_q: int, seq_kv: int) -> tuple[str, tuple[str, ...], list[int]]:
    """Name, axes and least sizes of the layout that a mask of this rank is read in, in modes 0 and 1."""
    dims = len(shape)
    if dims == 2:
        if seq_q == 1:
            return "BS2", ("B", "S2"), [batch, seq_kv]
        return "S1S2", ("S1", "S2"), [seq_q, seq_kv]
    shared = shape[0] == 1
    first = ("CONST", 1) if shared else ("B", batch)
    if dims == 3:
        return "1S1S2" if shared else "BS1S2", (first[0], "S1", "S2"), [first[1], seq_q, seq_kv]
    if dims == 4:
        return "11S1S2" if shared else "B1S1S2", (first[0], "CONST", "S1", "S2"), [first[1], 1, seq_q, seq_kv]
    raise tiling_error(f"atten_mask dim num only support 2, 3, 4, but got {dims}", "SetAttenMaskCompare", _FILE)


def check_tokens(pre_tokens: int, next_tokens: int) -> None:
    """Refuse token limits in force that leave nothing to attend to. Raises RuntimeError."""
    if pre_tokens < 0 and next_tokens < 0:
        text = f"preTokens({pre_tokens}) and nextTokens({next_tokens}) cannot be negative numbers."
        raise tiling_error(text, "CheckTokens", _FILE)
    if -next_tokens > pre_tokens:
        text = f"nextToken line({next_tokens}) should be higher than preToken line({pre_tokens})."
        raise tiling_error(text, "CheckTokens", _FILE)
