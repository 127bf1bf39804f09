"""The environment of every process that is started to measure, and how a run is ended. Imports no torch."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import fiabench

_END_SECONDS = 20.0
"""How long a run may take to end its ranks when it is told to stop."""


def child_environment(**more: str) -> dict[str, str]:
    """This process's environment with this engine first on the path, and ``more``.

    torch's autoload is off: where torch_npu lies without CANN it would break `import torch`, and where both are there
    fiabench.npu_operator imports torch_npu itself.
    """
    engine = str(Path(fiabench.__file__).parents[1])
    path = os.pathsep.join(filter(None, [engine, os.environ.get("PYTHONPATH")]))
    return os.environ | {"PYTHONPATH": path, "TORCH_DEVICE_BACKEND_AUTOLOAD": "0"} | more


def end_run(process: subprocess.Popen[bytes]) -> None:
    """Ends a run as it wants to be ended, else at once; its ranks end when it is gone."""
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
