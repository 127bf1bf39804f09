"""Cases, their tensors in any layout, and what is hidden from whom, made without the code under test."""

from __future__ import annotations

from typing import Any

import torch

from fiabench.cases.case import LAYOUTS, Case
from tests.npu_operator.reference import attention

TORCH_DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}

_BASE: dict[str, Any] = {
    "measure": "kernel",
    "op": "fia",
    "layout": "BNSD",
    "dtype": "fp16",
    "mask": "none",
    "seq_len_q": 24,
    "seq_len_kv": 24,
    "batch": 2,
    "heads": 16,
    "kv_heads": 8,
    "head_dim": 64,
    "tp": 2,
    "ulysses": 2,
    "heads_per_rank": 4,
    "kv_heads_per_rank": 2,
    "exchange": "none",
    "exchange_bytes": 0,
    "replicas": "one",
    "threads": 0,
}


def make_case(**changes: Any) -> Case:
    return Case(**{**_BASE, **changes})


def tensors(case: Case, tokens_q: int = 0, tokens_kv: int = 0) -> list[torch.Tensor]:
    """Query, key and value, [B, N, S, D]; more tokens than the case's where asked for, those at the end large."""
    torch.manual_seed(0)
    dtype, batch = TORCH_DTYPES[case.dtype], case.batch_per_rank
    shapes = [(case.heads_per_rank, case.seq_len_q, tokens_q)]
    shapes += [(case.kv_heads_per_rank, case.seq_len_kv, tokens_kv)] * 2
    made = []
    for heads, real, tokens in shapes:
        tensor = torch.randn(batch, heads, max(real, tokens), case.head_dim)
        tensor[:, :, real:] = 50.0
        made.append(tensor.to(dtype))
    return made


def packed(tensor: torch.Tensor, axes: str) -> torch.Tensor:
    """A [B, N, S, D] tensor contiguous in any axes of a layout."""
    tokens_first = tensor.transpose(1, 2)
    return {
        "BNSD": lambda: tensor,
        "BSND": lambda: tokens_first,
        "BSH": lambda: tokens_first.flatten(2),
        "NBSD": lambda: tensor.transpose(0, 1),
        "TND": lambda: tokens_first.flatten(0, 1),
        "NTD": lambda: tensor.transpose(0, 1).flatten(1, 2),
    }[axes]().contiguous()


def unpacked(output: torch.Tensor, axes: str, case: Case) -> torch.Tensor:
    """The [B, N, S, D] view of an output in any axes of a layout."""
    batch, heads = case.batch_per_rank, case.heads_per_rank
    return {
        "BNSD": lambda: output,
        "BSND": lambda: output.transpose(1, 2),
        "BSH": lambda: output.unflatten(2, (heads, -1)).transpose(1, 2),
        "NBSD": lambda: output.transpose(0, 1),
        "TND": lambda: output.unflatten(0, (batch, -1)).transpose(1, 2),
    }[axes]()


def hidden(case: Case) -> torch.Tensor | None:
    """True where a real query may not see a real key, element by element."""
    if case.mask == "none":
        return None
    shift = 0 if case.mask == "causal_top_left" else case.seq_len_kv - case.seq_len_q
    return torch.tensor([[j > i + shift for j in range(case.seq_len_kv)] for i in range(case.seq_len_q)])


def expected(case: Case, made: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Output and log-sum-exp of the real tokens in float64, [B, N, Sq, D] and [B, N, Sq]."""
    query, key, value = made
    keys, values = key[:, :, : case.seq_len_kv], value[:, :, : case.seq_len_kv]
    return attention(query[:, :, : case.seq_len_q], keys, values, hidden(case), case.head_dim**-0.5)


def in_layout(case: Case, made: list[torch.Tensor]) -> list[torch.Tensor]:
    return [packed(tensor, LAYOUTS[case.layout].input) for tensor in made]
