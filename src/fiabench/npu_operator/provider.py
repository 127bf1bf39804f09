"""Who provides the operator in this process, decided once.

Defining operators in torch's `npu` namespace and importing torch_npu afterwards aborts the process, so the order is
fixed here: what is registered already stays; else torch_npu, where it can be found; else the provided operator, and
then torch_npu stays out of this process for good.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from types import ModuleType
from typing import NamedTuple

from fiabench.npu_operator.schema import NAME, NAMESPACE, SCHEMA


class Provider(NamedTuple):
    """Who answers to ``torch.ops.npu.npu_fused_infer_attention_score``."""

    name: str
    """`torch_npu <version>`, `fiabench (emulated)`, or `another registration in this process`."""
    emulated: bool
    """Whether fiabench registered it."""
    reason: str | None
    """Why torch_npu does not provide it although it was found; None where it does or was not found."""


EMULATED = "fiabench (emulated)"
OTHER = "another registration in this process"


def provide() -> Provider:
    """Make sure of the operator and say who provides it. To be called once, before anything else touches `npu`."""
    torch = _import_torch()
    if _registered(torch):
        return Provider(_torch_npu_name() or OTHER, False, None)
    reason = None
    if any(name.startswith(f"{NAMESPACE}::") for name in torch._C._dispatch_get_all_op_names()):
        if importlib.util.find_spec("torch_npu") is not None:
            reason = "another package has defined operators in the npu namespace; importing torch_npu would abort"
    elif importlib.util.find_spec("torch_npu") is not None:
        reason = _import_torch_npu()
        if _registered(torch):
            return Provider(_torch_npu_name() or "torch_npu", False, reason)
        reason = reason or "torch_npu was imported and does not have the operator"
    _define(torch)
    return Provider(EMULATED, True, reason)


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


def _registered(torch: ModuleType) -> bool:
    return hasattr(getattr(torch.ops, NAMESPACE), NAME)


def _torch_npu_name() -> str | None:
    module = sys.modules.get("torch_npu")
    if module is None:
        return None
    return f"torch_npu {getattr(module, '__version__', '(version unknown)')}"


def _define(torch: ModuleType) -> None:
    from fiabench.npu_operator import implementation

    library = torch.library.Library(NAMESPACE, "FRAGMENT")
    library.define(SCHEMA)
    library.impl(NAME, implementation.cpu, "CPU")
    library.impl(NAME, implementation.cuda, "CUDA")
    library.impl(NAME, implementation.meta, "Meta")
    _libraries.append(library)
    # From here on importing torch_npu would abort the process; so it is an ImportError, and find_spec returns None.
    sys.modules.setdefault("torch_npu", None)  # type: ignore[arg-type]


_libraries: list[object] = []
"""Keeps the registration alive: torch takes the operators back when their Library is collected."""
