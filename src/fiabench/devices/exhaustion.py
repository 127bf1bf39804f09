"""Which errors mean that memory ran out, by their words: not every library has a type for it. Imports no torch.

Sources: torch's and torch_npu's allocators, CANN's table of error codes in torch_npu's headers (NPUErrorCodes.h),
HCCL's code 24 and EI0007, CANN's EL0004, NCCL, cuBLAS and cuDNN.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_HOST = ("can't allocate memory",)
_CUDA = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
_NPU = (
    "out of memory",
    "Failed to apply for memory",
    "The memory on the device is exhausted",
    r"EL0004\b",
    r"HCCL function error:.*error code is 24\b",
    # The same words also tell of queue pairs and notify registers that ran out, which are no memory.
    r"Failed to allocate resource\[[^\]]*(?:mem|buffer)[^\]]*\]",
)
_PATTERNS = {
    "cpu": re.compile("|".join(_HOST), re.IGNORECASE),
    "cuda": re.compile("|".join((*_HOST, *_CUDA)), re.IGNORECASE),
    "npu": re.compile("|".join((*_HOST, *_NPU)), re.IGNORECASE),
}


def tells_of_memory(device: str, error: BaseException) -> bool:
    """Whether ``error``, raised on a ``device`` (`npu`, `cuda` or `cpu`), says that memory ran out."""
    return isinstance(error, MemoryError) or _PATTERNS[device].search(str(error)) is not None


def chain(error: BaseException) -> Iterator[BaseException]:
    """``error``, and those during whose handling or because of which it was raised."""
    seen = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__
