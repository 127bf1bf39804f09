"""What no adapter of an outside attention layer can pass on: it calls ``layer(query, key, value)``."""

from __future__ import annotations

from fiabench.cases.case import Case


def unsupported(case: Case, called: str) -> str | None:
    """Why ``called``, the adapter's name, cannot run the case; None where nothing speaks against it."""
    if case.kv_cache != "contiguous":
        return f"kv cache {case.kv_cache}: {called} is called with whole keys and values"
    if case.ring > 1:
        return f"ring {case.ring}: {called} is called for the output alone, without the log-sum-exp that a ring merges"
    if case.tokens_per_rank_kv * case.sequence_ranks != case.seq_len_kv:
        return f"{case.sequence_ranks} ranks do not divide {case.seq_len_kv} keys: {called} has no mask for padded ones"
    return None
