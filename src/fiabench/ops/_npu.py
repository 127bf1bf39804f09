"""What the NPU's operators share: who provides them, and their masks.

In all of them a mask is true where a key is **hidden**; torch's own mask is true where it is seen.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fiabench import npu_operator
from fiabench.npu_operator.mask_checks import COMPRESSED

SPARSE_MODES = {"causal": 3, "causal_top_left": 2}
"""The sparse_mode of each mask that the compressed one stands for."""


def absent(operator: str, device: str) -> str | None:
    """Why ``torch.ops.npu``'s operator of that name cannot run on ``device``; None where it is there."""
    facts = npu_operator.describe()
    if device == "npu" and npu_operator.provided():
        return f"torch_npu is not there: {facts['reason'] or 'not installed'}"
    if device != "npu" and not npu_operator.provided():
        return f"the operator comes from {facts['provided_by']} and runs on the NPU only"
    if not hasattr(torch.ops.npu, operator):
        return f"{facts['provided_by']} has no {operator}"
    return None


def emulated(device: str) -> bool:
    """Whether fiabench's own implementation runs there in the operators' place."""
    return device != "npu" and npu_operator.provided()


def compressed_mask(device: torch.device) -> Tensor:
    """What sparse modes 2 and 3 take: 2048 x 2048, true above the diagonal."""
    return torch.ones(COMPRESSED, COMPRESSED, dtype=torch.bool, device=device).triu_(1)


def full_mask(rows: int, columns: int, shift: int, device: torch.device) -> Tensor:
    """Causal and whole, [rows, columns]: true where key j lies after query i + ``shift``.

    Made as bool from the start: rows x columns bytes and nothing on the way.
    """
    return torch.ones(rows, columns, dtype=torch.bool, device=device).triu_(shift + 1)
