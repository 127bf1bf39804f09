"""The attention operators under test: one to a file, found by the file's name.

An operator is a module here with:

- ``ABOUT``: one line on what it is.
- ``unsupported(case, device) -> str | None``: why it cannot run the case on ``device`` (`cpu`, `cuda` or `npu`), as
  far as that is known before anything runs; None where nothing speaks against it.
- ``prepare(case, query, key, value) -> Callable[[], Tensor]``: builds masks and the like outside the timed region and
  returns the launch, which gives the attention output in the output axes of ``case.layout``, contiguous. The tensors
  are one rank's, in the layout's input axes; contiguous, or with other strides where ``case.inputs`` says so. They may
  be written anew before each launch. Head counts are read from them, never from a model. ``case.seq_len_q`` and
  ``case.seq_len_kv`` are the real tokens: where the tensors have more, those at the end are padding, whose keys no
  query sees and whose outputs nobody reads.
- ``prepare_with_lse(case, query, key, value) -> Callable[[], tuple[Tensor, Tensor]]``, if it can: as ``prepare``, with
  the log-sum-exp of each query beside the output, float32 [B, N, Sq]. Without it there is no ring.
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

    @property
    def ABOUT(self) -> str: ...

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
