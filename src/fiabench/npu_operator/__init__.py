"""The NPU's fused-infer attention, wherever this runs.

Importing this package is all it takes to have ``torch.ops.npu.npu_fused_infer_attention_score``: torch_npu's own
where torch_npu can be imported, else one with the same schema, checks and error texts on torch's CPU and CUDA
kernels. Import it before anything else defines operators in torch's `npu` namespace, and never import torch_npu by
hand afterwards.

Provided: layouts BNSD and BSND; sparse_mode 0 without a mask or with one, 2 and 3; grouped query heads; the
log-sum-exp. Everything else is refused by name. Meta shapes cover every layout.
"""

from __future__ import annotations

from fiabench.npu_operator.provider import provide

__all__ = ["describe", "provided"]

_PROVIDER = provide()


def provided() -> bool:
    """Whether the operator is fiabench's own, emulated on the CPU or CUDA."""
    return _PROVIDER.emulated


def describe() -> dict[str, str | None]:
    """Who provides the operator, for the fingerprint of a run.

    ``provided_by``: `torch_npu <version>`, `fiabench (emulated)` or `another registration in this process`.
    ``reason``: why torch_npu, though found, does not provide it; else None.
    """
    return {"provided_by": _PROVIDER.name, "reason": _PROVIDER.reason}
