"""One checked call from its tensors to its outputs: axes, batch entries of their own lengths, packed and paged.

A batch of equal lengths is one kernel call on views. Else neighbours of equal lengths share a call, each packed or
paged entry has its own, and the outputs are written in place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import NamedTuple, TypeAlias

import torch

from fiabench.npu_operator.contiguity import contiguous
from fiabench.npu_operator.masking import Masking, four_axes, masking
from fiabench.npu_operator.paged import gather
from fiabench.npu_operator.parse import Geometry
from fiabench.npu_operator.schema import LAYOUTS

Kernel: TypeAlias = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor, Masking, float, bool],
    tuple[torch.Tensor, torch.Tensor | None],
]
"""`kernels.attention_cpu` or `attention_cuda`."""

DECODE_EMPTY_LSE = -3.4e38
"""The log-sum-exp of a row without keys on the path for decoding; on others it is +inf.

Source: `InitOutputSingleCore` in `op_kernel/arch22/fia_kernel_nonquant.h` (hicann/ops-transformer)."""


class _Part(NamedTuple):
    """Batch entries ``first`` to ``end - 1``, which have one length; packed tokens begin at the offsets."""

    first: int
    end: int
    tokens_q: int
    tokens_kv: int
    offset_q: int
    offset_kv: int


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    geometry: Geometry,
    kernel: Kernel,
    *,
    atten_mask: torch.Tensor | None,
    block_table: torch.Tensor | None,
    scale: float,
    with_lse: bool,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """attention_out in the layout's output axes, contiguous, and softmax_lse [B, N, S, 1] or [T, N, 1], or None.

    Queries beyond an entry's length, and queries that see no key, give zeros; their log-sum-exp is +inf, or
    :data:`DECODE_EMPTY_LSE`. The real kernel fills its outputs so before it starts (`InitOutputSingleCore`); rows that
    a mask of mode 0 or 1 hides in full it clears only with bit 1 of inner_precise set, which changes nothing here.
    """
    packed = _packed(geometry)
    tensors = {"query": query, "key": key, "value": value}
    query, key, value = (contiguous(name, tensor) for name, tensor in tensors.items())
    if atten_mask is not None:
        atten_mask = contiguous("atten_mask", atten_mask)
        atten_mask = four_axes(atten_mask, by_batch=geometry.seq_q == 1 and not packed)
    axes = LAYOUTS[geometry.layout]
    query = _heads_first(query, axes.query, geometry.heads)
    if not geometry.cache_layout:
        key, value = (_heads_first(tensor, axes.query, geometry.kv_heads) for tensor in (key, value))
    if not packed and not geometry.cache_layout and _uniform(geometry):
        part = _Part(0, geometry.batch, geometry.seq_q, geometry.seq_kv, 0, 0)
        mask = _masking(atten_mask, geometry, part)
        result, lse = kernel(query, key, value, mask, scale, with_lse)
        output = _arranged(result, axes.output)
        lse = lse.unsqueeze(-1).contiguous() if lse is not None else None
    else:
        output, lse = _in_parts(query, key, value, geometry, kernel, atten_mask, block_table, scale, with_lse)
    if lse is not None and geometry.incremental:
        lse.masked_fill_(lse == torch.inf, DECODE_EMPTY_LSE)
    return output, lse


def _in_parts(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    geometry: Geometry,
    kernel: Kernel,
    atten_mask: torch.Tensor | None,
    block_table: torch.Tensor | None,
    scale: float,
    with_lse: bool,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    packed, axes = _packed(geometry), LAYOUTS[geometry.layout].output
    sizes = {
        "B": geometry.batch,
        "N": geometry.heads,
        "D": geometry.value_dim,
        "H": geometry.heads * geometry.value_dim,
    }
    sizes |= {"S": geometry.seq_q, "T": query.size(1)}
    output = query.new_zeros([sizes[axis] for axis in axes])
    lse_axes = "TN" if packed else "BNS"
    lse = None
    if with_lse:
        lse = query.new_full([sizes[axis] for axis in lse_axes], torch.inf, dtype=torch.float32)
    written = _heads_first(output, axes, geometry.heads)
    for part in _parts(geometry):
        if part.tokens_q == 0 or part.tokens_kv == 0:
            continue
        keys, values = (
            _cached(tensor, block_table, geometry, part)
            if block_table is not None
            else _cut(tensor, packed, part, part.offset_kv, part.tokens_kv)
            for tensor in (key, value)
        )
        queries = _cut(query, packed, part, part.offset_q, part.tokens_q)
        result, part_lse = kernel(queries, keys, values, _masking(atten_mask, geometry, part), scale, with_lse)
        _cut(written, packed, part, part.offset_q, part.tokens_q).copy_(result)
        if lse is not None and part_lse is not None:
            if packed:
                lse[part.offset_q : part.offset_q + part.tokens_q] = part_lse[0].transpose(0, 1)
            else:
                lse[part.first : part.end, :, : part.tokens_q] = part_lse
    return output, None if lse is None else lse.unsqueeze(-1)


def _parts(geometry: Geometry) -> Iterator[_Part]:
    lengths_q = geometry.lengths_q or (geometry.seq_q,) * geometry.batch
    lengths_kv = geometry.lengths_kv or (geometry.seq_kv,) * geometry.batch
    alone = _packed(geometry) or bool(geometry.cache_layout)
    entries = list(zip(lengths_q, lengths_kv))
    first = offset_q = offset_kv = 0
    for (tokens_q, tokens_kv), run in groupby(entries):
        together = len(list(run))
        for number in [1] * together if alone else [together]:
            yield _Part(first, first + number, tokens_q, tokens_kv, offset_q, offset_kv)
            first, offset_q, offset_kv = first + number, offset_q + tokens_q, offset_kv + tokens_kv


def _packed(geometry: Geometry) -> bool:
    return "T" in LAYOUTS[geometry.layout].query


def _uniform(geometry: Geometry) -> bool:
    """Whether every entry has the length of its axis."""
    lengths = ((geometry.lengths_q, geometry.seq_q), (geometry.lengths_kv, geometry.seq_kv))
    return all(given is None or all(length == axis for length in given) for given, axis in lengths)


def _masking(atten_mask: torch.Tensor | None, geometry: Geometry, part: _Part) -> Masking:
    if atten_mask is not None and atten_mask.size(0) > 1:
        atten_mask = atten_mask[part.first : part.end]
    tokens = (geometry.pre_tokens, geometry.next_tokens)
    return masking(atten_mask, geometry.sparse_mode, part.tokens_q, part.tokens_kv, *tokens)


def _cut(tensor: torch.Tensor, packed: bool, part: _Part, offset: int, tokens: int) -> torch.Tensor:
    """The part's [b, N, tokens, D] of [B, N, S, D], or of packed [N, T, D]."""
    if packed:
        return tensor[:, offset : offset + tokens].unsqueeze(0)
    return tensor[part.first : part.end, :, :tokens]


def _cached(cache: torch.Tensor, block_table: torch.Tensor, geometry: Geometry, part: _Part) -> torch.Tensor:
    blocks = block_table[part.first]
    tokens, size = part.tokens_kv, geometry.block_size
    return gather(cache, blocks, tokens, size, geometry.kv_heads, geometry.cache_layout).unsqueeze(0)


def _heads_first(tensor: torch.Tensor, axes: str, heads: int) -> torch.Tensor:
    """A view [B, N, S, D], or packed [N, T, D], of a contiguous tensor with these ``axes``."""
    if axes == "BSH":
        tensor, axes = tensor.unflatten(2, (heads, -1)), "BSND"
    wanted = "NTD" if "T" in axes else "BNSD"
    return tensor.permute([axes.index(axis) for axis in wanted])


def _arranged(result: torch.Tensor, axes: str) -> torch.Tensor:
    """[B, N, S, D] in these ``axes``, contiguous: a copy only where the kernel left it in another order."""
    order = "BSND" if axes == "BSH" else axes
    arranged = result.permute(["BNSD".index(axis) for axis in order]).contiguous()
    return arranged.flatten(2) if axes == "BSH" else arranged
