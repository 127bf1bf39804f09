"""Any attention callable of an outside project, named ``package.module:name``, at a path.

Called ``fn(query, key, value)``, and with ``causal=True`` for a causal case, on one rank's tensors in the case's
layout; gives the attention output in the same layout.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from fiabench import npu_operator  # before anything that the callable's project defines in torch's npu namespace
from fiabench.cases.case import Case
from fiabench.projects import limits, origin
from fiabench.projects.errors import ProjectError
from fiabench.projects.loading import load_callable, make_current

ABOUT = "an attention callable of an outside project, package.module:name, from a path"


def unsupported(case: Case, device: str) -> str | None:
    """What cannot be said with ``fn(query, key, value, causal=...)``."""
    del device
    if case.mask not in ("none", "causal"):
        return f"mask {case.mask}: an outside callable can be asked for none and causal"
    return limits.unsupported(case, "an outside callable")


def emulated(device: str) -> bool:
    """Whether the callable, if it calls the NPU's operator, gets an emulated one."""
    return device != "npu" and npu_operator.provided()


def prepare(case: Case, query: Tensor, key: Tensor, value: Tensor, path: Path, target: str) -> Callable[[], Tensor]:
    """The launch. Raises ProjectError where ``target`` cannot be loaded; the launch raises it where what comes back is
    no tensor, and otherwise what the callable raises."""
    function, module = load_callable(path, target)
    keywords = {"causal": True} if case.mask == "causal" else {}

    def launch() -> Tensor:
        make_current(module)
        output = function(query, key, value, **keywords)
        if not isinstance(output, Tensor):
            raise ProjectError(f"{target} gave {type(output).__name__}: the attention output is wanted, one tensor")
        return output

    return launch


def provenance(path: Path, target: str) -> dict[str, Any]:
    """See :func:`fiabench.projects.origin.provenance`."""
    return origin.provenance(load_callable(path, target)[1], path)
