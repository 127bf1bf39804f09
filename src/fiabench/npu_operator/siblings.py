"""The fused-infer operator's siblings: `npu_prompt_flash_attention` and the forward of `npu_fusion_attention`.

Both share its masks (True hides) and its sparse modes 0 to 4; they differ in names, defaults and in what no mask
means. Sources: `torch_npu-npu_prompt_flash_attention.md` and `torch_npu-npu_fusion_attention.md` in Ascend/op-plugin
(docs/zh/custom_APIs/torch_npu), and `FlashAttentionKernelNpuOpApi.cpp` there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch

from fiabench.npu_operator.attend import Kernel, attend
from fiabench.npu_operator.contiguity import contiguous
from fiabench.npu_operator.errors import not_emulated
from fiabench.npu_operator.masking import four_axes
from fiabench.npu_operator.parse import Geometry
from fiabench.npu_operator.schema import TOKENS_MAX
from fiabench.npu_operator.sibling_checks import (
    check_dtypes,
    check_fusion_plugin,
    check_heads,
    check_mask,
    packed_lengths,
    padded_lengths,
    read,
    refuse_given,
    refuse_gradients,
)

OptionalTensor: TypeAlias = torch.Tensor | None
OptionalInts: TypeAlias = Sequence[int] | None
FusionOutputs: TypeAlias = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, int, int, int]

_HIGH_PRECISION = 10
"""Added to a sparse mode of prompt flash attention it asks for the precise arithmetic, the only one here."""

_STATISTICS = 8
"""Copies of each row's maximum and sum, as the NPU stores them."""


def prompt_flash_attention(kernel: Kernel) -> Callable[..., torch.Tensor]:
    """`npu_prompt_flash_attention` on top of ``kernel``, ready for torch.library.

    ``next_tokens`` is 0 by default: a full mask in sparse mode 0 then hides the keys past the query's own position
    too. Without a mask mode 0 shows every key, whatever the tokens. Queries and keys past ``actual_seq_lengths`` take
    no part; such a query gives zeros.
    """

    def npu_prompt_flash_attention(
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        *,
        atten_mask: OptionalTensor = None,
        actual_seq_lengths: OptionalInts = None,
        num_heads: int = 1,
        scale_value: float = 1.0,
        pre_tokens: int = TOKENS_MAX,
        next_tokens: int = 0,
        input_layout: str = "BSH",
        num_key_value_heads: int = 0,
        actual_seq_lengths_kv: OptionalInts = None,
        sparse_mode: int = 0,
        **unsupported: OptionalTensor,
    ) -> torch.Tensor:
        refuse_given(unsupported)
        if input_layout not in ("BSH", "BSND", "BNSD", "BNSD_BSND"):
            raise not_emulated(f"input_layout {input_layout} is not emulated; supported: BSH, BSND, BNSD, BNSD_BSND")
        check_dtypes(query, key, value, (torch.float16, torch.bfloat16))
        kv_heads = num_key_value_heads or num_heads
        check_heads(num_heads, kv_heads)
        sizes = read(query, key, value, input_layout, num_heads, kv_heads, most=512)
        if sizes.value_dim != sizes.head_dim:
            raise not_emulated(f"value's head dim {sizes.value_dim} must be the query's, {sizes.head_dim}")
        mode = sparse_mode - _HIGH_PRECISION if sparse_mode >= _HIGH_PRECISION else sparse_mode
        check_mask(atten_mask, mode, sizes, with_heads=False)
        if mode != 0 and atten_mask is None:
            raise not_emulated(f"sparse_mode {sparse_mode} needs atten_mask")
        geometry = sizes._replace(
            sparse_mode=mode,
            pre_tokens=pre_tokens,
            next_tokens=next_tokens,
            lengths_q=padded_lengths("actual_seq_lengths", actual_seq_lengths, sizes.batch, sizes.seq_q),
            lengths_kv=padded_lengths("actual_seq_lengths_kv", actual_seq_lengths_kv, sizes.batch, sizes.seq_kv),
        )
        output, _ = attend(
            query,
            key,
            value,
            geometry,
            kernel,
            atten_mask=None if atten_mask is None else four_axes(atten_mask, by_batch=False),
            block_table=None,
            scale=scale_value,
            with_lse=False,
        )
        return output

    return npu_prompt_flash_attention


def fusion_attention(kernel: Kernel) -> Callable[..., FusionOutputs]:
    """The forward of `npu_fusion_attention` on top of ``kernel``, without dropout, ready for torch.library.

    Without a mask every key is seen, whatever ``sparse_mode`` and the tokens. What hides keys may have a head axis.

    Of softmax_max and softmax_sum only what they say together is the NPU's: max + log(sum) is the row's log-sum-exp,
    by which partial results are merged. torch's kernels return no maximum, so here softmax_max **is** the
    log-sum-exp and softmax_sum 1; of a row without keys they are the smallest float and 0, so that it weighs nothing.
    """

    def npu_fusion_attention(
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        head_num: int,
        input_layout: str,
        pse: OptionalTensor = None,
        padding_mask: OptionalTensor = None,
        atten_mask: OptionalTensor = None,
        scale: float = 1.0,
        keep_prob: float = 1.0,
        pre_tockens: int = TOKENS_MAX,
        next_tockens: int = TOKENS_MAX,
        inner_precise: int = 0,
        prefix: OptionalInts = None,
        actual_seq_qlen: OptionalInts = None,
        actual_seq_kvlen: OptionalInts = None,
        sparse_mode: int = 0,
        gen_mask_parallel: bool = True,
        sync: bool = False,
        softmax_layout: str = "",
        sink: OptionalTensor = None,
        dropout_mask: OptionalTensor = None,
        seed: int = 0,
        offset: int = 0,
    ) -> FusionOutputs:
        del inner_precise, gen_mask_parallel, sync  # How precisely, and how dropout's mask is made.
        tensors = {"query": query, "key": key, "value": value}
        lengths = (actual_seq_qlen, actual_seq_kvlen)
        check_fusion_plugin(tensors, head_num, input_layout, keep_prob, sparse_mode, softmax_layout, lengths)
        given = {"pse": pse, "padding_mask": padding_mask, "prefix": prefix, "sink": sink}
        refuse_given({**given, "dropout_mask": dropout_mask})
        if keep_prob != 1:
            raise not_emulated(f"keep_prob {keep_prob} (dropout) is not emulated; leave it at 1.0")
        refuse_gradients(query, key, value)
        # torch's fused kernels take float32 on the CPU only.
        dtypes = (torch.float16, torch.bfloat16) if query.is_cuda else (torch.float16, torch.bfloat16, torch.float32)
        check_dtypes(query, key, value, dtypes)
        layout = input_layout.upper()
        if layout == "SBH":
            # Copies of the emulation, not counted: the NPU reads this layout as it stands.
            query, key, value = (
                contiguous(name, tensor).transpose(0, 1).contiguous() for name, tensor in tensors.items()
            )
        axes = "BSH" if layout == "SBH" else layout
        kv_heads = key.size(2) // max(1, query.size(2) // head_num) if axes == "BSH" else key.size(axes.index("N"))
        check_heads(head_num, kv_heads)
        sizes = read(query, key, value, axes, head_num, kv_heads, most=768)
        geometry = sizes._replace(
            # Without a mask every key is seen.
            sparse_mode=0 if atten_mask is None else sparse_mode,
            pre_tokens=pre_tockens,
            next_tokens=next_tockens,
        )
        pairs = sizes.batch * sizes.seq_q * sizes.seq_kv
        if layout == "TND":
            geometry, pairs = _packed(geometry, actual_seq_qlen or (), actual_seq_kvlen or ())
        elif actual_seq_qlen or actual_seq_kvlen:
            raise not_emulated(f"actual_seq_qlen and actual_seq_kvlen are for layout TND, not {layout}")
        if layout == "TND" and atten_mask is not None and atten_mask.dim() != 2:
            raise not_emulated(f"layout TND takes a mask of 2 axes, but it has {atten_mask.dim()}")
        check_mask(atten_mask, sparse_mode, geometry, with_heads=True)
        output, lse = attend(
            query,
            key,
            value,
            geometry,
            kernel,
            atten_mask=None if atten_mask is None else four_axes(atten_mask, by_batch=False),
            block_table=None,
            scale=scale,
            with_lse=True,
        )
        assert lse is not None
        if layout == "TND" and softmax_layout != "TND":
            lse = _sequence_by_sequence(lse, geometry.lengths_q or ())
        if layout == "SBH":
            output = output.transpose(0, 1).contiguous()
        # +inf, or on the path for decoding the smallest float: a row that sees no key.
        empty = lse.abs() > 3e38
        largest = lse.masked_fill(empty, torch.finfo(torch.float32).min)
        total = (~empty).float()
        largest, total = (stored.expand(*lse.shape[:-1], _STATISTICS).contiguous() for stored in (largest, total))
        return output, largest, total, output.new_empty(0), seed, offset, head_num * pairs

    return npu_fusion_attention


def _packed(geometry: Geometry, ends: Sequence[int], ends_kv: Sequence[int]) -> tuple[Geometry, int]:
    """The geometry of packed sequences, and how many pairs of a query and a key there are.

    Trailing zeros stand for sequences that are left out; tokens of none give zeros.
    """
    count = max((place + 1 for place, end in enumerate(ends) if end), default=0)
    lengths = packed_lengths("actual_seq_qlen", ends, count, geometry.seq_q)
    lengths_kv = packed_lengths("actual_seq_kvlen", ends_kv, count, geometry.seq_kv)
    geometry = geometry._replace(
        batch=count,
        seq_q=max(lengths, default=0),
        seq_kv=max(lengths_kv, default=0),
        lengths_q=lengths,
        lengths_kv=lengths_kv,
    )
    return geometry, sum(queries * keys for queries, keys in zip(lengths, lengths_kv))


def _sequence_by_sequence(rows: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
    """[T, N, 1] numbers in the order of the NPU, which is not the shape's: within each sequence heads come before
    tokens."""
    tokens = rows.size(0)
    parts = rows.split([*lengths, tokens - sum(lengths)])
    return torch.cat([part.transpose(0, 1).flatten() for part in parts]).view(rows.shape)
