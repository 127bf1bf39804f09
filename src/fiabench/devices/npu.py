"""Ascend NPUs: HCCL between ranks, events for the clock, the box's own torch_npu and CANN."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import torch
import torch_npu

from fiabench.devices.accelerator import Accelerator
from fiabench.devices.driver import ascend_version
from fiabench.devices.npu_smi import NpuSmi
from fiabench.devices.sensing import Sensors

SENSORS_SECONDS = 1.0
"""A reading is a process of tens of milliseconds."""
CACHE_BYTES = 192 * 2**20
"""The L2 cache of a 910B; torch_npu tells the size only in later releases."""


class NpuDevice(Accelerator):
    name = "npu"
    backend = "hccl"
    api = torch.npu

    def __init__(self, index: int) -> None:
        super().__init__(index)
        # Compiling each shape anew is what some releases do by default; it takes seconds and is not the kernel.
        torch.npu.set_compile_mode(jit_compile=False)

    @classmethod
    def describe(cls) -> dict[str, Any]:
        properties = torch.npu.get_device_properties(0)
        return {
            "name": torch.npu.get_device_name(0),
            "memory_bytes": properties.total_memory,
            "driver": ascend_version(),
            "cann": torch_npu._C._get_cann_version("CANN"),
        }

    def _new_graph(self) -> Any:
        return torch.npu.NPUGraph()

    def _close_pool(self, index: int, pool: Any) -> None:
        earlier = getattr(torch_npu._C, "_npu_endAllocateCurrentStreamToPool", None)  # its name up to release 2.8
        with suppress(RuntimeError):  # says that no allocations go to this pool: torch_npu has ended them itself
            (earlier or torch_npu._C._npu_endAllocateToPool)(index, pool)
            torch_npu._C._npu_releasePool(index, pool)

    def _find_sensors(self, index: int) -> Sensors:
        return Sensors(NpuSmi(index), SENSORS_SECONDS)

    def _cache_bytes(self) -> int:
        told = getattr(torch.npu.get_device_properties(self.torch_device), "L2_cache_size", 0)
        return max(told, CACHE_BYTES)


DEVICE = NpuDevice
