"""The CPU: synchronous calls, the host's clock, the process's own memory."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch

from fiabench.devices.cores import last_level_bytes
from fiabench.devices.exhaustion import tells_of_memory
from fiabench.devices.sensing import Readings, Sensors, SensorsMissing

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
"""proc(5): writing 5 resets the peak resident set size to the current one."""
SENSORS_SECONDS = 1.0
"""On a server with hundreds of cores the kernel takes milliseconds to tell their clocks."""
CACHE_UNKNOWN = 64 * 2**20
"""Bytes of the last-level cache where the kernel does not tell: few server CPUs have a larger one to themselves."""
CACHE_TIMES = 2
_THERMOMETERS = ("coretemp", "k10temp", "zenpower", "cpu_thermal")
"""Those of processors among what psutil finds: Intel, AMD twice, Arm boards."""


class CpuDevice:
    name = "cpu"
    backend = "gloo"
    timing_method = "host"
    held_by = ""

    def __init__(self, index: int) -> None:
        self.torch_device = torch.device("cpu")
        self.capture_refused = "a CPU has no graphs"
        self._sensors = Sensors(read_sensors, SENSORS_SECONDS)
        self._flushing: torch.Tensor | None = None
        self._at_reset: int | None = None
        self._earlier_peak = 0
        """Bytes: the peak before the buffer for flushing was there, as it would have been with it."""

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

    def hold(self, seconds: float) -> None:
        """Nothing: there is no queue in which anything could wait."""

    def capture(self, launch: Callable[[], None], times: int) -> None:
        """None: there is no queue to record."""

    def sensors(self) -> dict[str, float]:
        return {**self._sensors(), "memory_bytes": float(self.memory_in_use())}

    @property
    def sensors_missing(self) -> str:
        return self._sensors.missing

    def flush_cache(self) -> None:
        if self._flushing is None:
            size = CACHE_TIMES * (last_level_bytes(os.sched_getaffinity(0)) or CACHE_UNKNOWN)
            if self._at_reset is not None:
                # As if the buffer had been there before the case: it counts neither as the case's nor against its peak.
                self._earlier_peak = max(self._earlier_peak, _peak()) + size
                self._at_reset += size
            self._flushing = torch.zeros(size, dtype=torch.uint8)
        self._flushing.fill_(1)

    def reset_peak_memory(self) -> None:
        self._at_reset = 0
        self.forget_peak()
        if self._at_reset is not None:
            self._at_reset = self.memory_in_use()

    def forget_peak(self) -> None:
        self._earlier_peak = 0
        self._reset_peak()

    def _reset_peak(self) -> None:
        _give_back()
        try:
            _CLEAR_REFS.write_text(_RESET_PEAK, encoding="ascii")
        except OSError:  # kernels and sandboxes without it: the peak stays unknown
            self._at_reset = None

    def peak_memory(self) -> int | None:
        if self._at_reset is None:
            return None
        peak = max(self._earlier_peak, _peak())
        gc.collect()  # a pipeline's steps and what they belong to know each other
        _give_back()
        # What the process still holds is libraries' that were loaded meanwhile, and nothing of what was taken.
        held = max(self._at_reset, self.memory_in_use())
        return max(0, peak - held)

    def memory_in_use(self) -> int:
        return int(psutil.Process().memory_info().rss)

    def is_out_of_memory(self, error: BaseException) -> bool:
        return tells_of_memory(self.name, error)


def read_sensors() -> Readings:
    """The mean clock of the cores that this process may use, and the hottest thermometer of the processors.

    Raises SensorsMissing where the system tells neither.
    """
    found: Readings = {}
    try:
        clocks = [clock.current for clock in psutil.cpu_freq(percpu=True) or []]
    except (NotImplementedError, OSError):  # psutil where the kernel has no file that it knows
        clocks = []
    mine = [clocks[core] for core in os.sched_getaffinity(0) if core < len(clocks) and clocks[core] > 0]
    if mine:
        found["clock_mhz"] = statistics.fmean(mine)
    thermometers = psutil.sensors_temperatures() if hasattr(psutil, "sensors_temperatures") else {}
    told = [part.current for name in _THERMOMETERS for part in thermometers.get(name, [])]
    if told:
        found["temperature_c"] = max(told)
    if not found:
        raise SensorsMissing("this system tells neither the clock nor the temperature of its processors")
    return found


def _peak() -> int:
    """The most bytes that this process has held since its peak was reset."""
    lines = _STATUS.read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024


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
