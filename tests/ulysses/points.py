"""Cases as small as they can be, with their shards worked out."""

from __future__ import annotations

from typing import Any

from fiabench.cases.case import Case
from fiabench.cases.shards import pad_heads


def make_case(**changes: Any) -> Case:
    """A Ulysses case of 8 heads and 24 tokens on two ranks, with ``changes``; keys follow queries, as in a sweep."""
    fields: dict[str, Any] = {
        "measure": "ulysses",
        "op": "sdpa",
        "layout": "BNSD",
        "dtype": "fp32",
        "mask": "none",
        "seq_len_q": 24,
        "batch": 1,
        "heads": 8,
        "head_dim": 16,
        "tp": 1,
        "ulysses": 2,
        "exchange_bytes": 0,
        "replicas": "one",
        "threads": 1,
    } | changes
    fields.setdefault("seq_len_kv", fields["seq_len_q"])
    fields.setdefault("kv_heads", fields["heads"])
    exchanged = fields["measure"] == "ulysses" and fields["ulysses"] > 1
    fields.setdefault("exchange", "separate" if exchanged else "none")
    shards = pad_heads(fields["heads"], fields["kv_heads"], fields["tp"], fields["ulysses"])
    fields["heads_per_rank"], fields["kv_heads_per_rank"] = shards
    return Case(**fields)


def exchange_alone(**changes: Any) -> Case:
    """One bare exchange, as a sweep describes it."""
    fields = {"measure": "exchange", "op": "none", "exchange_bytes": 768} | changes
    return make_case(**fields)._replace(
        seq_len_q=0, seq_len_kv=0, heads=0, kv_heads=0, heads_per_rank=0, kv_heads_per_rank=0, head_dim=0
    )
