"""Inputs that are not contiguous: copied inside the call, as current CANN does, and the copies counted.

The operator's documentation says that such tensors are not supported; current CANN makes them contiguous inside the
call, so that the copy is part of the operator's time. The count lets a benchmark say so. In strict mode they are
refused: `with strict():`, or FIABENCH_STRICT_CONTIGUITY=1 in the environment.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch

from fiabench.npu_operator.errors import not_emulated

VARIABLE = "FIABENCH_STRICT_CONTIGUITY"


class Copies(NamedTuple):
    """Copies that calls made of inputs that were not contiguous."""

    number: int
    bytes: int


_copies = Copies(0, 0)
_strict = False


def copies() -> Copies:
    """Copies in this process since :func:`reset`."""
    return _copies


def reset() -> None:
    """Count from nought again."""
    global _copies
    _copies = Copies(0, 0)


@contextmanager
def strict() -> Iterator[None]:
    """Calls inside refuse inputs that are not contiguous."""
    global _strict
    before, _strict = _strict, True
    try:
        yield
    finally:
        _strict = before


def contiguous(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """``tensor`` itself where it is contiguous, else a counted copy. Raises RuntimeError in strict mode."""
    global _copies
    if tensor.is_contiguous():
        return tensor
    if _strict or os.environ.get(VARIABLE) == "1":
        shape, strides = list(tensor.shape), list(tensor.stride())
        raise not_emulated(f"{name} is not contiguous (shape {shape}, strides {strides}) and strict mode refuses it")
    _copies = Copies(_copies.number + 1, _copies.bytes + tensor.numel() * tensor.element_size())
    return tensor.contiguous()
