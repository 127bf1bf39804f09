"""The attention operators under test: one to a file, found by the file's name.

An operator is a module here with:

- ``ABOUT``: one line on what it is.
- ``unsupported(case, device) -> str | None``: why it cannot run the case on ``device`` (`cpu`, `cuda` or `npu`), as
  far as that is known before anything runs; None where nothing speaks against it.
- ``prepare(case, query, key, value) -> Callable[[], Tensor]``: builds masks and the like outside the timed region and
  returns the launch, which gives the attention output in ``case.layout``. The tensors are one rank's, contiguous in
  ``case.layout``; head counts are read from them, never from a model.
- ``emulated(device) -> bool``: whether something stands in for the operator on that device.

Listing the operators imports none of them, and no torch.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from torch import Tensor

    from fiabench.cases.case import Case


class Operator(Protocol):
    """What a module in this folder offers; see above."""

    ABOUT: str

    def unsupported(self, case: Case, device: str) -> str | None: ...

    def prepare(self, case: Case, query: Tensor, key: Tensor, value: Tensor) -> Callable[[], Tensor]: ...

    def emulated(self, device: str) -> bool: ...


def names() -> list[str]:
    """The operators' names, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def load(name: str) -> Operator:
    """The operator of that name, imported. Raises ValueError, which lists the names, where there is none."""
    if name not in names():
        raise ValueError(f"no operator named {name!r}; there are: {', '.join(names())}")
    return cast(Operator, importlib.import_module(f"{__name__}.{name}"))
