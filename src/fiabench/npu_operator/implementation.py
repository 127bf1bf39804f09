"""The provided operator: refusals and checks, then attention.

torch.library hands a Python implementation only the arguments that the caller passed, so each signature here
declares every default of the schema.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch

from fiabench.npu_operator.attend import Kernel, attend
from fiabench.npu_operator.checks import check_host, check_plugin
from fiabench.npu_operator.kernels import attention_cpu, attention_cuda
from fiabench.npu_operator.refusals import refuse_arguments
from fiabench.npu_operator.schema import TOKENS_MAX

OptionalTensor: TypeAlias = torch.Tensor | None
OptionalInts: TypeAlias = Sequence[int] | None


def implementation(kernel: Kernel) -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
    """The operator on top of ``kernel``, ready for torch.library."""

    def npu_fused_infer_attention_score(
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        *,
        pse_shift: OptionalTensor = None,
        atten_mask: OptionalTensor = None,
        actual_seq_lengths: OptionalInts = None,
        actual_seq_lengths_kv: OptionalInts = None,
        dequant_scale1: OptionalTensor = None,
        quant_scale1: OptionalTensor = None,
        dequant_scale2: OptionalTensor = None,
        quant_scale2: OptionalTensor = None,
        quant_offset2: OptionalTensor = None,
        antiquant_scale: OptionalTensor = None,
        antiquant_offset: OptionalTensor = None,
        key_antiquant_scale: OptionalTensor = None,
        key_antiquant_offset: OptionalTensor = None,
        value_antiquant_scale: OptionalTensor = None,
        value_antiquant_offset: OptionalTensor = None,
        block_table: OptionalTensor = None,
        query_padding_size: OptionalTensor = None,
        kv_padding_size: OptionalTensor = None,
        key_shared_prefix: OptionalTensor = None,
        value_shared_prefix: OptionalTensor = None,
        actual_shared_prefix_len: OptionalInts = None,
        query_rope: OptionalTensor = None,
        key_rope: OptionalTensor = None,
        key_rope_antiquant_scale: OptionalTensor = None,
        num_heads: int = 1,
        scale: float = 1.0,
        pre_tokens: int = TOKENS_MAX,
        next_tokens: int = TOKENS_MAX,
        input_layout: str = "BSH",
        num_key_value_heads: int = 0,
        sparse_mode: int = 0,
        inner_precise: int = 0,
        block_size: int = 0,
        antiquant_mode: int = 0,
        key_antiquant_mode: int = 0,
        value_antiquant_mode: int = 0,
        softmax_lse_flag: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        check_plugin(query, value, num_heads, input_layout, block_table)
        refuse_arguments(
            {
                "pse_shift": pse_shift,
                "dequant_scale1": dequant_scale1,
                "quant_scale1": quant_scale1,
                "dequant_scale2": dequant_scale2,
                "quant_scale2": quant_scale2,
                "quant_offset2": quant_offset2,
                "antiquant_scale": antiquant_scale,
                "antiquant_offset": antiquant_offset,
                "key_antiquant_scale": key_antiquant_scale,
                "key_antiquant_offset": key_antiquant_offset,
                "value_antiquant_scale": value_antiquant_scale,
                "value_antiquant_offset": value_antiquant_offset,
                "query_padding_size": query_padding_size,
                "kv_padding_size": kv_padding_size,
                "key_shared_prefix": key_shared_prefix,
                "value_shared_prefix": value_shared_prefix,
                "actual_shared_prefix_len": actual_shared_prefix_len,
                "query_rope": query_rope,
                "key_rope": key_rope,
                "key_rope_antiquant_scale": key_rope_antiquant_scale,
            },
            {
                "antiquant_mode": antiquant_mode,
                "key_antiquant_mode": key_antiquant_mode,
                "value_antiquant_mode": value_antiquant_mode,
            },
            input_layout,
            query,
            key,
        )
        geometry = check_host(
            query,
            key,
            value,
            atten_mask,
            num_heads=num_heads,
            num_key_value_heads=num_key_value_heads,
            input_layout=input_layout,
            sparse_mode=sparse_mode,
            pre_tokens=pre_tokens,
            next_tokens=next_tokens,
            inner_precise=inner_precise,
            actual_seq_lengths=actual_seq_lengths,
            actual_seq_lengths_kv=actual_seq_lengths_kv,
            block_table=block_table,
            block_size=block_size,
            softmax_lse_flag=softmax_lse_flag,
        )
        output, lse = attend(
            query,
            key,
            value,
            geometry,
            kernel,
            atten_mask=atten_mask,
            block_table=block_table,
            scale=scale,
            with_lse=softmax_lse_flag,
        )
        return output, output.new_empty(0, dtype=torch.float32) if lse is None else lse

    return npu_fused_infer_attention_score


cpu = implementation(attention_cpu)
cuda = implementation(attention_cuda)
