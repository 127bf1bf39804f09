"""Ascend NPUs: HCCL between ranks, events for the clock, the box's own torch_npu and CANN."""

from __future__ import annotations

from typing import Any

import torch
import torch_npu

from fiabench.devices.accelerator import Accelerator
from fiabench.devices.driver import ascend_version


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


DEVICE = NpuDevice
