"""The CPU: synchronous calls, the host's clock, the process's own memory."""

from __future__ import annotations

import ctypes
import gc
import platform
import time
from pathlib import Path
from typing import Any

import psutil
import torch

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
"""proc(5): writing 5 resets the peak resident set size to the current one."""


class CpuDevice:
    name = "cpu"
    backend = "gloo"
    timing_method = "host"

    def __init__(self, index: int) -> None:
        self.torch_device = torch.device("cpu")
        self._at_reset: int | None = None

    @classmethod
    def count(cls) -> int:
        return len(psutil.Process().cpu_affinity() or []) if hasattr(psutil.Process, "cpu_affinity") else 1

    @classmethod
    def describe(cls) -> dict[str, Any]:
        return {"name": cpu_model(), "memory_bytes": psutil.virtual_memory().total, "driver": None}

    def now(self) -> float:
        return time.perf_counter()

    def synchronize(self) -> None:
        pass

    def mark(self) -> int:
        return time.perf_counter_ns()

    def seconds(self, start: int, end: int) -> float:
        return (end - start) * 1e-9

    def reset_peak_memory(self) -> None:
        self._at_reset = 0
        self.forget_peak()
        if self._at_reset is not None:
            self._at_reset = self.memory_in_use()

    def forget_peak(self) -> None:
        _give_back()
        try:
            _CLEAR_REFS.write_text(_RESET_PEAK, encoding="ascii")
        except OSError:  # kernels and sandboxes without it: the peak stays unknown
            self._at_reset = None

    def peak_memory(self) -> int | None:
        if self._at_reset is None:
            return None
        peak = next(line for line in _STATUS.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM"))
        gc.collect()  # a pipeline's steps and what they belong to know each other
        _give_back()
        # What the process still holds is libraries' that were loaded meanwhile, and nothing of what was taken.
        held = max(self._at_reset, self.memory_in_use())
        return max(0, int(peak.split()[1]) * 1024 - held)

    def memory_in_use(self) -> int:
        return int(psutil.Process().memory_info().rss)

    def is_out_of_memory(self, error: BaseException) -> bool:
        return isinstance(error, MemoryError) or "can't allocate memory" in str(error)


def _give_back() -> None:
    """Gives freed memory that the allocator keeps back to the system: a case would otherwise use it again and seem to
    take nothing. Only glibc has a call for it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)


def cpu_model() -> str:
    """The processor's name as the kernel tells it, else the machine type."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


DEVICE = CpuDevice
