"""CUDA devices: NCCL between ranks, events for the clock."""

from __future__ import annotations

from typing import Any

import torch

from fiabench.devices.accelerator import Accelerator
from fiabench.devices.driver import nvidia_version


class CudaDevice(Accelerator):
    name = "cuda"
    backend = "nccl"
    api = torch.cuda

    @classmethod
    def describe(cls) -> dict[str, Any]:
        properties = torch.cuda.get_device_properties(0)
        return {
            "name": properties.name,
            "memory_bytes": properties.total_memory,
            "driver": nvidia_version(),
            "cuda": torch.version.cuda,
            "nccl": ".".join(map(str, torch.cuda.nccl.version())),
        }


DEVICE = CudaDevice
