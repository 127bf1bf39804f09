"""Attention in float64, written out: the truth that the fused kernels are held against."""

from __future__ import annotations

import torch

TOLERANCE = {torch.bfloat16: 2e-2, torch.float16: 3e-3, torch.float32: 1e-5}


def attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, hidden: torch.Tensor | None, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Output [B, N, Sq, D] and log-sum-exp [B, N, Sq] of [B, N, S, D] inputs; kv heads are repeated to match.

    ``hidden`` broadcasts to [B, N, Sq, Skv]. A row that sees no key gives zeros, with a log-sum-exp of +inf.
    """
    repeats = query.size(1) // key.size(1)
    keys, values = (tensor.double().repeat_interleave(repeats, 1) for tensor in (key, value))
    scores = query.double() @ keys.transpose(-1, -2) * scale
    if hidden is not None:
        scores = scores.masked_fill(hidden, -torch.inf)
    lse = scores.logsumexp(-1)
    weights = (scores - lse.unsqueeze(-1)).exp().nan_to_num(0.0)
    return weights @ values, lse.masked_fill(lse == -torch.inf, torch.inf)


def causal(seq_q: int, seq_kv: int, bottom_right: bool) -> torch.Tensor:
    """True where query i may not see key j, element by element."""
    shift = seq_kv - seq_q if bottom_right else 0
    return torch.tensor([[j > i + shift for j in range(seq_kv)] for i in range(seq_q)])


def to_layout(tensor: torch.Tensor, layout: str) -> torch.Tensor:
    """A [B, N, S, D] tensor, contiguous in ``layout``."""
    return tensor.contiguous() if layout == "BNSD" else tensor.transpose(1, 2).contiguous()


def from_layout(tensor: torch.Tensor, layout: str) -> torch.Tensor:
    return tensor if layout == "BNSD" else tensor.transpose(1, 2)
