"""CUDA devices: NCCL between ranks, events for the clock."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import torch

from fiabench.devices.accelerator import Accelerator
from fiabench.devices.driver import nvidia_version
from fiabench.devices.nvml import Nvml
from fiabench.devices.sensing import Sensors

SENSORS_SECONDS = 0.1
"""A reading takes well under a millisecond, and clocks change within tens of them."""
CACHE_UNKNOWN = 128 * 2**20
"""Above the L2 cache of any NVIDIA GPU up to Blackwell (B200: 126 MB), for releases of torch that do not tell it."""


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

    def _new_graph(self) -> Any:
        return torch.cuda.CUDAGraph()

    def _close_pool(self, index: int, pool: Any) -> None:
        earlier = getattr(torch._C, "_cuda_endAllocateCurrentStreamToPool", None)  # its name up to release 2.8
        with suppress(RuntimeError):  # says that no allocations go to this pool: torch has ended them itself
            (earlier or torch._C._cuda_endAllocateToPool)(index, pool)
            torch._C._cuda_releasePool(index, pool)

    def _find_sensors(self, index: int) -> Sensors:
        properties = torch.cuda.get_device_properties(index)
        return Sensors(Nvml(_uuid(properties), _bus(properties)), SENSORS_SECONDS)

    def _cache_bytes(self) -> int:
        properties = torch.cuda.get_device_properties(self.torch_device)
        return getattr(properties, "L2_cache_size", 0) or CACHE_UNKNOWN


def _uuid(properties: Any) -> str:
    """`GPU-...`; empty where torch does not tell it (before 2.5)."""
    uuid = str(getattr(properties, "uuid", ""))
    return uuid if not uuid or uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"


def _bus(properties: Any) -> str:
    """`00000000:c1:00.0`; empty where torch does not tell it."""
    parts = [getattr(properties, f"pci_{part}_id", None) for part in ("domain", "bus", "device")]
    if None in parts:
        return ""
    domain, bus, device = parts
    return f"{domain:08x}:{bus:02x}:{device:02x}.0"


DEVICE = CudaDevice
