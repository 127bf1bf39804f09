"""What an operator supports, as data, and the reasons in words that fit a table."""

from __future__ import annotations

from typing import NamedTuple

from fiabench.cases.case import LAYOUTS, MASKS, Case


class Limits(NamedTuple):
    """The combinations that an operator takes wherever it runs; what depends on more it adds itself."""

    name: str
    """What the reasons call the operator."""
    layouts: tuple[str, ...] = tuple(LAYOUTS)
    masks: tuple[str, ...] = MASKS
    dtypes: tuple[str, ...] = ("fp16", "bf16", "fp32")
    devices: tuple[str, ...] = ("npu", "cuda", "cpu")
    max_head_dim: int = 0
    """0: no limit."""
    max_heads: int = 0
    """Of one rank; 0: no limit."""
    max_group: int = 0
    """Query heads that share a kv head; 0: no limit."""
    max_tokens: int = 0
    """Of a sequence, queries or keys; 0: no limit."""
    paged: bool = False


def refusal(case: Case, device: str, limits: Limits) -> str | None:
    """Why ``limits`` leave the case out; None where they do not."""
    name = limits.name
    group = case.heads_per_rank // case.kv_heads_per_rank
    if device not in limits.devices:
        return f"{name} runs on {_listed(limits.devices)}, not on {device}"
    if case.layout not in limits.layouts:
        return f"layout {case.layout}: {name} takes {_listed(limits.layouts)}"
    if case.mask not in limits.masks:
        return f"mask {case.mask}: {name} takes {_listed(limits.masks)}"
    if case.dtype not in limits.dtypes:
        return f"dtype {case.dtype}: {name} takes {_listed(limits.dtypes)}"
    if case.block_size and not limits.paged:
        return f"kv_cache {case.kv_cache}: {name} takes no paged cache"
    if case.block_size and case.measure != "kernel":
        return f"kv_cache {case.kv_cache}: a cache is filled before anything is timed, so for the kernel alone"
    if case.heads_per_rank % case.kv_heads_per_rank:
        return f"{case.heads_per_rank} heads a rank are no multiple of {case.kv_heads_per_rank} kv heads"
    if limits.max_heads and case.heads_per_rank > limits.max_heads:
        return f"{case.heads_per_rank} heads a rank: {name} takes at most {limits.max_heads}"
    if limits.max_group and group > limits.max_group:
        return (
            f"{case.heads_per_rank} heads a rank over {case.kv_heads_per_rank} kv heads: {name} takes at most "
            f"{limits.max_group} to one"
        )
    if limits.max_head_dim and case.head_dim > limits.max_head_dim:
        return f"head dim {case.head_dim}: {name} takes at most {limits.max_head_dim}"
    tokens = max(case.seq_len_q, case.seq_len_kv)
    if limits.max_tokens and tokens > limits.max_tokens:
        return f"{tokens:,} tokens: {name} takes at most {limits.max_tokens:,}"
    return None


def kernel_queries(case: Case) -> int:
    """Query tokens of a sequence in one rank's kernel, padding included; with a ring those of one step."""
    return case.tokens_per_rank_q * (1 if case.measure == "kernel" else case.ulysses)


def padded_tokens(case: Case) -> bool:
    """Whether the kernel's tensors have tokens at the end that are padding."""
    return any(tokens % case.sequence_ranks for tokens in (case.seq_len_q, case.seq_len_kv))


def _listed(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]
