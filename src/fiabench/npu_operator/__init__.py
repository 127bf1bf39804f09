"""The NPU's fused-infer attention and its siblings, wherever this runs.

Importing this package is all it takes to have these operators under ``torch.ops.npu``: torch_npu's own where torch_npu
can be imported, else ones with the same schemas, Meta outputs and error texts on torch's CPU and CUDA kernels. Import
it before anything else defines operators in torch's `npu` namespace, and never import torch_npu by hand afterwards.

- `npu_fused_infer_attention_score` and `npu_fused_infer_attention_score_v2`, each with `.out` and the operator that
  tells the size of its workspace: unquantised inference in every layout, sparse modes 0 to 4, lengths, paged keys
  and values, grouped query heads, the log-sum-exp.
- `npu_prompt_flash_attention`, and `npu_fusion_attention` forwards without dropout.

What is not provided is refused by name.
"""

from __future__ import annotations

from fiabench.npu_operator.provider import has, provide

__all__ = ["describe", "has", "provided"]

_PROVIDER = provide()


def provided() -> bool:
    """Whether the operators are fiabench's own, emulated on the CPU or CUDA."""
    return _PROVIDER.emulated


def describe() -> dict[str, str | None]:
    """Who provides the operators, for the fingerprint of a run.

    ``provided_by``: `torch_npu <version>`, `fiabench (emulated)` or `another registration in this process`.
    ``reason``: why torch_npu, though found, does not provide them, or that the first of them is missing; else None.
    """
    return {"provided_by": _PROVIDER.name, "reason": _PROVIDER.reason}
