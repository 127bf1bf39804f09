"""sglang's AscendFAImpl, the attention layer that calls the fused-infer attention of the NPU.

Taken from ``sglang/multimodal_gen/runtime/layers/attention/backends/ascend_fa.py`` of a checkout or an unpacked wheel,
releases 0.5.10 to 0.5.23 tried. It is constructed and called as sglang's attention layers do: the constructor gets the
model's heads on one tensor-parallel rank, ``forward`` the local tensors that Ulysses leaves. Releases up to 0.5.10
pass the constructor's count to the operator and are refused by it (sglang's pull request 23572).

Not run: the ``__init__`` of sglang's packages, and, where they are not installed, zmq and cloudpickle, which modules on
the way import for servers and saved functions. psutil and PyYAML are needed; fiabench has them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from fiabench import npu_operator
from fiabench.cases.case import Case
from fiabench.cases.shards import kv_heads_on_group
from fiabench.projects import limits, origin
from fiabench.projects.errors import ProjectError
from fiabench.projects.loading import attribute, load_module

ABOUT = "sglang's AscendFAImpl, from a checkout or an unpacked wheel; its operator is emulated off the NPU"

MODULE = "sglang.multimodal_gen.runtime.layers.attention.backends.ascend_fa"
_STUBS = (
    "sglang",
    "sglang.kernels",
    "sglang.multimodal_gen",
    "sglang.multimodal_gen.runtime",
    "sglang.multimodal_gen.runtime.layers",
    "sglang.multimodal_gen.runtime.layers.attention",
    "sglang.multimodal_gen.runtime.layers.attention.backends",
)
_NOT_USED = ("zmq", "cloudpickle")


def unsupported(case: Case, device: str) -> str | None:
    """What the layer cannot be asked for. The operator's own limits are left to the operator, whose words they are."""
    if device == "npu" and npu_operator.provided():
        return f"torch_npu is not there: {npu_operator.describe()['reason'] or 'not installed'}"
    if device != "npu" and not npu_operator.provided():
        return f"the operator comes from {npu_operator.describe()['provided_by']} and runs on the NPU only"
    if case.layout != "BSND":
        return f"layout {case.layout}: AscendFAImpl takes BSND"
    if case.dtype not in ("fp16", "bf16"):
        return f"dtype {case.dtype}: the operator takes fp16 and bf16"
    if case.mask != "none" and case.seq_len_q != case.seq_len_kv:
        lengths = f"{case.seq_len_q} queries on {case.seq_len_kv} keys"
        return f"{lengths}: AscendFAImpl builds a causal mask of the queries' length"
    return limits.unsupported(case, "AscendFAImpl")


def emulated(device: str) -> bool:
    return device != "npu" and npu_operator.provided()


def prepare(case: Case, query: Tensor, key: Tensor, value: Tensor, path: Path) -> Callable[[], Tensor]:
    """The launch: ``forward`` on one rank's [B, S, N, D], which gives [B, S, N, D], a strided view of [B, N, S, D].

    A causal case has the layer build its full S x S mask, as it does, in every call. Raises ProjectError where the
    layer cannot be loaded or constructed; the launch raises what the operator raises.
    """
    module = _load(path)
    layer = _construct(
        attribute(module, "AscendFAImpl"),
        num_heads=case.heads // case.tp,
        head_size=query.size(-1),
        causal=case.mask != "none",
        softmax_scale=query.size(-1) ** -0.5,
        num_kv_heads=kv_heads_on_group(case.kv_heads, case.tp),
    )
    metadata = attribute(module, "AscendFAMetadataBuilder")().build()
    forward = layer.forward

    def launch() -> Tensor:
        output: Tensor = forward(query, key, value, metadata)
        return output

    return launch


def provenance(path: Path) -> dict[str, Any]:
    """See :func:`fiabench.projects.origin.provenance`."""
    return origin.provenance(_load(path), path)


def _load(path: Path) -> Any:
    return load_module(path, MODULE, _STUBS, optional=_NOT_USED)


def _construct(implementation: Any, **arguments: Any) -> Any:
    """The layer, made with those of ``arguments`` that its constructor takes; one that asks for more is refused."""
    parameters = inspect.signature(implementation).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    required = [
        name
        for name, parameter in parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    ]
    unknown = [name for name in required if name not in arguments]
    if unknown:
        raise ProjectError(f"{implementation.__module__}.AscendFAImpl of this release asks for {', '.join(unknown)}")
    return implementation(**{name: value for name, value in arguments.items() if takes_any or name in parameters})
