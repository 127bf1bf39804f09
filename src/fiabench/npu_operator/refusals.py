"""What the provided operator does not take, refused by name before anything is computed.

These texts begin `fiabench:` because they are ours: on an NPU the same call may be valid.
"""

from __future__ import annotations

import torch

from fiabench.npu_operator.errors import not_emulated

_NOT_EMULATED_LAYOUTS = ("NSD",)
_QUANTISED = (torch.int8, torch.int32)


def refuse_arguments(
    given: dict[str, object], modes: dict[str, int], input_layout: str, query: torch.Tensor, key: torch.Tensor
) -> None:
    """Refuse a layout or an optional argument that is not emulated.

    ``given`` holds the optional arguments without an implementation, by name (default None), ``modes`` the integers
    (default 0). Raises RuntimeError.
    """
    for name, value in given.items():
        if value is not None:
            raise not_emulated(f"{name} is not emulated; leave it at None")
    for name, mode in modes.items():
        if mode != 0:
            raise not_emulated(f"{name} {mode} is not emulated; leave it at 0")
    if input_layout in _NOT_EMULATED_LAYOUTS:
        raise not_emulated(f"input_layout {input_layout} is not emulated")
    if query.dtype in _QUANTISED or key.dtype in _QUANTISED:
        raise not_emulated("quantised query, key and value (int8, int4 in int32) are not emulated")
    if query.numel() == 0 or key.numel() == 0:
        raise not_emulated("an empty query or key is not emulated")
