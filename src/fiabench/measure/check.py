"""The correctness gate: no number without it.

Exchanges move position-coded data, every element of which is compared. The attention is compared, on sampled
rows and all heads, with unsharded attention in float32. Both take their geometry from the case, never from
what was passed to the operator.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from fiabench.cases.case import Case
from fiabench.cases.shards import head_slots
from fiabench.measure import data
from fiabench.ulysses.exchange import BareExchange, Exchange

ROWS_PER_RANK = 16
TOLERANCE = {"fp16": 0.01, "bf16": 0.05, "fp32": 0.001}
"""Largest error of an output element allowed, relative to the root mean square of its head's sampled rows.

A few roundings of the dtype (2^-11, 2^-8, 2^-24) on elements of up to four times that size, with room for
the operator's own accumulation; a wrong head or token errs by about 1.4.
"""

_CODES = {2: torch.int16, 4: torch.int32}
"""Integers as wide as an element."""
_DIGIT = 0x1FFF
_NORMAL = {2: 0x2000, 4: 0x20000000}
"""Added to a 13-bit code it gives the bits of a normal number in every dtype: neither a NaN nor a denormal, which a
device's copy kernels may alter without doing anything wrong."""


def check_exchange(case: Case, exchange: Exchange, rank: int) -> str:
    """Sends position codes both ways; returns what arrived wrongly, or nothing where all is in place."""
    heads_kv = data.heads_of(case, "key")
    mine = slice(rank * case.kv_heads_per_rank, (rank + 1) * case.kv_heads_per_rank)
    my_kv = head_slots(case.heads_on_group, heads_kv, case.ulysses)[1][mine]
    my_q = range(rank * case.heads_per_rank, (rank + 1) * case.heads_per_rank)
    # Of each tensor: its tokens in all, the heads of the group, the heads of this rank.
    geometry = [
        (case.seq_len_q, range(data.heads_of(case, "query")), my_q),
        (case.seq_len_kv, range(heads_kv), my_kv),
        (case.seq_len_kv, range(heads_kv), my_kv),
    ]

    def shard(tensor: int) -> Tensor:
        tokens, heads, _ = geometry[tensor]
        each = tokens // case.ulysses
        return _codes(case, tensor, range(rank * each, (rank + 1) * each), heads)

    def whole(tensor: int) -> Tensor:
        tokens, _, heads = geometry[tensor]
        return _codes(case, tensor, range(tokens), heads)

    def on_device(codes: Tensor) -> Tensor:
        return codes.view(exchange.out.dtype).to(exchange.out.device)

    exchange.poison()
    exchange.pack_in(*(on_device(shard(tensor)) for tensor in range(3)))
    exchange.exchange_in()
    exchange.unpack_in()
    wrong = []
    for tensor, (name, arrived) in enumerate(
        {"query": exchange.query, "key": exchange.key, "value": exchange.value}.items()
    ):
        found = arrived.transpose(1, 2) if case.layout == "BNSD" else arrived
        wrong += _compare(f"{name} after exchange_in", found, whole(tensor))
    attention = on_device(whole(0))
    exchange.pack_out(attention.transpose(1, 2).contiguous() if case.layout == "BNSD" else attention)
    exchange.exchange_out()
    exchange.unpack_out()
    wrong += _compare("output after exchange_out", exchange.out, shard(0))
    return "; ".join(wrong)


def check_bare_exchange(bare: BareExchange, rank: int) -> str:
    """Sends each pair of ranks its own pattern through a bare exchange; returns what arrived wrongly, or nothing."""
    ranks = bare.send.shape[0]
    codes = torch.empty(bare.send.shape, dtype=bare.send.dtype).view(torch.uint8)
    pattern = torch.arange(256, dtype=torch.uint8).repeat(codes.shape[1] // 256 + 1)[: codes.shape[1]]
    for other in range(ranks):
        codes[other] = pattern + _pair(rank, other, ranks)
    bare.send.copy_(codes.view(bare.send.dtype))
    bare.received.fill_(math.nan)
    bare.exchange_in()
    arrived = bare.received.cpu().view(torch.uint8)
    wrong = [
        f"{int(count):,} bytes from rank {other} out of place"
        for other in range(ranks)
        if (count := (arrived[other] != pattern + _pair(other, rank, ranks)).sum())
    ]
    return "; ".join(wrong)


def _pair(sender: int, receiver: int, ranks: int) -> int:
    """An offset of its own for each pair of up to 15 ranks, within a byte."""
    return (sender * ranks + receiver + 1) % 251


def _codes(case: Case, tensor: int, tokens: range, heads: Sequence[int]) -> Tensor:
    """[B, tokens, heads, D] of integers as wide as the dtype, on the host, each of which follows from its own place.

    The first four of a row say token (two digits), head, batch and tensor outright, the others a mixture of token, head
    and element that wraps around.
    """
    dtype = _CODES[case.element_bytes]
    token = torch.arange(tokens.start, tokens.stop).view(1, -1, 1)
    head = torch.tensor(list(heads)).view(1, 1, -1)
    batch = torch.arange(case.batch).view(-1, 1, 1)
    element = torch.arange(case.head_dim).to(dtype)
    mixture = (token * 257).to(dtype).unsqueeze(3) + (head * 8191).to(dtype).unsqueeze(3) + element
    codes = mixture.expand(case.batch, -1, -1, -1).clone()
    named = (token, token >> 13, head, batch * 3 + tensor)
    for place, value in zip(range(case.head_dim), named, strict=False):
        codes[..., place] = (value & _DIGIT).to(dtype)
    return codes.bitwise_and_(_DIGIT).add_(_NORMAL[case.element_bytes])


def _compare(what: str, found: Tensor, codes: Tensor) -> list[str]:
    differs = found.contiguous().cpu().view(codes.dtype) != codes
    count = int(differs.sum())
    if not count:
        return []
    batch, token, head, dim = (int(index) for index in differs.nonzero()[0])
    return [f"{what}: {count:,} of {codes.numel():,} elements out of place, first at [{batch}, {token}, {head}, {dim}]"]


def check_attention(case: Case, attention: Tensor, rank: int) -> dict[str, Any]:
    """Compares ``attention``, this rank's [B, s, N, D], with the reference on sampled rows of every head.

    Returns `passed`, `max_error` (relative to the rows' root mean square; None if not finite), `tolerance`,
    `rows`, and `wrong`, in words, where it did not pass.
    """
    rows = sample_rows(attention.shape[1])
    tolerance = TOLERANCE[case.dtype]
    outcome: dict[str, Any] = {"passed": True, "max_error": 0.0, "tolerance": tolerance, "rows": len(rows), "wrong": ""}
    wanted_shape = (case.batch, case.seq_len_q // data.ranks_of(case), data.heads_of(case, "query"), case.head_dim)
    if tuple(attention.shape) != wanted_shape:
        wrong = f"output shape {list(attention.shape)}, wanted {list(wanted_shape)}"
        return outcome | {"passed": False, "max_error": None, "wrong": wrong}
    worst, worst_head = 0.0, 0
    for head, reference in enumerate(_reference_rows(case, rows, rank, attention.device)):
        error = (attention[:, rows, head].float() - reference).abs().max() / reference.square().mean().sqrt()
        value = float(error)
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
    """Rows of a shard to check: both ends and an even spread between."""
    count = min(tokens, ROWS_PER_RANK)
    return sorted({round(position * (tokens - 1) / max(1, count - 1)) for position in range(count)})


def _reference_rows(case: Case, rows: list[int], rank: int, device: torch.device) -> Iterator[Tensor]:
    """Unsharded attention of the sampled rows, head by head: yields [B, rows, D] in float32."""
    group = data.heads_of(case, "query") // data.heads_of(case, "key")
    first = rank * (case.seq_len_q // data.ranks_of(case))
    for head in range(data.heads_of(case, "query")):
        if head % group == 0:
            key = data.whole_head(case, "key", head // group, device)
            value = data.whole_head(case, "value", head // group, device)
        query = data.chunk(case, "query", head, rank, device)[:, rows].float()
        scores = query @ key.transpose(1, 2) / math.sqrt(case.head_dim)
        if case.mask == "causal":
            visible = torch.tensor(rows, device=device) + first + case.seq_len_kv - case.seq_len_q
            hidden = torch.arange(case.seq_len_kv, device=device) > visible.unsqueeze(1)
            scores = scores.masked_fill(hidden, -math.inf)
        # A row that sees no key attends to nothing: 0, where softmax alone would give NaN.
        yield torch.softmax(scores, dim=-1).nan_to_num(0.0) @ value
