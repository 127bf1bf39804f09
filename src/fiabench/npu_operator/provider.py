"""Who provides the operators in this process, decided once and for all of them.

Defining operators in torch's `npu` namespace and importing torch_npu afterwards aborts the process, so the order is
fixed here: what is registered already stays; else torch_npu, where it can be found; else the provided operators, and
then torch_npu stays out of this process for good. Never a mixture: where torch_npu is imported, or someone has
registered one of the operators, the others are not ours either, and may be missing.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from types import ModuleType
from typing import NamedTuple

from fiabench.npu_operator.schema import FIA, NAMESPACE, SCHEMAS


class Provider(NamedTuple):
    """Who answers to ``torch.ops.npu.npu_fused_infer_attention_score`` and its siblings."""

    name: str
    """`torch_npu <version>`, `fiabench (emulated)`, or `another registration in this process`."""
    emulated: bool
    """Whether fiabench registered them."""
    reason: str | None
    """Why torch_npu does not provide them although it was found, or that the first is missing; else None."""


EMULATED = "fiabench (emulated)"
OTHER = "another registration in this process"


def provide() -> Provider:
    """Make sure of the operators and say who provides them. To be called once, before anything else touches `npu`."""
    torch = _import_torch()
    if any(has(name) for name in SCHEMAS):
        return Provider(_torch_npu_name() or OTHER, False, _missing())
    reason = None
    if any(name.startswith(f"{NAMESPACE}::") for name in torch._C._dispatch_get_all_op_names()):
        if importlib.util.find_spec("torch_npu") is not None:
            reason = "another package has defined operators in the npu namespace; importing torch_npu would abort"
    elif importlib.util.find_spec("torch_npu") is not None:
        reason = _import_torch_npu()
        # A torch_npu that breaks off half-way leaves its operators behind.
        if reason is None or any(has(name) for name in SCHEMAS):
            return Provider(_torch_npu_name() or "torch_npu", False, reason or _missing())
    _define(torch)
    return Provider(EMULATED, True, reason)


def has(name: str) -> bool:
    """Whether ``torch.ops.npu`` has an operator, or an overload: `npu_fused_infer_attention_score_v2.out`."""
    import torch

    operator, _, overload = name.partition(".")
    packet = getattr(getattr(torch.ops, NAMESPACE), operator, None)
    return packet is not None and (overload or "default") in packet.overloads()


def _missing() -> str | None:
    """That whoever registered operators has not the one that this is about; None where it has."""
    return None if has(FIA) else f"operators are registered, {FIA} is not among them"


def _import_torch() -> ModuleType:
    """torch, without its loading torch_npu by entry point: where CANN is missing that breaks `import torch` itself."""
    if "torch" in sys.modules:
        return sys.modules["torch"]
    variable = "TORCH_DEVICE_BACKEND_AUTOLOAD"
    before = os.environ.get(variable)
    os.environ[variable] = "0"
    try:
        return importlib.import_module("torch")
    finally:
        if before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = before


def _import_torch_npu() -> str | None:
    """Import torch_npu; the reason where that fails.

    Any exception counts: without CANN it is an ImportError or an OSError on libhccl.so, with a CUDA build of torch a
    RuntimeError. It is reported, never dropped.
    """
    try:
        importlib.import_module("torch_npu")
    except Exception as error:
        return f"torch_npu was found but could not be imported: {type(error).__name__}: {error}"
    return None


def _torch_npu_name() -> str | None:
    module = sys.modules.get("torch_npu")
    if module is None:
        return None
    return f"torch_npu {getattr(module, '__version__', '(version unknown)')}"


def _define(torch: ModuleType) -> None:
    from fiabench.npu_operator.kernel_table import kernels

    library = torch.library.Library(NAMESPACE, "FRAGMENT")
    for schema in SCHEMAS.values():
        library.define(schema)
    for dispatch_key, functions in kernels().items():
        for name, function in functions.items():
            library.impl(name, function, dispatch_key)
    _libraries.append(library)
    # From here on importing torch_npu would abort the process; so it is an ImportError, and find_spec returns None.
    sys.modules.setdefault("torch_npu", None)  # type: ignore[arg-type]


_libraries: list[object] = []
"""Keeps the registration alive: torch takes the operators back when their Library is collected."""
