"""The axes of a sweep: what each is called, which values it takes, and what it means."""

from __future__ import annotations

from typing import Any, NamedTuple

from fiabench.cases.forms import (
    Cache,
    Count,
    Dtype,
    ExchangeName,
    Inputs,
    KvCache,
    Layout,
    Mask,
    OneKvCount,
    OneKvLength,
    OneLength,
    OneSize,
    OperatorName,
    SomeCounts,
    SomeKvCounts,
    SomeKvLengths,
    SomeLengths,
    SomeSizes,
    SomeThreads,
    Threads,
)


class AxisKey(NamedTuple):
    """What one axis is: its types where one value stands, where several stand, and its meaning."""

    one: Any
    some: Any
    default: Any
    """The value of an axis that nobody gave; None where it must be given or comes from the geometry."""
    meaning: str
    example: Any
    measures: tuple[str, ...] = ("ulysses", "kernel")
    """What it means anything for."""


_ALL = ("ulysses", "kernel", "exchange")

AXES: dict[str, AxisKey] = {
    "seq_len_q": AxisKey(OneLength, SomeLengths, None, "Query tokens of the whole sequence, before sharding.", 25200),
    "seq_len_kv": AxisKey(
        OneKvLength, SomeKvLengths, "same", "Key tokens of the whole sequence; `same` as seq_len_q.", 512
    ),
    "batch": AxisKey(Count, SomeCounts, 1, "Sequences in one call.", 2),
    "heads": AxisKey(Count, SomeCounts, None, "Query heads of the whole model, in place of the geometry's.", 40),
    "kv_heads": AxisKey(
        OneKvCount,
        SomeKvCounts,
        None,
        "Key and value heads of the whole model, in place of the geometry's; `same` as heads.",
        8,
    ),
    "head_dim": AxisKey(Count, SomeCounts, None, "Elements of one head, in place of the geometry's.", 128),
    "tp": AxisKey(Count, SomeCounts, 1, "Tensor parallel degree: divides the heads before Ulysses does.", 2),
    "ulysses": AxisKey(
        Count, SomeCounts, 1, "Ulysses degree: ranks that exchange sequence shards for head shards.", 4, _ALL
    ),
    "dtype": AxisKey(Dtype, Dtype, "bf16", "Type of every element: fp16, bf16 or fp32.", "bf16", _ALL),
    "layout": AxisKey(
        Layout, Layout, "BNSD", "The operator's input layout; TND packs the sequences of the batch one by one.", "BNSD"
    ),
    "mask": AxisKey(
        Mask,
        Mask,
        "none",
        "none; causal (the last query sees every key, sparse_mode 3); causal_top_left (sparse_mode 2); causal_full (as "
        "causal, by a full Sq x Skv mask that is built in every call).",
        "causal",
    ),
    "op": AxisKey(
        OperatorName,
        OperatorName,
        "fia",
        "The operator under test: a file in src/fiabench/ops, or the name of one of the sweep's projects.",
        "fia",
    ),
    "exchange": AxisKey(
        ExchangeName,
        ExchangeName,
        "separate",
        "How q, k and v travel: separate (one exchange each), packed (one for all), or one of the sweep's projects. "
        "Means nothing without Ulysses.",
        "packed",
    ),
    "threads": AxisKey(
        Threads,
        SomeThreads,
        0,
        "CPU threads of one rank; 0 shares the machine's cores out among the ranks.",
        2,
        _ALL,
    ),
    "inputs": AxisKey(
        Inputs,
        Inputs,
        "contiguous",
        "How the operator gets its tensors: contiguous in the layout, or as strided views of the other order of tokens "
        "and heads.",
        "strided",
    ),
    "kv_cache": AxisKey(
        KvCache,
        KvCache,
        "contiguous",
        "contiguous, or keys and values in a paged cache: paged_BBH_128, paged_BNBD_128, paged_NZ_128, where the "
        "number is the tokens of a block.",
        "paged_BNBD_128",
    ),
    "ring": AxisKey(
        Count,
        SomeCounts,
        1,
        "Ring degree: Ulysses groups that share a sequence and pass keys and values around.",
        2,
        ("ulysses",),
    ),
    "cfg": AxisKey(Count, SomeCounts, 1, "Cfg-parallel degree: groups that share out the batch.", 2, ("ulysses",)),
    "against": AxisKey(
        OperatorName,
        OperatorName,
        "none",
        "An operator or project that is measured in turns with op, so that their ratio is known; none for none.",
        "sdpa",
    ),
    "cache": AxisKey(
        Cache,
        Cache,
        "hot",
        "hot (an iteration finds the device's caches as the one before left them) or cold (nothing of the case's "
        "tensors is in them).",
        "cold",
    ),
    "exchange_bytes": AxisKey(
        OneSize,
        SomeSizes,
        None,
        "One rank's whole send buffer, where an exchange is measured alone: bytes, a size, or a preset's exact size.",
        "64 KiB",
        ("exchange",),
    ),
}
"""Every axis by name. What may be swept, set as a constant, included and excluded all follows from here."""
