"""A case in a few words, told apart from the others of its run or history."""

from __future__ import annotations

from collections.abc import Sequence

from fiabench.cases.case import Case
from fiabench.results import units, words

_IN_EVERY_LABEL = ("op", "exchange", *words.SHARDING)


def varying(cases: Sequence[Case]) -> list[str]:
    """The fields that tell ``cases`` apart, beside those that every label has."""
    return [name for name in words.varying(cases, words.FIELDS) if name not in _IN_EVERY_LABEL]


def label(case: Case, beside: Sequence[str]) -> str:
    """A case in a few words, for a person who knows the sweep; ``beside`` are fields in which its cases differ."""
    names = [words.FIELDS[name].common(words.FIELDS[name].read(case)) for name in beside]
    if case.measure == "exchange":
        return " ".join(filter(None, [f"all-to-all {units.size(case.exchange_bytes)} u{case.ulysses}", *names]))
    tokens = f"{case.seq_len_q:,} tokens"
    if case.seq_len_kv != case.seq_len_q:
        tokens = f"{case.seq_len_q:,} x {case.seq_len_kv:,} tokens"
    exchange = "" if case.exchange == "none" else case.exchange
    return " ".join(filter(None, [case.op, tokens, case.head_shard.replace(" ", ""), exchange, *names]))
