"""The correctness gate: no number without it.

The attention is compared, on sampled rows and all heads, with unsharded attention in float32, whose geometry is the
case's, never that of what was passed to the operator. Exchanges are checked by :mod:`fiabench.measure.positions`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from fiabench.cases.case import Case
from fiabench.cases.costs import CHECK_ROWS
from fiabench.measure import data

TOLERANCE = {"fp16": 0.01, "bf16": 0.05, "fp32": 0.001}
"""Largest error of an output element allowed, relative to the root mean square of its head's sampled rows.

A few roundings of the dtype (2^-11, 2^-8, 2^-24) on elements of up to four times that size, with room for
the operator's own accumulation; a wrong head or token errs by about 1.4.
"""


def check_attention(case: Case, attention: Tensor, rank: int) -> dict[str, Any]:
    """Compares ``attention``, this rank's [B, s, N, D], with the reference on sampled rows of every head.

    ``rank`` counts the ranks that share the sequence. Padded tokens are not looked at. Returns `passed`, `max_error`
    (relative to the rows' root mean square; None if not finite), `tolerance`, `rows`, and `wrong`, in words, where it
    did not pass.
    """
    rows = sample_rows(data.real_tokens(case, "query", rank))
    tolerance = TOLERANCE[case.dtype]
    outcome: dict[str, Any] = {"passed": True, "max_error": 0.0, "tolerance": tolerance, "rows": len(rows), "wrong": ""}
    wanted_shape = (case.batch_per_rank, case.tokens_per_rank_q, case.heads_on_group, case.head_dim)
    if tuple(attention.shape) != wanted_shape:
        wrong = f"output shape {list(attention.shape)}, wanted {list(wanted_shape)}"
        return outcome | {"passed": False, "max_error": None, "wrong": wrong}
    worst, worst_head = 0.0, 0
    for head, reference in enumerate(_reference_rows(case, rows, rank, attention.device)):
        # Rows that see no key are zeros, and may be all there are: nothing to divide by.
        scale = float(reference.square().mean().sqrt()) or 1.0
        value = float((attention[:, rows, head].float() - reference).abs().max()) / scale
        if not math.isfinite(value):
            wrong = f"head {head}: not finite, or not written"
            return outcome | {"passed": False, "max_error": None, "wrong": wrong}
        if value > worst:
            worst, worst_head = value, head
    outcome["max_error"] = worst
    if worst > tolerance:
        wrong = f"head {worst_head}: error {worst:.3g} of the rows' root mean square, tolerance {tolerance:g}"
        outcome |= {"passed": False, "wrong": wrong}
    return outcome


def sample_rows(tokens: int) -> list[int]:
    """Rows of a shard to check: both ends and an even spread between; none of no tokens."""
    count = min(tokens, CHECK_ROWS)
    return sorted({round(position * (tokens - 1) / max(1, count - 1)) for position in range(count)})


def _reference_rows(case: Case, rows: list[int], rank: int, device: torch.device) -> Iterator[Tensor]:
    """Unsharded attention of the sampled rows, head by head: yields [B, rows, D] in float32; nothing without rows."""
    if not rows:
        return
    group = data.heads_of(case, "query") // data.heads_of(case, "key")
    hidden = _hidden(case, torch.tensor(rows, device=device) + rank * case.tokens_per_rank_q)
    for head in range(data.heads_of(case, "query")):
        if head % group == 0:
            key = data.whole_head(case, "key", head // group, device)
            value = data.whole_head(case, "value", head // group, device)
        query = data.chunk(case, "query", head, rank, device)[:, rows].float()
        scores = query @ key.transpose(1, 2) / math.sqrt(case.head_dim)
        if hidden is not None:
            scores = scores.masked_fill(hidden, -math.inf)
        # A row that sees no key attends to nothing: 0, where softmax alone would give NaN.
        yield torch.softmax(scores, dim=-1).nan_to_num(0.0) @ value


def _hidden(case: Case, queries: Tensor) -> Tensor | None:
    """Which keys the queries at these places of the whole sequence do not see, [queries, Skv]; None: they see all."""
    if case.mask == "none":
        return None
    aligned = 0 if case.mask == "causal_top_left" else case.seq_len_kv - case.seq_len_q
    return torch.arange(case.seq_len_kv, device=queries.device) > (queries + aligned).unsqueeze(1)
