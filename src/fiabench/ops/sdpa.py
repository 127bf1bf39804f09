"""torch's scaled_dot_product_attention, the baseline: torch chooses the back end."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from fiabench.cases.case import Case

ABOUT = "torch.nn.functional.scaled_dot_product_attention, the baseline"


def unsupported(case: Case, device: str) -> str | None:
    del device
    if case.layout not in ("BNSD", "BSND"):
        return f"layout {case.layout}: sdpa is called in BNSD and BSND"
    if case.heads_per_rank % case.kv_heads_per_rank:
        return f"{case.heads_per_rank} heads a rank are no multiple of {case.kv_heads_per_rank} kv heads"
    return None


def emulated(device: str) -> bool:
    del device
    return False


def prepare(case: Case, query: Tensor, key: Tensor, value: Tensor) -> Callable[[], Tensor]:
    """The launch. BSND goes in as transposed views; a causal case with unequal lengths gets a bias built here,
    aligned to the bottom right as fia's is."""
    tokens_first = case.layout == "BSND"
    if tokens_first:
        query, key, value = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
    seq_q, seq_kv = query.size(2), key.size(2)
    causal = case.mask == "causal" and seq_q == seq_kv
    bias = None
    if case.mask == "causal" and not causal:
        hidden = torch.ones(seq_q, seq_kv, dtype=torch.bool, device=query.device).triu_(seq_kv - seq_q + 1)
        # A bias in the query's dtype, because torch would turn a bool mask into one in every call.
        bias = torch.zeros(seq_q, seq_kv, dtype=query.dtype, device=query.device).masked_fill_(hidden, -torch.inf)
    # torch before 2.5 has no such argument, so it is passed only where it matters.
    grouped = {"enable_gqa": True} if query.size(1) != key.size(1) else {}
    scale = query.size(-1) ** -0.5

    def launch() -> Tensor:
        output = F.scaled_dot_product_attention(
            query, key, value, attn_mask=bias, is_causal=causal, scale=scale, **grouped
        )
        return output.transpose(1, 2).contiguous() if tokens_first else output.contiguous()

    return launch
