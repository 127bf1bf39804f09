"""Attention on torch's own fused kernels, for the CPU and for CUDA.

Tensors here are [B, N, S, D] and may be strided views; nothing is copied on the way in, and kv heads are never
repeated. A row that sees no key gives zeros with a log-sum-exp of +inf, as the real kernel leaves it (`FLOAT_INF` in
`attention/fused_infer_attention_score/op_kernel/arch22/fia_block_vec_nonquant.h`, hicann/ops-transformer).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from fiabench.npu_operator.masking import Masking
from fiabench.npu_operator.stripes import Fused, dense_bias, distance_bias, striped

_WINDOW_ROWS = 512
"""Least rows of a stripe under a window. Where rows see many keys a stripe has a quarter as many rows as those: it then
computes an eighth too much, and starts few kernels (each waits for its slowest thread)."""
_MASK_ELEMENTS = 1 << 20
"""A mask of no more elements is turned into a bias at once."""
_MASK_STRIPES = 4
"""A larger one in this many stripes: a bias of 2 bytes, and at times two masks of 1, stay below the mask itself."""


def attention_cpu(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Masking, scale: float, with_lse: bool
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Attention [B, N, Sq, Dv] and, with ``with_lse``, its log-sum-exp [B, N, Sq] in float32, else None.

    kv heads may be fewer than query heads, value's head dim may be smaller than the query's.
    """
    return _attention(query, key, value, mask, scale, with_lse, _fused_cpu, windowed=False)


def attention_cuda(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Masking, scale: float, with_lse: bool
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """As :func:`attention_cpu`.

    Without mask, window and log-sum-exp torch chooses among its back ends; with a window or the log-sum-exp, flash
    attention is called by name, and with a mask or a head dim above 256 memory-efficient attention.
    """
    return _attention(query, key, value, mask, scale, with_lse, _fused_cuda, windowed=query.size(-1) <= 256)


def _attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: Masking,
    scale: float,
    with_lse: bool,
    fused: Fused,
    windowed: bool,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """``windowed``: the kernel takes any window as it is."""
    seq_q, seq_kv = query.size(2), key.size(2)
    first, end = mask.rows(seq_q, seq_kv)
    # Rows and keys that see none and are seen by none left out, most windows are plain.
    mask_inside = mask.within((first, end), mask.keys(first, end, seq_kv))
    if mask.hidden is not None:
        rows = seq_q if mask.hidden.numel() <= _MASK_ELEMENTS else -(-seq_q // _MASK_STRIPES)
    elif windowed or mask_inside.plain:
        rows = seq_q
    else:
        middle = (first + end) // 2
        start, stop = mask.keys(middle, middle + 1, seq_kv)
        rows = max(_WINDOW_ROWS, (stop - start) // 4)
    value_dim, head_dim = value.size(-1), query.size(-1)
    if value_dim == head_dim:
        return striped(query, key, value, mask, scale, with_lse, max(1, rows), fused)
    # torch's fused kernels want one head dim.
    wide = F.pad(value, (0, head_dim - value_dim))
    output, lse = striped(query, key, wide, mask, scale, with_lse, max(1, rows), fused)
    return output[..., :value_dim], lse


def _fused_cpu(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Masking, scale: float, with_lse: bool
) -> tuple[torch.Tensor, torch.Tensor | None]:
    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    seq_q, seq_kv = query.size(2), key.size(2)
    if mask.plain:
        output, lse = kernel(query, key, value, 0.0, mask.after == 0, scale=scale)
    elif mask.hidden is None:
        bias = distance_bias(mask, seq_q, seq_kv, query.dtype, query.device)
        output, lse = kernel(query.flip(2), key, value, 0.0, False, attn_mask=bias, scale=scale)
        output, lse = output.flip(2), lse.flip(2)
    else:
        bias = dense_bias(mask, seq_q, seq_kv, query)
        output, lse = kernel(query, key, value, 0.0, False, attn_mask=bias, scale=scale)
        if with_lse:
            lse.masked_fill_(bias.amax(-1) == -torch.inf, torch.inf)
    return output, lse if with_lse else None


def _fused_cuda(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Masking, scale: float, with_lse: bool
) -> tuple[torch.Tensor, torch.Tensor | None]:
    square = query.size(2) == key.size(2)
    if mask.plain and not with_lse and (mask.after is None or square or query.size(-1) > 256):
        grouped = key.size(1) != query.size(1)
        output = F.scaled_dot_product_attention(
            query, key, value, is_causal=mask.after == 0, scale=scale, enable_gqa=grouped
        )
        return output, None
    if mask.hidden is None and query.size(-1) <= 256:
        return _flash_cuda(query, key, value, mask, scale)
    return _efficient_cuda(query, key, value, mask, scale, with_lse)


def _flash_cuda(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Masking, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Flash attention under a window, which it counts from the bottom right; -1 is no limit.

    Here every row sees a key and some row sees the last key (:func:`striped` cuts off the rest), so that neither side
    of the shifted window is negative.
    """
    head_dim = query.size(-1)
    if head_dim % 8:
        query, key, value = (F.pad(tensor, (0, -head_dim % 8)) for tensor in (query, key, value))
    seq_q, seq_kv = query.size(2), key.size(2)
    shift = seq_kv - seq_q
    output, lse, *_ = torch.ops.aten._flash_attention_forward(
        query.transpose(1, 2),
        key.transpose(1, 2),
        value.transpose(1, 2),
        None,
        None,
        seq_q,
        seq_kv,
        0.0,
        False,
        False,
        scale=scale,
        window_size_left=-1 if mask.before is None else mask.before + shift,
        window_size_right=-1 if mask.after is None else mask.after - shift,
    )
    return output[..., :head_dim].transpose(1, 2), lse


def _efficient_cuda(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Masking, scale: float, with_lse: bool
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Memory-efficient attention under a bias. It knows no grouped heads: one call for each head of a group."""
    batch, heads, seq_q, head_dim = query.shape
    kv_heads, seq_kv = key.size(1), key.size(2)
    if head_dim % 8:
        query, key, value = (F.pad(tensor, (0, -head_dim % 8)) for tensor in (query, key, value))
    # The kernel wants the bias in rows that start at multiples of 16 elements.
    bias = dense_bias(mask, seq_q, seq_kv, query, align=16)
    output = query.new_empty(batch, heads, seq_q, head_dim)
    lse = query.new_empty(batch, heads, seq_q, dtype=torch.float32) if with_lse else None
    members = heads // kv_heads
    for member in range(members):
        each = bias if bias.size(1) == 1 else bias[:, member::members]
        each = each.expand(batch, kv_heads, -1, -1)
        part, part_lse, *_ = torch.ops.aten._scaled_dot_product_efficient_attention(
            query[:, member::members], key, value, each, with_lse, scale=scale
        )
        output[:, member::members] = part[..., :head_dim]
        if lse is not None:
            lse[:, member::members] = part_lse[:, :, :seq_q]
    empty = bias.amax(-1) == -torch.inf
    output.masked_fill_(empty.unsqueeze(-1), 0.0)
    return output, None if lse is None else lse.masked_fill_(empty, torch.inf)
