"""Attention in float64, written out: the truth that the fused kernels are held against."""

from __future__ import annotations

import torch

TOLERANCE = {torch.bfloat16: 2e-2, torch.float16: 3e-3, torch.float32: 1e-5}

AXES = {"BSH": "BSND", "BSND": "BSND", "BNSD": "BNSD", "NBSD": "NBSD"}


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
    return hidden(3 if bottom_right else 2, seq_q, seq_kv)


def hidden(
    mode: int,
    seq_q: int,
    seq_kv: int,
    pre_tokens: int | None = None,
    next_tokens: int | None = None,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """True where query i may not see key j in a sparse mode, element by element, as the documentation words it.

    Tokens of None are without limit; ``mask`` [Sq, Skv or more] counts in modes 0 and 1.
    """

    def hides(i: int, j: int) -> bool:
        shift = seq_kv - seq_q
        outside = (pre_tokens is not None and j < i - pre_tokens) or (next_tokens is not None and j > i + next_tokens)
        if mode == 0:
            return mask is not None and (bool(mask[i, j]) or outside)
        if mode == 1:
            return mask is not None and bool(mask[i, j])
        if mode == 2:
            return j > i
        if mode == 3:
            return j > i + shift
        before = pre_tokens is not None and j < i + shift - pre_tokens
        return before or (next_tokens is not None and j > i + shift + next_tokens)

    cells = [[hides(i, j) for j in range(seq_kv)] for i in range(seq_q)]
    return torch.tensor(cells, dtype=torch.bool).reshape(seq_q, seq_kv)


def to_layout(tensor: torch.Tensor, layout: str) -> torch.Tensor:
    """A [B, N, S, D] tensor, contiguous in the axes of a padded ``layout``."""
    arranged = tensor.permute(["BNSD".index(axis) for axis in AXES[layout]]).contiguous()
    return arranged.flatten(2) if layout == "BSH" else arranged


def from_layout(tensor: torch.Tensor, layout: str, heads: int | None = None) -> torch.Tensor:
    """[B, N, S, D] of a tensor in the axes of a padded ``layout``; of BSH the heads are needed."""
    if layout == "BSH":
        assert heads is not None
        tensor = tensor.unflatten(2, (heads, -1))
    return tensor.permute([AXES[layout].index(axis) for axis in "BNSD"])
