"""The calls that both operators are asked for their Meta outputs: made the same in both processes, by product.

Most fit their layout; some have a wrong rank, head count, layout or dtype, which Meta kernels refuse or let pass.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch

from fiabench.npu_operator.schema import FIA, FIA_V2, FUSION, LAYOUTS, PROMPT_FLASH

HALVES = (torch.float16, torch.bfloat16)
SHAPES = tuple(itertools.product((1, 2), (1, 33, 25200), ((4, 4), (8, 2), (10, 5)), ((64, 64), (128, 128), (192, 128))))
"""Batch, query tokens, heads and key heads, head dims of query and value."""
KV_TOKENS = 77


class Spec(NamedTuple):
    """A tensor without data."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    order: tuple[int, ...] | None = None
    """Axes from the slowest in memory to the fastest; None: contiguous."""

    def make(self) -> torch.Tensor:
        if self.order is None:
            return torch.empty(self.shape, dtype=self.dtype, device="meta")
        stored = torch.empty([self.shape[axis] for axis in self.order], dtype=self.dtype, device="meta")
        return stored.permute([self.order.index(axis) for axis in range(len(self.order))])


class Ask(NamedTuple):
    """A call of ``torch.ops.npu``'s operator of that name."""

    operator: str
    positional: tuple[Any, ...]
    named: dict[str, Any]


def asks() -> list[Ask]:
    return [*_fia(), *_fia_v2(), *_prompt_flash(), *_fusion()]


def shape(axes: str, batch: int, tokens: int, heads: int, dim: int) -> tuple[int, ...]:
    sizes = {"B": batch, "N": heads, "S": tokens, "D": dim, "H": heads * dim, "T": batch * tokens}
    return tuple(sizes[axis] for axis in axes)


def _tensors(axes: str, case: tuple[Any, ...], dtype: torch.dtype) -> tuple[Spec, Spec, Spec]:
    batch, tokens, (heads, kv_heads), (dim, value_dim) = case
    return (
        Spec(shape(axes, batch, tokens, heads, dim), dtype),
        Spec(shape(axes, batch, KV_TOKENS, kv_heads, dim), dtype),
        Spec(shape(axes, batch, KV_TOKENS, kv_heads, value_dim), dtype),
    )


def _counts(case: tuple[Any, ...], all_of_them: bool) -> list[tuple[int, int]]:
    """Head counts to pass. Meta kernels do not look at the head axis, so one that is not the tensors' own passes."""
    heads, kv_heads = case[2]
    own = (heads, kv_heads)
    return [own, (heads, 0), (20, kv_heads), (0, 0)] if all_of_them else [own]


def _fia() -> Iterator[Ask]:
    for layout, case, dtype, lse in itertools.product((*LAYOUTS, "SBH", "BNSD_BSH"), SHAPES, HALVES, (True, False)):
        axes = LAYOUTS[layout].query if layout in LAYOUTS else "BNSD"
        for heads, kv_heads in _counts(case, all_of_them=lse and dtype == torch.float16):
            named = {"input_layout": layout, "num_heads": heads, "num_key_value_heads": kv_heads}
            yield Ask(FIA, _tensors(axes, case, dtype), {**named, "softmax_lse_flag": lse})
    for ask in _odd():
        yield Ask(FIA, *ask)
    int8, scale = Spec((2, 4, 8, 64), torch.int8), Spec((1,), torch.float32)
    rope = Spec((2, 4, 8, 64), torch.bfloat16)
    for extra in ({}, {"quant_scale2": scale}, {"query_rope": rope}, {"quant_scale2": scale, "query_rope": rope}):
        yield Ask(FIA, (int8, int8, int8), {"num_heads": 4, "input_layout": "BNSD", **extra})


def _fia_v2() -> Iterator[Ask]:
    names = {
        "num_heads": "num_query_heads",
        "softmax_lse_flag": "return_softmax_lse",
        "quant_scale2": "quant_scale_out",
    }
    for _, positional, named in _fia():
        yield Ask(FIA_V2, positional, {names.get(name, name): value for name, value in named.items()})
    dtypes = (torch.float16, torch.int8, torch.uint8, torch.float8_e4m3fn)
    out_dtypes = (None, *range(8), 11, 15, 23, 24, 285, 290, 291, 292, 296, 297, 9999)
    scale = Spec((1,), torch.float32)
    for dtype, out_dtype, scaled, number in itertools.product(dtypes, out_dtypes, (None, scale), (None, 290)):
        tensor = Spec((2, 4, 8, 64), dtype)
        named = {"num_query_heads": 4, "input_layout": "BNSD", "out_dtype": out_dtype}
        yield Ask(FIA_V2, (tensor,) * 3, {**named, "quant_scale_out": scaled, "query_dtype": number})
    for dtype, number in itertools.product((torch.uint8, torch.int32), (None, 285, 296, 297)):
        query, value = Spec((2, 4, 8, 64), torch.float16), Spec((2, 4, 8, 32), dtype)
        yield Ask(FIA_V2, (query, value, value), {"num_query_heads": 4, "input_layout": "BNSD", "value_dtype": number})
    fp8 = Spec((2, 4, 8, 64), torch.float8_e4m3fn)
    for modes in ((3, 3, 2), (3, 3, 3)):
        quantised = dict(zip(("query_quant_mode", "key_quant_mode", "value_quant_mode"), modes))
        yield Ask(FIA_V2, (fp8,) * 3, {"num_query_heads": 4, "input_layout": "BNSD", **quantised})


def _odd() -> Iterator[tuple[tuple[Spec, ...], dict[str, Any]]]:
    """Wrong ranks, empty tensors, strided ones, paged and packed values: positional tensors and named arguments."""
    for layout, rank, value_rank in itertools.product((*LAYOUTS, "SBH"), (2, 3, 4, 5), (2, 3, 4, 5)):
        query, value = (Spec((2, 4, 8, 16, 32)[:some], torch.float16) for some in (rank, value_rank))
        yield (query, value, value), {"num_heads": 4, "input_layout": layout, "softmax_lse_flag": True}
        table = {"block_table": Spec((2, 4), torch.int32), "block_size": 128}
        yield (query, value, value), {"num_heads": 4, "num_key_value_heads": 2, "input_layout": layout, **table}
    for layout, empty in itertools.product(LAYOUTS, range(4)):
        axes = LAYOUTS[layout].query
        sizes = list(shape(axes, 2, 8, 4, 16))
        full = Spec(tuple(sizes), torch.bfloat16)
        sizes[min(empty, len(sizes) - 1)] = 0
        hollow = Spec(tuple(sizes), torch.bfloat16)
        for positional in ((hollow, full, full), (full, full, hollow), (hollow, hollow, hollow)):
            yield positional, {"num_heads": 4, "input_layout": layout, "softmax_lse_flag": True}
        packed = Spec(shape(axes, 2, 8, 4, 2), torch.int32)
        yield (full, packed, packed), {"num_heads": 4, "input_layout": layout}
    strided = Spec((2, 4, 8, 16), torch.bfloat16, (0, 2, 1, 3))
    for layout in ("BNSD", "BSND", "BNSD_BSND", "BNSD_NBSD"):
        yield (strided,) * 3, {"num_heads": 4, "input_layout": layout, "softmax_lse_flag": True}


def _prompt_flash() -> Iterator[Ask]:
    layouts = ("BSH", "BSND", "BNSD", "BNSD_BSND", "TND", "NSD", "SH", "SBH")
    for layout, case, dtype in itertools.product(layouts, SHAPES, HALVES):
        axes = layout.partition("_")[0]
        for heads, kv_heads in _counts(case, all_of_them=dtype == torch.float16):
            named = {"input_layout": layout, "num_heads": heads, "num_key_value_heads": kv_heads}
            yield Ask(PROMPT_FLASH, _tensors(axes, case, dtype), named)
    for layout, rank, value_rank in itertools.product(layouts, (1, 2, 3, 4, 5), (2, 3, 4)):
        query, value = (Spec((2, 4, 8, 16, 32)[:some], torch.float16) for some in (rank, value_rank))
        yield Ask(PROMPT_FLASH, (query, value, value), {"num_heads": 4, "input_layout": layout})
    strided = Spec((2, 4, 8, 16), torch.bfloat16, (0, 2, 1, 3))
    int8, scale = Spec((2, 4, 8, 64), torch.int8), Spec((1,), torch.float32)
    for layout in ("BNSD", "BNSD_BSND"):
        yield Ask(PROMPT_FLASH, (strided,) * 3, {"input_layout": layout})
        for extra in ({}, {"quant_scale2": scale}):
            yield Ask(PROMPT_FLASH, (int8,) * 3, {"input_layout": layout, **extra})
            yield Ask(PROMPT_FLASH, (strided,) * 3, {"input_layout": layout, **extra})


def _fusion() -> Iterator[Ask]:
    layouts = ("BSH", "SBH", "BSND", "BNSD", "TND")
    for layout, case, dtype in itertools.product(layouts, SHAPES, (*HALVES, torch.float32)):
        heads, _ = case[2]
        for passed in (heads, 20, 3):
            yield Ask(FUSION, (*_tensors(layout, case, dtype), passed, layout), {"scale": 0.125})
    for layout, rank, heads in itertools.product((*layouts, "bnsd", "NSD"), (1, 2, 3, 4), (4, 0, 5)):
        tensor = Spec((2, 4, 8, 16)[:rank], torch.float16)
        yield Ask(FUSION, (tensor, tensor, tensor, heads, layout), {})
    for layout, hollow in itertools.product(layouts, range(3)):
        sizes = list(shape(layout, 2, 8, 4, 16))
        full = Spec(tuple(sizes), torch.float16)
        sizes[hollow] = 0
        empty = Spec(tuple(sizes), torch.float16)
        yield Ask(FUSION, (empty, full, full, 4, layout), {})
        yield Ask(FUSION, (full, empty, empty, 4, layout), {})
    mask = Spec((2048, 2048), torch.bool)
    for layout, mode in itertools.product(layouts, (0, 2, 3, 4)):
        tensors = _tensors(layout, (2, 33, (8, 2), (64, 64)), torch.bfloat16)
        lengths = {"actual_seq_qlen": [33, 66], "actual_seq_kvlen": [77, 154]} if layout == "TND" else {}
        yield Ask(FUSION, (*tensors, 8, layout), {"atten_mask": mask, "sparse_mode": mode, **lengths})
