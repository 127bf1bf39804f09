"""The environment of every process that the coordinator starts. Imports no torch."""

from __future__ import annotations

import os
from pathlib import Path

import fiabench


def child_environment(**more: str) -> dict[str, str]:
    """This process's environment with this engine first on the path, and ``more``.

    torch's autoload is off: where torch_npu lies without CANN it would break `import torch`, and where both are there
    fiabench.npu_operator imports torch_npu itself.
    """
    engine = str(Path(fiabench.__file__).parents[1])
    path = os.pathsep.join(filter(None, [engine, os.environ.get("PYTHONPATH")]))
    return os.environ | {"PYTHONPATH": path, "TORCH_DEVICE_BACKEND_AUTOLOAD": "0"} | more
