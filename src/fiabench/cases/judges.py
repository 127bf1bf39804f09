"""What is wrong between the values of some axes: each judge takes one value of each and says why they cannot be."""

from __future__ import annotations

from typing import Any, NamedTuple

from fiabench.cases import fia_limits as fia
from fiabench.cases.expand import buffer_bytes, undivided_bytes, undivided_tokens
from fiabench.cases.shards import ShardError, pad_heads, shard_heads
from fiabench.cases.sweep import BufferOf

FIA = ("fia", "fia_v2")


class Fault(NamedTuple):
    """Why a combination of values cannot be measured."""

    key: str
    """The axis to change."""
    found: str
    allowed: str
    hint: str = ""


def kv_heads(heads: int, kv_heads: int | str) -> Fault | None:
    if kv_heads != "same" and heads % int(kv_heads):
        return Fault("kv_heads", f"{kv_heads} kv heads of {heads} heads", f"kv heads that divide {heads}, or same")
    return None


def against_itself(op: str, against: str) -> Fault | None:
    return Fault("against", f"{against}, which is op itself", "another operator, or none") if op == against else None


def undivided_batch(batch: int, cfg: int) -> Fault | None:
    if batch % cfg == 0:
        return None
    return Fault("cfg", f"cfg {cfg} with batch {batch}", f"a degree that divides {batch}")


def unpaddable_heads(heads: int, kv_heads: int | str, tp: int, ulysses: int) -> Fault | None:
    kv = heads if kv_heads == "same" else int(kv_heads)
    if heads % kv:
        return None  # reported for the geometry
    try:
        pad_heads(heads, kv, tp, ulysses)
    except ShardError as error:
        return Fault(error.key, str(error), "what can be padded: heads that tp divides, kv heads that replicate evenly")
    return None


def undivided_heads(heads: int, kv_heads: int | str, tp: int, ulysses: int) -> Fault | None:
    kv = heads if kv_heads == "same" else int(kv_heads)
    if heads % kv:
        return None  # reported for the geometry
    try:
        shard_heads(heads, kv, tp, ulysses)
    except ShardError as error:
        divisors = [n for n in range(1, heads + 1) if _shards(heads, kv, tp, n) if n <= 64]
        allowed = f"tp that divides {heads} heads"
        if error.key == "ulysses":
            allowed = ", ".join(map(str, divisors)) + (f" with tp {tp}" if tp > 1 else "")
        return Fault(error.key, str(error), allowed, _WAYS_OUT)
    return None


def _shards(heads: int, kv_heads: int, tp: int, ulysses: int) -> bool:
    try:
        shard_heads(heads, kv_heads, tp, ulysses)
    except ShardError:
        return False
    return True


_WAYS_OUT = "indivisible: exclude leaves such points out, indivisible: pad pads them"


def undivided_queries(seq_len_q: int, ulysses: int, ring: int) -> Fault | None:
    if seq_len_q % (ulysses * ring) == 0:
        return None
    found = undivided_tokens(seq_len_q, 0, ulysses, ring)
    return Fault("seq_len_q", found, f"multiples of {ulysses * ring}", _WAYS_OUT)


def undivided_keys(seq_len_kv: int | str, ulysses: int, ring: int) -> Fault | None:
    if seq_len_kv == "same" or int(seq_len_kv) % (ulysses * ring) == 0:
        return None
    found = undivided_tokens(0, int(seq_len_kv), ulysses, ring)
    return Fault("seq_len_kv", found, f"multiples of {ulysses * ring}", _WAYS_OUT)


def alone(ulysses: int) -> Fault | None:
    return Fault("ulysses", "1 rank", "at least 2 ranks to exchange anything") if ulysses < 2 else None


def undivided_buffer(dtype: str, ulysses: int, threads: int, size: Any) -> Fault | None:
    if ulysses < 2:
        return None
    why = ""
    if isinstance(size, BufferOf):
        size, why = buffer_bytes(size, ulysses, dtype)
    why = why or undivided_bytes(size, ulysses, dtype)
    if not why:
        return None
    return Fault("exchange_bytes", why, "what the ranks divide", "indivisible: exclude leaves such points out")


def fia_heads(op: str, heads: int, kv_heads: int | str) -> Fault | None:
    if op not in FIA or kv_heads == "same" or heads % int(kv_heads) or heads // int(kv_heads) <= fia.MOST_GROUP:
        return None
    found = f"{heads // int(kv_heads)} query heads for each kv head"
    return Fault("kv_heads", found, f"at most {fia.MOST_GROUP}, which is as many as fia takes")


def fia_rank_heads(op: str, heads: int, tp: int, ulysses: int) -> Fault | None:
    if op not in FIA or heads <= fia.MOST_HEADS * tp * ulysses or heads % (tp * ulysses):
        return None
    found = f"{heads // (tp * ulysses)} query heads in one rank's kernel"
    return Fault("heads", found, f"at most {fia.MOST_HEADS}, which is as many as fia takes")


def fia_head_dim(op: str, head_dim: int, seq_len_q: int) -> Fault | None:
    if op not in FIA:
        return None
    if head_dim > fia.MOST_HEAD_DIM:
        return Fault("head_dim", f"head dim {head_dim}", f"at most {fia.MOST_HEAD_DIM}, which is as much as fia takes")
    if seq_len_q > 1 and head_dim % fia.HEAD_DIM_STEP:
        return Fault("head_dim", f"head dim {head_dim}", f"multiples of {fia.HEAD_DIM_STEP}, as fia asks")
    return None


def fia_tokens(op: str, seq_len_q: int, seq_len_kv: int | str) -> Fault | None:
    if op not in FIA:
        return None
    kv = seq_len_q if seq_len_kv == "same" else int(seq_len_kv)
    most = f"at most {fia.MOST_TOKENS:,}, which is as many as fia takes"
    if seq_len_q > fia.MOST_TOKENS:
        return Fault("seq_len_q", f"{seq_len_q:,} tokens", most)
    if seq_len_q == 1 and kv > fia.MOST_KEYS_DECODING:
        allowed = f"at most {fia.MOST_KEYS_DECODING:,} with one query token, which is as many as fia takes"
        return Fault("seq_len_kv", f"{kv:,} key tokens", allowed)
    if kv > fia.MOST_TOKENS:
        return Fault("seq_len_kv", f"{kv:,} key tokens", most)
    return None
