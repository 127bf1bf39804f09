"""A refusal under the name of the function that was called.

CANN's texts are the same for every function that ends in its fused-infer operator; the first line of the error names
the function of torch_npu and the API of CANN. Sources: op-plugin's `FusedInferAttentionScoreKernelNpuOpApi.cpp` and
`FusedInferAttentionScoreV2KernelNpuOpApi.cpp`, whose v2 ends in `aclnnFusedInferAttentionScoreV4`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

Operator = Callable[..., tuple[torch.Tensor, torch.Tensor]]

_FUNCTION = "npu_fused_infer_attention_score_symint"
_API = "aclnnFusedInferAttentionScoreV3"


def refusing_as(function: str, api: str, operator: Operator) -> Operator:
    """``operator`` with refusals that name ``function`` and ``api``."""

    def call(*arguments: object, **named: object) -> tuple[torch.Tensor, torch.Tensor]:
        try:
            return operator(*arguments, **named)
        except RuntimeError as error:
            if not str(error).startswith(_FUNCTION):
                raise
            text = str(error).replace(_FUNCTION, function).replace(_API, api)
        raise RuntimeError(text)

    return call
