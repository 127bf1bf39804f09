"""What is registered for each provided operator, by torch's dispatch key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fiabench.npu_operator import implementation, meta, siblings
from fiabench.npu_operator.attend import Kernel
from fiabench.npu_operator.envelope import refusing_as
from fiabench.npu_operator.kernels import attention_cpu, attention_cuda
from fiabench.npu_operator.out import into_given, no_workspace
from fiabench.npu_operator.schema import FIA, FIA_V2, FIA_V2_WORKSPACE, FIA_WORKSPACE, FUSION, PROMPT_FLASH
from fiabench.npu_operator.v2 import v2

META: dict[str, Callable[..., Any]] = {
    FIA: meta.fused_infer_attention_score,
    FIA_V2: meta.fused_infer_attention_score_v2,
    PROMPT_FLASH: meta.prompt_flash_attention,
    FUSION: meta.fusion_attention,
}
"""As torch_npu: the `.out` overloads and the workspaces have none."""


def kernels() -> dict[str, dict[str, Callable[..., Any]]]:
    """For each dispatch key, the functions by operator name."""
    return {
        "CPU": _computing(implementation.cpu, attention_cpu),
        "CUDA": _computing(implementation.cuda, attention_cuda),
        "Meta": dict(META),
    }


def _computing(fia: Callable[..., Any], kernel: Kernel) -> dict[str, Callable[..., Any]]:
    second = v2(fia)
    given = into_given(fia, "softmax_lse_flag")
    given_v2 = into_given(second, "return_softmax_lse")
    return {
        FIA: fia,
        f"{FIA}.out": refusing_as(f"{FIA}_out_symint", "aclnnFusedInferAttentionScoreV3", given),
        FIA_WORKSPACE: no_workspace,
        FIA_V2: refusing_as(f"{FIA_V2}_symint", "aclnnFusedInferAttentionScoreV4", second),
        f"{FIA_V2}.out": refusing_as(f"{FIA_V2}_out_symint", "aclnnFusedInferAttentionScoreV4", given_v2),
        FIA_V2_WORKSPACE: no_workspace,
        PROMPT_FLASH: siblings.prompt_flash_attention(kernel),
        FUSION: siblings.fusion_attention(kernel),
    }
