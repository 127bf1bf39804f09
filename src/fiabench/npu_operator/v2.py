"""`npu_fused_infer_attention_score_v2`: the same operator under other argument names.

Source: op-plugin's `torch_npu-npu_fused_infer_attention_score_v2.md` and `FusedInferAttentionScoreV2`'s kernel there;
both versions end in the same host code of CANN, whose texts keep the first version's names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from fiabench.npu_operator.errors import not_emulated
from fiabench.npu_operator.schema import TOKENS_MAX

Operator = Callable[..., tuple[torch.Tensor, torch.Tensor]]


def v2(first: Operator) -> Operator:
    """The operator of the second version on top of the ``first``."""

    def npu_fused_infer_attention_score_v2(
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        *,
        query_rope: torch.Tensor | None = None,
        key_rope: torch.Tensor | None = None,
        pse_shift: torch.Tensor | None = None,
        atten_mask: torch.Tensor | None = None,
        actual_seq_qlen: Sequence[int] | None = None,
        actual_seq_kvlen: Sequence[int] | None = None,
        block_table: torch.Tensor | None = None,
        num_query_heads: int = 1,
        num_key_value_heads: int = 0,
        softmax_scale: float = 1.0,
        pre_tokens: int = TOKENS_MAX,
        next_tokens: int = TOKENS_MAX,
        input_layout: str = "BSH",
        sparse_mode: int = 0,
        block_size: int = 0,
        inner_precise: int = 0,
        return_softmax_lse: bool = False,
        **unsupported: object,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        for name, given in unsupported.items():
            if name.endswith("_quant_mode"):
                if given != 0:
                    raise not_emulated(f"{name} {given} is not emulated; leave it at 0")
            elif given is not None:
                raise not_emulated(f"{name} is not emulated; leave it at None")
        return first(
            query,
            key,
            value,
            query_rope=query_rope,
            key_rope=key_rope,
            pse_shift=pse_shift,
            atten_mask=atten_mask,
            actual_seq_lengths=actual_seq_qlen,
            actual_seq_lengths_kv=actual_seq_kvlen,
            block_table=block_table,
            num_heads=num_query_heads,
            num_key_value_heads=num_key_value_heads,
            scale=softmax_scale,
            pre_tokens=pre_tokens,
            next_tokens=next_tokens,
            input_layout=input_layout,
            sparse_mode=sparse_mode,
            block_size=block_size,
            inner_precise=inner_precise,
            softmax_lse_flag=return_softmax_lse,
        )

    return npu_fused_infer_attention_score_v2
