"""What CUDA and NPU have in common: torch.cuda and torch.npu offer the same streams, events and memory."""

from __future__ import annotations

import gc
import time
from typing import Any

import torch


class Accelerator:
    """A device with a queue, timed by events recorded in it."""

    timing_method = "event"
    api: Any
    """torch.cuda or torch.npu."""
    name: str

    def __init__(self, index: int) -> None:
        self.torch_device = torch.device(self.name, index)
        self.api.set_device(self.torch_device)

    @classmethod
    def count(cls) -> int:
        return int(cls.api.device_count()) if cls.api.is_available() else 0

    def now(self) -> float:
        return time.perf_counter()

    def synchronize(self) -> None:
        self.api.synchronize()

    def mark(self) -> Any:
        event = self.api.Event(enable_timing=True)
        event.record()
        return event

    def seconds(self, start: Any, end: Any) -> float:
        return float(start.elapsed_time(end)) * 1e-3

    def reset_peak_memory(self) -> None:
        gc.collect()  # the steps of the pipeline before and what they belong to know each other
        self.api.empty_cache()
        self.api.reset_peak_memory_stats()

    def forget_peak(self) -> None:
        self.api.reset_peak_memory_stats()

    def peak_memory(self) -> int:
        return int(self.api.max_memory_allocated())

    def memory_in_use(self) -> int:
        free, total = self.api.mem_get_info()
        return int(total - free)

    def is_out_of_memory(self, error: BaseException) -> bool:
        # torch.OutOfMemoryError is this one's name from torch 2.5 on; torch_npu raises a plain RuntimeError.
        return isinstance(error, torch.cuda.OutOfMemoryError) or "out of memory" in str(error).lower()
