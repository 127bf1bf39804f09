"""Inputs that every rank can make in part: any head and any stretch of tokens, the same wherever it is made.

A rank makes its own sequence shard; the correctness check makes the keys and values of all ranks, one head at
a time, without communication. Values depend on (tensor, head, chunk), a chunk being one rank's tokens.
"""

from __future__ import annotations

import zlib

import torch
from torch import Tensor

from fiabench.cases.case import Case
from fiabench.cases.shards import kv_heads_on_group
from fiabench.ulysses.exchange import TORCH_DTYPES


def chunk(case: Case, tensor: str, head: int, rank: int, device: torch.device) -> Tensor:
    """One head of one rank's tokens, [B, s, D] in the case's dtype: standard normal, padded tokens zeros.

    ``tensor`` is `query`, `key` or `value`; ``head`` counts the heads of the Ulysses group, kv heads for the latter;
    ``rank`` those that share the sequence.
    """
    generator = torch.Generator(device=device)
    generator.manual_seed(zlib.crc32(f"{tensor}.{head}.{rank}".encode()))
    shape = (case.batch_per_rank, _tokens_per_rank(case, tensor), case.head_dim)
    values = torch.randn(shape, generator=generator, device=device).to(TORCH_DTYPES[case.dtype])
    values[:, real_tokens(case, tensor, rank) :] = 0
    return values


def _tokens_per_rank(case: Case, tensor: str) -> int:
    return case.tokens_per_rank_q if tensor == "query" else case.tokens_per_rank_kv


def real_tokens(case: Case, tensor: str, rank: int) -> int:
    """How many of a rank's tokens are no padding: its first ones."""
    each = _tokens_per_rank(case, tensor)
    whole = case.seq_len_q if tensor == "query" else case.seq_len_kv
    return max(0, min(each, whole - rank * each))


def heads_of(case: Case, tensor: str) -> int:
    """Heads of ``tensor`` in the Ulysses group, before any are padded or replicated."""
    if tensor == "query":
        return case.heads_on_group
    if case.measure == "kernel":
        return case.kv_heads_per_rank
    return kv_heads_on_group(case.kv_heads, case.tp)


def sequence_shard(case: Case, tensor: str, rank: int, device: torch.device) -> Tensor:
    """One rank's tokens of ``tensor`` with all heads of the group: [B, s, N, D], contiguous."""
    heads = [chunk(case, tensor, head, rank, device) for head in range(heads_of(case, tensor))]
    return torch.stack(heads, dim=2)


def whole_head(case: Case, tensor: str, head: int, device: torch.device) -> Tensor:
    """One head of ``tensor`` over all ranks' tokens, without padding: [B, S, D] in float32."""
    parts = [
        chunk(case, tensor, head, rank, device)[:, : real_tokens(case, tensor, rank)]
        for rank in range(case.sequence_ranks)
    ]
    return torch.cat(parts, dim=1).float()
