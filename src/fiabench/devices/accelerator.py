"""What CUDA and NPU have in common: torch.cuda and torch.npu offer the same streams, events, graphs and memory."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from fiabench.devices.exhaustion import tells_of_memory
from fiabench.devices.graphs import CannotCapture, Graphs
from fiabench.devices.holding import Hold
from fiabench.devices.sensing import Sensors

_Made = TypeVar("_Made")

CACHE_TIMES = 2
"""What is written to flush a cache, in sizes of the cache: one alone leaves what a cache replaces out of turn."""


class Accelerator:
    """A device with a queue, timed by events recorded in it."""

    timing_method = "event"
    api: Any
    """torch.cuda or torch.npu."""
    name: str

    def __init__(self, index: int) -> None:
        self.torch_device = torch.device(self.name, index)
        self.api.set_device(self.torch_device)
        self.capture_refused = ""
        self.held_by = ""
        self._graphs = Graphs(self.api, self.torch_device, self._new_graph, self._close_pool, self.is_out_of_memory)
        self._holding: Hold | None = None
        self._sensors = self._find_sensors(index)
        self._flushing: torch.Tensor | None = None
        self._at_reset = 0
        self._earlier_peak = 0
        """Bytes: the peak before what is kept beside the case was there, as it would have been with it."""

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

    def hold(self, seconds: float) -> None:
        if self._holding is None:
            self._holding = self._beside_the_case(lambda: Hold(self.api, self.torch_device))
            self.held_by = self._holding.how
        self._holding(seconds)

    def capture(self, launch: Callable[[], None], times: int) -> Callable[[], None] | None:
        if not hasattr(self.api, "graph"):
            self.capture_refused = f"this torch has no graphs on {self.name}"
            return None
        try:
            replay = self._graphs.capture(launch, times)
        except CannotCapture as refusal:
            self.capture_refused = str(refusal)
            return None
        self.capture_refused = ""
        return replay

    def sensors(self) -> dict[str, float]:
        return {**self._sensors(), "memory_bytes": float(self.memory_in_use())}

    @property
    def sensors_missing(self) -> str:
        return self._sensors.missing

    def flush_cache(self) -> None:
        if self._flushing is None:
            size = CACHE_TIMES * self._cache_bytes()
            self._flushing = self._beside_the_case(
                lambda: torch.empty(size, dtype=torch.uint8, device=self.torch_device)
            )
        self._flushing.zero_()

    def _beside_the_case(self, make: Callable[[], _Made]) -> _Made:
        """What ``make`` makes, whose memory counts as if it had been taken before the case: not as the case's."""
        before, earlier = int(self.api.memory_allocated()), int(self.api.max_memory_allocated())
        made = make()
        taken = int(self.api.memory_allocated()) - before
        self._at_reset += taken
        self._earlier_peak = max(self._earlier_peak, earlier) + taken
        self.api.reset_peak_memory_stats()
        return made

    def reset_peak_memory(self) -> None:
        gc.collect()  # the steps of the pipeline before and what they belong to know each other
        self.api.empty_cache()
        self._at_reset = int(self.api.memory_allocated())
        self.forget_peak()

    def forget_peak(self) -> None:
        self.api.reset_peak_memory_stats()
        self._earlier_peak = 0

    def peak_memory(self) -> int:
        return max(self._earlier_peak, int(self.api.max_memory_allocated())) - self._at_reset

    def memory_in_use(self) -> int:
        free, total = self.api.mem_get_info()
        return int(total - free)

    def is_out_of_memory(self, error: BaseException) -> bool:
        # torch.OutOfMemoryError is this one's name from torch 2.5 on; torch_npu raises it too, or a plain RuntimeError.
        return isinstance(error, torch.cuda.OutOfMemoryError) or tells_of_memory(self.name, error)

    def _new_graph(self) -> Any:
        """An empty graph, to be captured into."""
        raise NotImplementedError

    def _close_pool(self, index: int, pool: Any) -> None:
        """Ends a failed capture's allocations from ``pool``; nothing where torch has ended them itself."""
        raise NotImplementedError

    def _find_sensors(self, index: int) -> Sensors:
        raise NotImplementedError

    def _cache_bytes(self) -> int:
        """Size of the last-level cache."""
        raise NotImplementedError
