"""What the siblings of the fused-infer operator take, off the NPU.

Texts that torch_npu has itself come from Ascend/op-plugin, `op_plugin/ops/opapi/FlashAttentionKernelNpuOpApi.cpp`.
Those of CANN behind it are not reproduced: such a refusal begins `fiabench:`. What is refused follows op-plugin's
`torch_npu-npu_prompt_flash_attention.md` and `torch_npu-npu_fusion_attention.md`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch

from fiabench.npu_operator.errors import not_emulated, plugin_error
from fiabench.npu_operator.mask_checks import COMPRESSED
from fiabench.npu_operator.parse import Geometry
from fiabench.npu_operator.schema import LAYOUTS
from fiabench.npu_operator.shapes import bracket

_MASK_DTYPES = (torch.bool, torch.int8, torch.uint8)
_MOST_HEADS = 256
_MOST_HEADS_TO_ONE = 64


def refuse_given(arguments: Mapping[str, object]) -> None:
    """Refuse by name each optional argument that is given. Raises RuntimeError, as all here."""
    for name, value in arguments.items():
        if value is not None:
            raise not_emulated(f"{name} is not emulated; leave it at None")


def refuse_gradients(*tensors: torch.Tensor) -> None:
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        raise not_emulated("gradients are not emulated; call it under torch.no_grad()")


def check_fusion_plugin(
    tensors: Mapping[str, torch.Tensor],
    head_num: int,
    input_layout: str,
    keep_prob: float,
    sparse_mode: int,
    softmax_layout: str,
    lengths: tuple[Sequence[int] | None, Sequence[int] | None],
) -> None:
    """torch_npu's own checks of `npu_fusion_attention`, in its order and words."""
    if head_num <= 0:
        raise plugin_error(f"head_num must > 0, but got {head_num}")
    for name, tensor in tensors.items():
        if tensor.dim() not in (3, 4):
            raise plugin_error(
                f"The shapes of the input {name} should be 3 or 4 dimensional, but got {tensor.dim()}-dimensional"
            )
    if not 0 < keep_prob <= 1:
        raise plugin_error(f"The keep_prob value must be in range of (0, 1], but got {keep_prob:g}")
    if softmax_layout not in ("TND", ""):
        raise plugin_error("only supported softmax_layout=TND")
    if softmax_layout == "TND" and input_layout != "TND":
        raise plugin_error("softmax_layout=TND only supported when input_layout_str=TND")
    if input_layout == "TND":
        if sparse_mode not in (0, 1, 2, 3, 4, 6, 7, 8):
            raise plugin_error(f"The sparse_mode value must be in range of [0,5) or (5,8], but got {sparse_mode}")
        if not (lengths[0] and lengths[1] and len(lengths[0]) == len(lengths[1])):
            raise plugin_error("the size of actual_seq_qlen and actual_seq_kvlen must be the same and cannot be empty.")
    elif not 0 <= sparse_mode <= 6:
        raise plugin_error(f"The sparse_mode value must be in range of [0,6], but got {sparse_mode}")
    if input_layout.upper() not in ("BSH", "SBH", "BNSD", "BSND", "TND"):
        raise plugin_error(
            f"The input_layout should be BSH/SBH/BNSD/BSND/TND(case-insensitive), but got {input_layout}"
        )


def check_dtypes(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, allowed: Sequence[torch.dtype]) -> None:
    if query.dtype not in allowed or not query.dtype == key.dtype == value.dtype:
        given = ", ".join(str(tensor.dtype).removeprefix("torch.") for tensor in (query, key, value))
        wanted = ", ".join(str(dtype).removeprefix("torch.") for dtype in allowed)
        raise not_emulated(f"query, key and value must have one dtype of {wanted}, but have {given}")


def check_heads(heads: int, kv_heads: int) -> None:
    ratio = heads // kv_heads if kv_heads > 0 else 0
    if heads > _MOST_HEADS or not 1 <= ratio <= _MOST_HEADS_TO_ONE or heads % kv_heads:
        raise not_emulated(
            f"{heads} heads over {kv_heads} key heads: there must be 1 to {_MOST_HEADS}, a multiple of the key heads "
            f"and at most {_MOST_HEADS_TO_ONE} times as many"
        )


def read(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layout: str, heads: int, kv_heads: int, most: int
) -> Geometry:
    """The call's sizes, once the tensors fit the head counts and each other; ``most`` is the largest head dim.

    Value's head dim may be smaller than the others'. Lengths and masks are not looked at.
    """
    axes = LAYOUTS[layout].query
    counts = {"query": heads, "key": kv_heads, "value": kv_heads}
    sizes = {
        name: _sizes(name, tensor, axes, counts[name])
        for name, tensor in (("query", query), ("key", key), ("value", value))
    }
    batch, seq_q, head_dim = (sizes["query"][axis] for axis in "BSD")
    seq_kv, value_dim = sizes["key"]["S"], sizes["value"]["D"]
    fits = head_dim == sizes["key"]["D"] >= value_dim and head_dim <= most and sizes["value"]["S"] == seq_kv
    if not fits or {size["B"] for size in sizes.values()} != {batch}:
        shapes = ", ".join(bracket(tensor.shape) for tensor in (query, key, value))
        raise not_emulated(
            f"query, key and value are {shapes}, layout {layout}: batches, key's and value's tokens and the head dims "
            f"must agree, no head dim be above {most}, only value's may be smaller"
        )
    return Geometry(
        layout=layout,
        batch=batch,
        heads=heads,
        kv_heads=kv_heads,
        seq_q=seq_q,
        seq_kv=seq_kv,
        head_dim=head_dim,
        value_dim=value_dim,
        sparse_mode=0,
        pre_tokens=0,
        next_tokens=0,
        lengths_q=None,
        lengths_kv=None,
        block_size=0,
        cache_layout="",
    )


def _sizes(name: str, tensor: torch.Tensor, axes: str, heads: int) -> dict[str, int]:
    """Sizes of the axes B, N, S and D; packed tokens count as one entry's."""
    if tensor.dim() != len(axes):
        raise not_emulated(f"{name} {bracket(tensor.shape)} is not of layout {axes}")
    sizes = dict(zip(axes, tensor.shape))
    if "H" in sizes:
        if sizes["H"] % heads:
            raise not_emulated(f"{name} {bracket(tensor.shape)}: axis H is no multiple of {heads} heads")
        sizes |= {"N": heads, "D": sizes["H"] // heads}
    if "T" in sizes:
        sizes |= {"B": 1, "S": sizes["T"]}
    if sizes["N"] != heads:
        raise not_emulated(
            f"{name} {bracket(tensor.shape)} in {axes} has {sizes['N']} heads, but the call says {heads}"
        )
    return sizes


def check_mask(atten_mask: torch.Tensor | None, sparse_mode: int, sizes: Geometry, with_heads: bool) -> None:
    """Modes 0 and 1 take a mask of Sq x Skv or more, behind axes of 1 or B, and of 1 or, ``with_heads``, N; modes 2
    to 4 the compressed one."""
    if sparse_mode not in (0, 1, 2, 3, 4):
        raise not_emulated(f"sparse_mode {sparse_mode} is not emulated; supported: 0, 1, 2, 3, 4")
    if atten_mask is None:
        return
    if atten_mask.dtype not in _MASK_DTYPES:
        raise not_emulated(f"atten_mask must be bool, int8 or uint8, but is {atten_mask.dtype}")
    leading, last = tuple(atten_mask.shape[:-2]), tuple(atten_mask.shape[-2:])
    if sparse_mode > 1:
        if last != (COMPRESSED, COMPRESSED) or leading not in ((), (1,), (1, 1)):
            raise not_emulated(
                f"sparse_mode {sparse_mode} takes a mask of 2048 x 2048, but it is {bracket(atten_mask.shape)}"
            )
        return
    batch, heads = sizes.batch, sizes.heads
    allowed = {(), (1, 1), (batch, 1)}
    allowed |= {(batch, heads)} if with_heads else {(1,), (batch,)}
    if leading not in allowed or last[0] < sizes.seq_q or last[1] < sizes.seq_kv:
        raise not_emulated(
            f"atten_mask {bracket(atten_mask.shape)} does not fit batch {batch}, {heads} heads, {sizes.seq_q} queries "
            f"and {sizes.seq_kv} keys"
        )


def padded_lengths(name: str, lengths: Sequence[int] | None, batch: int, most: int) -> tuple[int, ...] | None:
    """Lengths of a batch padded to ``most`` tokens: of more than entries the first count, a single one is every
    entry's."""
    if lengths is None:
        return None
    if len(lengths) == 1:
        lengths = list(lengths) * batch
    if len(lengths) < batch or not all(0 <= length <= most for length in lengths[:batch]):
        raise not_emulated(f"{name} must be one or {batch} lengths from 0 to {most}, but is {list(lengths)}")
    return tuple(lengths[:batch])


def packed_lengths(name: str, ends: Sequence[int], count: int, tokens: int) -> tuple[int, ...]:
    """Lengths of the first ``count`` packed sequences from where each ends among so many ``tokens``."""
    bounds = [0, *ends[:count]]
    if bounds != sorted(bounds) or bounds[-1] > tokens:
        raise not_emulated(f"{name} must grow and end within {tokens} tokens, but is {list(ends)}")
    return tuple(end - start for start, end in pairwise(bounds))
