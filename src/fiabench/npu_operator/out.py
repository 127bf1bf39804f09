"""The `.out` overloads, which fill tensors that the caller gives, and the workspaces that go with them.

Callers capture graphs with them: `_npu_fused_infer_attention_score_get_max_workspace`, then `.out` with that
workspace. Off the NPU nothing needs one, so it is empty, and whatever is given is left alone.

Source of what the tensors must be: `arch22/fused_infer_attention_score_tiling_check_consistency.cpp` in
ops-transformer (`CheckAttenOut`, `CheckSoftmaxLse`). Without its flag softmax_lse is not looked at: CANN's
`FusedInferAttentionScoreProcessSoftmaxLse` puts a tensor of its own in its place, and callers pass whatever they have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from fiabench.npu_operator.errors import not_emulated, tiling_error
from fiabench.npu_operator.schema import LAYOUTS
from fiabench.npu_operator.shapes import compare_shape
from fiabench.npu_operator.single_checks import dtype_name

Operator = Callable[..., tuple[torch.Tensor, torch.Tensor]]

_FILE = "fused_infer_attention_score_tiling_check_consistency.cpp"


def into_given(operator: Operator, lse_flag: str) -> Operator:
    """The overload of ``operator`` that writes to ``out``; ``lse_flag`` names the argument that asks for the lse.

    The results are computed first and copied then, so every other check comes before those of ``out``.
    """

    def overload(
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        *,
        out: Sequence[torch.Tensor],
        workspace: torch.Tensor | None = None,
        input_layout: str = "BSH",
        **arguments: object,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        del workspace
        if len(out) != 2:
            raise not_emulated(f"out must hold two tensors, attention_out and softmax_lse, but holds {len(out)}")
        results = operator(query, key, value, input_layout=input_layout, **arguments)
        attention_out, softmax_lse = out
        axes = LAYOUTS[input_layout].output
        compare_shape("CheckAttenOut", "attention_out", axes, attention_out.shape, results[0].shape)
        if attention_out.dtype != results[0].dtype:
            raise not_emulated(f"attention_out's dtype is {attention_out.dtype}, it should be {results[0].dtype}")
        if arguments.get(lse_flag, False):
            if softmax_lse.dtype != torch.float32:
                text = f"only support dtype FLOAT32, but got {dtype_name(softmax_lse)}"
                raise tiling_error(text, "CheckSoftmaxLseDType", _FILE)
            axes = "TN1" if "T" in axes else "BNS11"
            compare_shape("CheckSoftmaxLseShape", "softmax_lse", axes, softmax_lse.shape, results[1].shape)
            softmax_lse.copy_(results[1])
        attention_out.copy_(results[0])
        return attention_out, softmax_lse

    return overload


def no_workspace(query: torch.Tensor, *others: object, **more: object) -> torch.Tensor:
    """The workspace that the provided operator needs: none. Of the query's dtype, as the real one."""
    del others, more
    return query.new_empty(0)
