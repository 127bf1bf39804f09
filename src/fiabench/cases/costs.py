"""What a case costs: arithmetic, bytes, exchange volume, memory. Pure functions of a :class:`Case`, all exact.

The formulas are the usual ones for attention: two matrix products of 2 * D operations for each attended pair of
query and key (FlashAttention counts the same), and for the all-to-all the conventions of nccl-tests. ``tests/cases``
counts every one of them by brute force.
"""

from __future__ import annotations

from fiabench.cases.case import DTYPE_BYTES, Case

CHECK_ROWS = 16
"""Query rows of a rank, for each batch entry, that the correctness check looks at."""
_SCORES = 4
"""Copies of one head's float32 scores that its reference makes: as they are, masked, their softmax, and without NaN."""

COMPRESSED_MASK_BYTES = 2048 * 2048
"""The bool mask that the operator takes for causal attention in its compressed form (sparse_mode 2 to 4)."""


def attended_pairs(mask: str, seq_len_q: int, seq_len_kv: int) -> int:
    """Pairs of query and key that one head attends to, of ``seq_len_q`` queries and ``seq_len_kv`` keys.

    `causal` and `causal_full` are aligned bottom-right: the last query sees every key, and where there are more queries
    than keys the first ones see none; `causal_top_left`: the first query sees the first key alone. Raises ValueError
    for a mask it does not know.
    """
    if mask == "none":
        return seq_len_q * seq_len_kv
    if mask in ("causal", "causal_full"):
        if seq_len_kv >= seq_len_q:
            return seq_len_q * (seq_len_kv - seq_len_q) + seq_len_q * (seq_len_q + 1) // 2
        return seq_len_kv * (seq_len_kv + 1) // 2
    if mask == "causal_top_left":
        if seq_len_q <= seq_len_kv:
            return seq_len_q * (seq_len_q + 1) // 2
        return seq_len_kv * (seq_len_kv + 1) // 2 + (seq_len_q - seq_len_kv) * seq_len_kv
    raise ValueError(f"no count of attended pairs for mask {mask!r}")


def tokens(case: Case) -> int:
    """Query tokens that one attention of the case handles: the whole sequence of every batch entry of a cfg group."""
    return case.batch_per_rank * case.seq_len_q


def kernel_flops(case: Case) -> int:
    """Floating-point operations of one rank's kernel: 2 * B * Nq * pairs * (Dqk + Dv). 0 for an exchange alone.

    Padded heads count, for the kernel computes them; padded tokens do not, for they are masked. In a ring it is the
    rank with the last query tokens, which attends to the most.
    """
    pairs = attended_pairs(case.mask, case.seq_len_q, case.seq_len_kv)
    if case.ring > 1:
        before = case.seq_len_q - -(-case.seq_len_q // case.ring)
        # Without the queries of the other ranks, which end as many keys earlier as their own number is smaller.
        aligned = case.mask in ("causal", "causal_full")
        keys = case.seq_len_kv - (case.seq_len_q - before) if aligned else case.seq_len_kv
        pairs -= attended_pairs(case.mask, before, max(0, keys))
    return 2 * case.batch_per_rank * case.heads_per_rank * pairs * (2 * case.head_dim)


def kernel_min_bytes(case: Case) -> int:
    """Least bytes one rank's kernel moves: q, k and v read once, the output written once. 0 for an exchange alone."""
    return _rows_bytes(case, -(-case.seq_len_q // case.ring), case.seq_len_kv)


def _rows_bytes(case: Case, queries: int, keys: int) -> int:
    """Bytes of q, k, v and the output of one rank's heads with that many tokens."""
    rows = case.heads_per_rank * queries + case.kv_heads_per_rank * keys
    return DTYPE_BYTES[case.dtype] * case.batch_per_rank * rows * (2 * case.head_dim)


def exchanged_bytes(case: Case) -> int:
    """One rank's buffers of all its Ulysses exchanges: q, k, v on the way in and the output on the way back.

    S = e * B / P * [Nq * Sq * (Dqk + Dv) + Nkv * Sk * (Dqk + Dv)], Nkv counted after replication, heads and tokens with
    their padding. Whole buffers, as nccl-tests counts them for algbw: the part a rank keeps is in it (see
    :func:`wire_bytes`). For an exchange alone its ``exchange_bytes``; 0 where nothing is exchanged.
    """
    if case.measure == "exchange":
        return case.exchange_bytes
    if case.ulysses == 1 or case.measure == "kernel":
        return 0
    # A rank has 1/P of the tokens of P times its kernel's heads: the same bytes as its kernel's inputs and output.
    return _rows_bytes(case, case.tokens_per_rank_q * case.ulysses, case.tokens_per_rank_kv * case.ulysses)


def ring_bytes(case: Case) -> int:
    """What one rank sends around the ring in one attention: its keys and values, to each of the other ring ranks."""
    keys = case.tokens_per_rank_kv * case.ulysses
    one = DTYPE_BYTES[case.dtype] * case.batch_per_rank * case.kv_heads_per_rank * keys * 2 * case.head_dim
    return one * (case.ring - 1)


def padding(case: Case) -> float:
    """The part of one kernel's query rows (heads times tokens) that is padding: 0 where the ranks divide both."""
    ranks = case.sequence_ranks
    padded = case.heads_per_rank * case.ulysses * case.tokens_per_rank_q * ranks
    return 1.0 - case.heads_on_group * case.seq_len_q / padded if case.padded else 0.0


def wire_bytes(case: Case) -> int:
    """The part of :func:`exchanged_bytes` that leaves the rank: (P - 1) / P of it, as nccl-tests' busbw."""
    return exchanged_bytes(case) * (case.ulysses - 1) // case.ulysses


def memory_bytes(case: Case) -> int:
    """An upper estimate of one rank's peak memory in bytes, beside what the framework itself takes.

    Every buffer of a case counts as alive at once. With Ulysses: the local inputs, the pack, receive and
    operator-layout tensors of q, k and v, the output and its pack, receive and final tensors, and half as much again
    for the check's position codes and what is made on the way. For the kernel alone: its inputs and output, and as
    much again while they are made. For an exchange alone: what is sent, received and expected. On top the check's
    reference, which goes head by head: keys and values of two heads in float32 (one is made while the other is there),
    and the scores of :data:`CHECK_ROWS` rows; and the mask where there is one.
    """
    if case.measure == "exchange":
        return 3 * case.exchange_bytes
    batch, ring = case.batch_per_rank, case.ring
    head_bytes = DTYPE_BYTES[case.dtype] * batch * case.head_dim
    queries, keys = case.tokens_per_rank_q * case.ulysses, case.tokens_per_rank_kv * case.ulysses
    if case.measure == "kernel":
        queries, keys = case.seq_len_q, case.seq_len_kv
    output = head_bytes * case.heads_per_rank * queries
    inputs = output + 2 * head_bytes * case.kv_heads_per_rank * keys
    rows = min(CHECK_ROWS, case.tokens_per_rank_q)
    reference = 4 * batch * case.seq_len_kv * (4 * case.head_dim + _SCORES * rows)
    copies = 2 if case.measure == "kernel" or case.ulysses * ring == 1 else 6
    # The passed-on keys and values of the ring, and two outputs in float32 while they are merged.
    around = 2 * inputs + 4 * 4 // DTYPE_BYTES[case.dtype] * output if ring > 1 else 0
    own = copies * (inputs + output) + around
    return own * (1 if case.against == "none" else 2) + reference + _mask_bytes(case)


def _mask_bytes(case: Case) -> int:
    if case.mask == "causal_full":
        return 2 * case.seq_len_q * case.seq_len_kv  # the bool mask, and the operator's copy of it
    return 0 if case.mask == "none" else COMPRESSED_MASK_BYTES
