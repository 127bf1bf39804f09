"""What a call means: batch, heads, sequence and head dims, read from tensors and attributes as the host reads them.

Source: `attention/fused_infer_attention_score/op_host/fused_infer_attention_score_tiling_info_parser.cpp`
(ops-transformer; `ParseAxisInfo`, then `GetPreNextToken`), with the axes of
`attention/common/op_host/fia_tiling_shape.cpp`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from fiabench.npu_operator.errors import (
    expected_shape_dim,
    expected_value,
    invalid_argument,
    invalid_shape_dim,
    invalid_shapes,
    invalid_value,
    tiling_error,
)
from fiabench.npu_operator.schema import LAYOUTS, TOKENS_MAX
from fiabench.npu_operator.shapes import bracket

_FILE = "fused_infer_attention_score_tiling_info_parser.cpp"
_SHAPE_FILE = "fia_tiling_shape.cpp"

INCREMENTAL_LAYOUTS = ("BSH", "BSND", "BNSD")
"""Layouts in which one query token takes the host's path for decoding."""


class CacheLayout(NamedTuple):
    """How a paged cache arranges its axes."""

    name: str
    """As :class:`Geometry` has it."""
    host_name: str
    """As CANN's messages have it."""
    axes: tuple[str, ...]
    """Bn blocks, Bs tokens in a block, N kv heads, D head dim, H = N x D; D1 x D0 = D."""


CACHE_LAYOUTS = {
    3: CacheLayout("BBH", "BnBsH", ("Bn", "Bs", "H")),
    4: CacheLayout("BNBD", "BnNBsD", ("Bn", "N", "Bs", "D")),
    5: CacheLayout("NZ", "NZ", ("Bn", "N", "D1", "Bs", "D0")),
}
"""By the rank of the key: that alone tells the host which it is."""


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

    @property
    def axes(self) -> str:
        """Axes of query, key and value, a letter each; also CANN's name of that layout."""
        return LAYOUTS[self.input_layout].query

    @property
    def packed(self) -> bool:
        """Whether the sequences of a batch lie end to end on one axis T."""
        return "T" in self.axes

    @property
    def cache(self) -> CacheLayout | None:
        """Layout of the paged cache; None where keys and values are not paged. The parser has passed."""
        return None if self.block_table is None else CACHE_LAYOUTS[self.key.dim()]

    @property
    def kv_layout(self) -> str:
        """CANN's name of the layout of key and value."""
        return self.cache.host_name if self.cache else self.axes


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
    def incremental(self) -> bool:
        """Whether the host takes its path for decoding."""
        return self.layout in INCREMENTAL_LAYOUTS and self.seq_q == 1 and self.head_dim == self.value_dim


def parse(call: Call) -> Geometry:
    """The call's geometry. Raises RuntimeError where the host cannot read it."""
    if call.block_table is not None and call.key.dim() not in CACHE_LAYOUTS:
        reason = (
            "The shape dim of key in the 1st tensor must be within the range {3, 4, 5} when page attention is enabled"
        )
        raise invalid_shape_dim("key in the 1st tensor", call.key.dim(), reason, "GetKvLayout", _FILE)
    kv_heads = _kv_heads(call)
    kv_axes = call.cache.axes if call.cache else tuple(call.axes)
    head_dim = _head_dim("query", call.query, call.axes, tuple(call.axes), call.num_heads, "GetQkHeadDim")
    value_dim = _head_dim("value", call.value, call.kv_layout, kv_axes, kv_heads, "GetValueHeadDim")
    batch, seq_q, lengths_q = _queries(call)
    if call.num_heads % kv_heads:
        reason = f"The value of num_heads must be a multiple of num_key_value_heads({kv_heads})"
        raise invalid_value("num_heads", call.num_heads, reason, "GetGSize", _FILE)
    seq_kv, lengths_kv = _keys(call, batch)
    if head_dim < value_dim:
        shapes = f"{bracket(call.query.shape)} and {bracket(call.value.shape)}"
        reason = "D of query must be greater than or equal to axis D of value"
        raise invalid_shapes("query and value", shapes, reason, "GetRopeMode", _FILE)

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
        block_size=call.block_size if call.cache else 0,
        cache_layout=call.cache.name if call.cache else "",
    )
    if geometry.incremental:
        geometry = geometry._replace(sparse_mode=0, pre_tokens=TOKENS_MAX, next_tokens=TOKENS_MAX, lengths_q=None)
    return _tokens_in_force(geometry, call.atten_mask is not None and call.atten_mask.numel() > 0)


def _kv_heads(call: Call) -> int:
    if call.num_key_value_heads < 0:
        reason = "The value of num_key_value_heads must be greater than or equal to 0"
        raise invalid_value("num_key_value_heads", call.num_key_value_heads, reason, "GetN2Size", _FILE)
    return call.num_key_value_heads or call.num_heads


def _check_rank(name: str, tensor: torch.Tensor, layout: str, rank: int, caller: str) -> None:
    if tensor.dim() != rank:
        reason = f"[{caller}] The shape dim of {name} must be equal to the axes size of layout({layout}): {rank}"
        raise invalid_shape_dim(name, tensor.dim(), reason, "CheckHasAxis", _SHAPE_FILE)


def _head_dim(name: str, tensor: torch.Tensor, layout: str, axes: tuple[str, ...], heads: int, caller: str) -> int:
    """Axis D; where there is none, D1 x D0, or H divided by the heads that the attribute names."""
    _check_rank(name, tensor, layout, len(axes), caller)
    if "D1" in axes:
        return tensor.size(axes.index("D1")) * tensor.size(axes.index("D0"))
    if "H" not in axes:
        return tensor.size(-1)
    if tensor.size(-1) % heads:
        text = f"[{caller}] {name}'s H({tensor.size(-1)}) should be an integer multiple of N({heads})."
        raise tiling_error(text, "CheckHasAxis", _SHAPE_FILE)
    return tensor.size(-1) // heads


def _queries(call: Call) -> tuple[int, int, tuple[int, ...] | None]:
    """Batch, longest query, and the length of each where they differ."""
    if not call.packed:
        batch = call.query.size(0)
        return batch, call.query.size(call.axes.index("S")), _of_batch(call.actual_seq_lengths, batch)
    if not call.actual_seq_lengths:
        # torch_npu passes an empty list for None, so the two cannot be told apart.
        reason = f"When inputLayout is {call.axes}, actualSeqLengths cannot be empty"
        raise invalid_argument("actualSeqLengths", reason, "GetActualSeqLenQSize", _FILE)
    lengths = _differences(call.actual_seq_lengths)
    return len(lengths), max(0, *lengths), lengths


def _keys(call: Call, batch: int) -> tuple[int, tuple[int, ...] | None]:
    """Longest key sequence that the shapes allow, and the length of each batch entry where given."""
    given = call.actual_seq_lengths_kv
    if call.block_table is not None:
        if call.block_size <= 0:
            raise expected_value("block_size", call.block_size, "greater than 0", "GetBlockSize", _FILE)
        if call.block_table.dim() != 2:
            raise expected_shape_dim("block_table", call.block_table.dim(), "2", "GetBlockTableDim2", _FILE)
        return call.block_table.size(1) * call.block_size, _of_batch(given, batch)
    if call.packed:
        lengths = _differences(given[:batch]) if given else None
        return max(0, *lengths) if lengths else 0, lengths
    _check_rank("key", call.key, call.axes, len(call.axes), "GetS2SizeForBatchContinuous")
    return call.key.size(call.axes.index("S")), _of_batch(given, batch)


def _differences(cumulative: Sequence[int]) -> tuple[int, ...]:
    return tuple(end - start for start, end in zip((0, *cumulative), cumulative))


def _of_batch(lengths: Sequence[int] | None, batch: int) -> tuple[int, ...] | None:
    """One length for each batch entry: a single one stands for all, further ones than the batch has are not read."""
    if not lengths:
        return None
    return tuple(lengths) * batch if len(lengths) == 1 else tuple(lengths[:batch])


def _tokens_in_force(geometry: Geometry, masked: bool) -> Geometry:
    """Source: `GetPreNextToken`, `UpdatePreNextTokenBySparseMode` and `ClampPreNextToken`."""
    mode = geometry.sparse_mode
    if mode == 1 or (mode == 0 and not masked):
        return geometry._replace(pre_tokens=TOKENS_MAX, next_tokens=TOKENS_MAX)
    if mode in (2, 3):
        return geometry._replace(pre_tokens=TOKENS_MAX, next_tokens=0)
    pre, following = (max(-TOKENS_MAX, min(TOKENS_MAX, x)) for x in (geometry.pre_tokens, geometry.next_tokens))
    return geometry._replace(pre_tokens=pre, next_tokens=following)
