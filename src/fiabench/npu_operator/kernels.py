"""Attention on torch's own fused kernels, for the CPU and for CUDA.

Tensors here are [B, N, S, D] and may be strided views; nothing is copied on the way in. A fully masked row gives
zeros, as torch's CPU kernel has it, with a log-sum-exp of 0.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F

from fiabench.npu_operator.errors import not_emulated


class Masking(NamedTuple):
    """What hides keys from queries: nothing, a causal flag, or a mask."""

    top_left_causal: bool = False
    """Query i sees keys 0 to i."""
    hidden: torch.Tensor | None = None
    """bool, [1|B, 1, Sq, Skv], True where the key is hidden."""


def masking(
    atten_mask: torch.Tensor | None,
    sparse_mode: int,
    seq_q: int,
    seq_kv: int,
    device: torch.device,
) -> Masking:
    """The masking of sparse mode 0, 2 or 3. Compressed masks become a flag wherever torch's kernels have one.

    In modes 2 and 3 the 2048 x 2048 mask is not read: like the real operator's, its content is the caller's promise
    (`triu(ones(2048, 2048), 1)`). Mode 3 with unequal lengths is aligned to the bottom right, for which torch has no
    flag: the mask is then built in full.
    """
    if sparse_mode == 2 or (sparse_mode == 3 and seq_q == seq_kv):
        return Masking(top_left_causal=True)
    if sparse_mode == 3:
        hidden = torch.ones(seq_q, seq_kv, dtype=torch.bool, device=device).triu_(seq_kv - seq_q + 1)
        return Masking(hidden=hidden[None, None])
    if atten_mask is None or atten_mask.numel() == 0:
        return Masking()
    if atten_mask.dim() == 2:
        # With one query token a 2-D mask is [B, Skv].
        atten_mask = atten_mask[:, None, None] if seq_q == 1 else atten_mask[None, None]
    elif atten_mask.dim() == 3:
        atten_mask = atten_mask[:, None]
    hidden = atten_mask[..., :seq_q, :seq_kv]
    return Masking(hidden=hidden if hidden.dtype == torch.bool else hidden != 0)


def attention_cpu(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: Masking,
    scale: float,
    with_lse: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention [B, N, Sq, D] and its log-sum-exp [B, N, Sq] in float32; kv heads may be fewer than query heads."""
    del with_lse  # The kernel always computes it.
    bias = None if mask.hidden is None else _additive(mask.hidden, query.dtype)
    output, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, 0.0, mask.top_left_causal, attn_mask=bias, scale=scale
    )
    return output, lse


def attention_cuda(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: Masking,
    scale: float,
    with_lse: bool,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """As :func:`attention_cpu`. Without the log-sum-exp torch chooses among its back ends; with it, flash or, under a
    mask, memory-efficient attention is called by name, for only they return it."""
    grouped = key.size(1) != query.size(1)
    if not with_lse:
        visible = None if mask.hidden is None else ~mask.hidden
        output = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=visible,
            is_causal=mask.top_left_causal,
            scale=scale,
            enable_gqa=grouped,
        )
        return output, None
    seq_q, seq_kv = query.size(2), key.size(2)
    if mask.top_left_causal and seq_q != seq_kv:
        # Flash attention aligns its causal flag to the bottom right.
        hidden = torch.ones(seq_q, seq_kv, dtype=torch.bool, device=query.device).triu_(1)
        mask = Masking(hidden=hidden[None, None])
    if mask.hidden is None:
        if query.size(-1) > 256:
            raise not_emulated("softmax_lse_flag with a head dim above 256 is not emulated on CUDA")
        output, lse, *_ = torch.ops.aten._scaled_dot_product_flash_attention(
            query, key, value, 0.0, mask.top_left_causal, False, scale=scale
        )
        return output, lse
    if grouped:
        repeats = query.size(1) // key.size(1)
        key, value = (
            key.repeat_interleave(repeats, 1),
            value.repeat_interleave(repeats, 1),
        )
    output, lse, *_ = torch.ops.aten._scaled_dot_product_efficient_attention(
        query, key, value, _aligned_bias(mask.hidden, query, seq_kv), True, scale=scale
    )
    return output, lse[:, :, :seq_q]


def _additive(hidden: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The mask as a bias to the scores: 0, or -inf where hidden."""
    return torch.zeros(hidden.shape, dtype=dtype, device=hidden.device).masked_fill_(hidden, -torch.inf)


def _aligned_bias(hidden: torch.Tensor, query: torch.Tensor, seq_kv: int) -> torch.Tensor:
    """The bias expanded to [B, N, Sq, Skv], its rows starting at multiples of 16 elements as the kernel asks."""
    padded = -(-seq_kv // 16) * 16
    rows = torch.zeros(*hidden.shape[:-1], padded, dtype=query.dtype, device=hidden.device)
    bias = rows[..., :seq_kv].masked_fill_(hidden, -torch.inf)
    return bias.expand(query.size(0), query.size(1), -1, -1)
