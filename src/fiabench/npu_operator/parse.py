"""What a call means: batch, heads, sequence and head dims, read from tensors and attributes as the host reads them.

Source: `attention/fused_infer_attention_score/op_host/fused_infer_attention_score_tiling_info_parser.cpp`
(ops-transformer), with the axes of `attention/common/op_host/fia_tiling_shape.cpp`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from fiabench.npu_operator.errors import invalid_shape_dim, invalid_shapes, invalid_value, not_emulated, tiling_error
from fiabench.npu_operator.schema import LAYOUTS, TOKENS_MAX
from fiabench.npu_operator.shapes import bracket

_FILE = "fused_infer_attention_score_tiling_info_parser.cpp"
_SHAPE_FILE = "fia_tiling_shape.cpp"

_DECODE_LAYOUTS = ("BSH", "BSND", "BNSD")
"""Layouts that one query token takes to the incremental path."""


class Call(NamedTuple):
    """The arguments that the checks look at, as the caller passed them."""

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    atten_mask: torch.Tensor | None
    num_heads: int
    num_key_value_heads: int
    input_layout: str
    sparse_mode: int
    pre_tokens: int
    next_tokens: int
    inner_precise: int
    actual_seq_lengths: Sequence[int] | None
    actual_seq_lengths_kv: Sequence[int] | None
    block_table: torch.Tensor | None
    block_size: int
    softmax_lse_flag: bool


class Geometry(NamedTuple):
    """One checked call."""

    layout: str
    """``input_layout`` as passed."""
    batch: int
    heads: int
    kv_heads: int
    seq_q: int
    """Longest query of the batch: axis S, or the longest of the packed ones."""
    seq_kv: int
    """Longest key sequence that the shapes allow; paged: columns of ``block_table`` times ``block_size``."""
    head_dim: int
    value_dim: int
    sparse_mode: int
    """The mode in force: with one query token the host overwrites what was passed with 0."""
    pre_tokens: int
    """In force: without limit for a mode that ignores what was passed, else clamped to 2^31 - 1 either way."""
    next_tokens: int
    """In force: 0 in modes 2 and 3."""
    lengths_q: tuple[int, ...] | None
    """Query tokens of each batch entry; None: all ``seq_q``."""
    lengths_kv: tuple[int, ...] | None
    """Key tokens of each batch entry; None: all ``seq_kv``."""
    block_size: int
    """Tokens to a block of the cache; 0: keys and values are not paged."""
    cache_layout: str
    """`BBH` [blocks, block_size, H], `BNBD` [blocks, N, block_size, D], `NZ` [blocks, N, D/16, block_size, 16]; empty
    where keys and values are not paged."""

    @property
    def packed(self) -> bool:
        """Whether the queries of a batch lie end to end on one axis T."""
        return "T" in LAYOUTS[self.layout].query

    @property
    def incremental(self) -> bool:
        """Whether the host takes its path for decoding."""
        return self.layout in _DECODE_LAYOUTS and self.seq_q == 1 and self.head_dim == self.value_dim


def parse(call: Call) -> Geometry:
    """The call's geometry. Raises RuntimeError where the host cannot read it."""
    axes = LAYOUTS[call.input_layout].query
    packed = "T" in axes
    batch = _packed_batch(call, axes) if packed else call.query.size(0)
    kv_heads = _kv_heads(call)
    cache_layout, cache_axes = _cache_layout(call)
    key_axes = cache_axes or axes
    head_dim = _head_dim("query", call.query, axes, call.num_heads, "GetQkHeadDim")
    lengths_q = _differences(call.actual_seq_lengths) if packed else _per_entry(call.actual_seq_lengths, batch)
    seq_q = max(lengths_q or (0,)) if packed else call.query.size(axes.index("S"))

    lengths_kv: tuple[int, ...] | None
    if cache_layout:
        lengths_kv = _per_entry(call.actual_seq_lengths_kv, batch)
        seq_kv = _paged_length(call)
    elif packed:
        lengths_kv = _differences(call.actual_seq_lengths_kv)
        seq_kv = max(lengths_kv or (0,))
    else:
        _check_rank("key", call.key, key_axes, call.input_layout, "GetS2SizeForBatchContinuous")
        lengths_kv = _per_entry(call.actual_seq_lengths_kv, batch)
        seq_kv = call.key.size(key_axes.index("S"))

    value_dim = _head_dim("value", call.value, key_axes, kv_heads, "GetValueHeadDim")
    if head_dim < value_dim:
        shapes = f"{bracket(call.query.shape)} and {bracket(call.value.shape)}"
        reason = "D of query must be greater than or equal to axis D of value"
        raise invalid_shapes("query and value", shapes, reason, "GetRopeMode", _FILE)
    if call.num_heads % kv_heads:
        reason = f"The value of num_heads must be a multiple of num_key_value_heads({kv_heads})"
        raise invalid_value("num_heads", call.num_heads, reason, "GetGSize", _FILE)
    if call.num_heads // kv_heads > 64:
        # Documented by op-plugin ("num_heads / num_key_value_heads <= 64"); its host text was not found.
        raise not_emulated(f"num_heads({call.num_heads}) / num_key_value_heads({kv_heads}) must be at most 64")

    geometry = Geometry(
        layout=call.input_layout,
        batch=batch,
        heads=call.num_heads,
        kv_heads=kv_heads,
        seq_q=seq_q,
        seq_kv=seq_kv,
        head_dim=head_dim,
        value_dim=value_dim,
        sparse_mode=call.sparse_mode,
        pre_tokens=call.pre_tokens,
        next_tokens=call.next_tokens,
        lengths_q=lengths_q,
        lengths_kv=lengths_kv,
        block_size=call.block_size if cache_layout else 0,
        cache_layout=cache_layout,
    )
    if geometry.incremental:
        geometry = geometry._replace(sparse_mode=0, pre_tokens=TOKENS_MAX, next_tokens=TOKENS_MAX, lengths_q=None)
    return _tokens_in_force(geometry, call.atten_mask is not None and call.atten_mask.numel() > 0)


def _kv_heads(call: Call) -> int:
    if call.num_key_value_heads < 0:
        reason = "The value of num_key_value_heads must be greater than or equal to 0"
        raise invalid_value("num_key_value_heads", call.num_key_value_heads, reason, "GetN2Size", _FILE)
    return call.num_key_value_heads or call.num_heads


def _packed_batch(call: Call, axes: str) -> int:
    if call.actual_seq_lengths is None:
        text = f"When inputLayout is {axes}, actualSeqLengths cannot be empty"
        raise invalid_value("actualSeqLengths", "empty", text, "GetActualSeqLenQSize", _FILE)
    return len(call.actual_seq_lengths)


def _cache_layout(call: Call) -> tuple[str, str]:
    """Our name of the paged cache's layout and its axes (b block, s token in it); empty where it is not paged."""
    if call.block_table is None:
        return "", ""
    layouts = {3: ("BBH", "bsH"), 4: ("BNBD", "bNsD"), 5: ("NZ", "bNdsc")}
    if call.key.dim() not in layouts:
        reason = (
            "The shape dim of key in the 1st tensor must be within the range {3, 4, 5} when page attention is enabled"
        )
        raise invalid_shape_dim("key in the 1st tensor", call.key.dim(), reason, "GetKvLayout", _FILE)
    return layouts[call.key.dim()]


def _check_rank(name: str, tensor: torch.Tensor, axes: str, layout: str, caller: str) -> None:
    if tensor.dim() != len(axes):
        reason = f"[{caller}] The shape dim of {name} must be equal to the axes size of layout({layout}): {len(axes)}"
        raise invalid_shape_dim(name, tensor.dim(), reason, "CheckHasAxis", _SHAPE_FILE)


def _head_dim(name: str, tensor: torch.Tensor, axes: str, heads: int, caller: str) -> int:
    """Axis D; without one, H divided by the heads that the attribute names."""
    _check_rank(name, tensor, axes, axes, caller)
    if axes == "bNdsc":
        return tensor.size(2) * tensor.size(4)
    if "H" not in axes:
        return tensor.size(-1)
    if tensor.size(-1) % heads:
        text = f"[{caller}] {name}'s H({tensor.size(-1)}) should be an integer multiple of N({heads})."
        raise tiling_error(text, "CheckHasAxis", _SHAPE_FILE)
    return tensor.size(-1) // heads


def _paged_length(call: Call) -> int:
    assert call.block_table is not None
    if call.block_size <= 0:
        raise invalid_value("block_size", call.block_size, "greater than 0", "GetBlockSize", _FILE)
    if call.block_table.dim() != 2:
        raise invalid_shape_dim("block_table", call.block_table.dim(), "2", "GetBlockTableDim2", _FILE)
    return call.block_table.size(1) * call.block_size


def _differences(cumulative: Sequence[int] | None) -> tuple[int, ...] | None:
    if cumulative is None:
        return None
    return tuple(end - start for start, end in zip((0, *cumulative), cumulative))


def _per_entry(lengths: Sequence[int] | None, batch: int) -> tuple[int, ...] | None:
    """One length for each batch entry: a single one stands for all, further ones than the batch has are not read."""
    if not lengths:
        return None
    return tuple(lengths) * batch if len(lengths) == 1 else tuple(lengths[:batch])


def _tokens_in_force(geometry: Geometry, masked: bool) -> Geometry:
    """Source: `GetPreNextToken` and `UpdatePreNextTokenBySparseMode`."""
    mode = geometry.sparse_mode
    if mode == 1 or (mode == 0 and not masked):
        return geometry._replace(pre_tokens=TOKENS_MAX, next_tokens=TOKENS_MAX)
    if mode in (2, 3):
        return geometry._replace(pre_tokens=TOKENS_MAX, next_tokens=0)
    pre, following = (max(-TOKENS_MAX, min(TOKENS_MAX, x)) for x in (geometry.pre_tokens, geometry.next_tokens))
    return geometry._replace(pre_tokens=pre, next_tokens=following)
