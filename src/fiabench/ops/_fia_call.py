"""The fused-infer operator called as its users call it; its two versions differ in names alone.

Limits: `torch_npu-npu_fused_infer_attention_score.md` in Ascend/op-plugin (docs/zh/custom_APIs/torch_npu) and the host
code in ops-transformer, `attention/fused_infer_attention_score/op_host/`
(`arch22/fused_infer_attention_score_tiling_check_feature.cpp`, `checkers/paged_attention_checker.cpp`).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fiabench.cases import fia_limits
from fiabench.cases.case import Case
from fiabench.ops import _npu
from fiabench.ops._axes import packed_lengths, sizes_of
from fiabench.ops._limits import Limits, kernel_queries, padded_tokens, refusal
from fiabench.ops._paged import paged


class Names(NamedTuple):
    """What one version calls itself and its arguments."""

    file: str
    """The operator under test."""
    operator: str
    """In torch.ops.npu."""
    heads: str
    scale: str
    lengths_q: str
    lengths_kv: str
    with_lse: str


_DECODE_LAYOUTS = ("BSH", "BSND", "BNSD")
"""Layouts in which a single query token takes the path for decoding, where sparse_mode is ignored."""

_PACKED = ("TND", "NTD_TND")
_HEAD_DIMS = {"TND": (64, 128, 192), "NTD_TND": (64, 128)}
_NZ_HEAD_DIMS = (64, 128)


def unsupported(case: Case, device: str, names: Names) -> str | None:
    """The limits of an unquantised call, and whose operator runs where."""
    name = names.file
    limits = Limits(
        name,
        dtypes=("fp16", "bf16"),
        max_head_dim=fia_limits.MOST_HEAD_DIM,
        max_heads=fia_limits.MOST_HEADS,
        max_group=fia_limits.MOST_GROUP,
        max_tokens=fia_limits.MOST_TOKENS,
        paged=True,
    )
    return (
        _npu.absent(names.operator, device)
        or refusal(case, device, limits)
        or _head_dim(case, name)
        or _decode(case, name)
        or _batch(case, name)
        or _blocks(case, name)
        or (_on_npu(case, name) if device == "npu" else None)
    )


def _one_query(case: Case) -> bool:
    """Whether the kernel takes the path for decoding."""
    return case.layout in _DECODE_LAYOUTS and kernel_queries(case) == 1


def _head_dim(case: Case, name: str) -> str | None:
    allowed = _HEAD_DIMS.get(case.layout, ())
    if allowed and case.head_dim not in allowed:
        return f"head dim {case.head_dim}: {name} takes {', '.join(map(str, allowed))} in layout {case.layout}"
    if case.head_dim % fia_limits.HEAD_DIM_STEP and not _one_query(case):
        step = fia_limits.HEAD_DIM_STEP
        return f"head dim {case.head_dim}: {name} takes multiples of {step} where there is more than one query token"
    if case.cache_layout == "NZ" and case.head_dim not in _NZ_HEAD_DIMS:
        return f"head dim {case.head_dim}: {name} takes 64 and 128 with a cache in NZ"
    return None


def _decode(case: Case, name: str) -> str | None:
    if not _one_query(case):
        return None
    if case.mask == "causal_top_left" and case.seq_len_kv > 1:
        return f"mask causal_top_left: {name} ignores sparse_mode for one query token, which would see every key"
    if case.seq_len_kv > fia_limits.MOST_KEYS_DECODING:
        return f"{case.seq_len_kv:,} keys: {name} takes at most {fia_limits.MOST_KEYS_DECODING:,} for one query token"
    return None


def _batch(case: Case, name: str) -> str | None:
    most = fia_limits.MOST_PACKED_BATCH if case.layout in _PACKED else fia_limits.MOST_BATCH
    sequences = case.batch_per_rank
    if case.layout in _PACKED and padded_tokens(case):
        sequences *= 2
    if sequences > most:
        return f"{sequences:,} sequences: {name} takes at most {most:,} in layout {case.layout}"
    return None


def _blocks(case: Case, name: str) -> str | None:
    """For head dims 64 and 128 the host takes blocks that are more and less than what is documented."""
    size = case.block_size
    if not size:
        return None
    step, most = (16, 1024)
    if case.head_dim not in (64, 128):
        step, most = (128, 1024) if kernel_queries(case) > 1 else (16, 512)
    if size % step or size > most:
        return f"block size {size}: {name} takes {step} to {most} in steps of {step} here"
    return None


def _on_npu(case: Case, name: str) -> str | None:
    """What is documented for the NPU and not refused off it."""
    queries = kernel_queries(case)
    if case.layout == "BNSD_NBSD" and not 1 < queries <= 16:
        return f"layout BNSD_NBSD: {name} takes 2 to 16 query tokens in it, this has {queries:,}"
    if case.layout == "BNSD_BSND" and queries == 1:
        return f"layout BNSD_BSND: {name} takes more than one query token in it"
    return None


def prepare(case: Case, query: Tensor, key: Tensor, value: Tensor, names: Names) -> Callable[[], Tensor]:
    """The launch. What does not change between calls is made here: the compressed mask, lengths, the paged cache."""
    call = _call(case, query, key, value, names, with_lse=False)

    def launch() -> Tensor:
        return call()[0]

    return launch


def prepare_with_lse(
    case: Case, query: Tensor, key: Tensor, value: Tensor, names: Names
) -> Callable[[], tuple[Tensor, Tensor]]:
    """As :func:`prepare`; the launch gives the log-sum-exp as well, a float32 view [B, N, Sq].

    Of a query that sees no key it is +inf; on the path for decoding -3.4e38.
    """
    call = _call(case, query, key, value, names, with_lse=True)
    packed = case.layout in _PACKED

    def launch() -> tuple[Tensor, Tensor]:
        output, lse = call()
        lse = lse.squeeze(-1)
        return output, lse.unflatten(0, (case.batch_per_rank, -1)).transpose(1, 2) if packed else lse

    return launch


def _call(
    case: Case, query: Tensor, key: Tensor, value: Tensor, names: Names, with_lse: bool
) -> Callable[[], tuple[Tensor, Tensor]]:
    operator = getattr(torch.ops.npu, names.operator)
    sizes = sizes_of(case, query, key)
    arguments: dict[str, Any] = {
        names.heads: sizes.heads,
        "num_key_value_heads": sizes.kv_heads,
        names.scale: sizes.head_dim**-0.5,
        "input_layout": case.layout,
    }
    if with_lse:
        arguments[names.with_lse] = True
    packed = case.layout in _PACKED
    queries, keys = [case.seq_len_q] * sizes.batch, [case.seq_len_kv] * sizes.batch
    if packed:
        queries, keys = packed_lengths(case, sizes)
        arguments |= {names.lengths_q: list(accumulate(queries)), names.lengths_kv: list(accumulate(keys))}
    elif (sizes.tokens_q, sizes.tokens_kv) != (case.seq_len_q, case.seq_len_kv):
        arguments |= {names.lengths_q: queries, names.lengths_kv: keys}
    columns = sizes.tokens_kv
    if case.block_size:
        # Lengths of paged keys are never cumulative. The case's kernel stands alone, so that nothing is padded.
        key, value, table = paged(case, sizes, key, value)
        arguments |= {"block_table": table, "block_size": case.block_size, names.lengths_kv: keys}
        columns = table.size(1) * case.block_size
    # The one query of a decode step sees every key, and sparse_mode is ignored there.
    decoding = case.layout in _DECODE_LAYOUTS and sizes.tokens_q == 1
    if case.mask in _npu.SPARSE_MODES and not decoding:
        mask = _npu.compressed_mask(query.device)
        arguments |= {"sparse_mode": _npu.SPARSE_MODES[case.mask], "atten_mask": mask}
    if case.mask != "causal_full":
        return lambda: operator(query, key, value, **arguments)
    shift = case.seq_len_kv - case.seq_len_q
    # Without it the mask of packed queries is refused, and that of one query read as [B, Skv].
    with_batch_axis = packed or sizes.tokens_q == 1

    def with_mask() -> tuple[Tensor, Tensor]:
        mask = _npu.full_mask(sizes.tokens_q, columns, shift, query.device)
        return operator(query, key, value, atten_mask=mask[None] if with_batch_axis else mask, **arguments)

    return with_mask
