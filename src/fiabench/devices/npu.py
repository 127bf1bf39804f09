"""Ascend NPUs: HCCL between ranks, events for the clock, the box's own torch_npu and CANN."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch_npu

from fiabench.devices.accelerator import Accelerator

_DRIVER_VERSION = Path("/usr/local/Ascend/driver/version.info")


class NpuDevice(Accelerator):
    name = "npu"
    backend = "hccl"
    api = torch.npu

    @classmethod
    def describe(cls) -> dict[str, Any]:
        properties = torch.npu.get_device_properties(0)
        return {
            "name": torch.npu.get_device_name(0),
            "memory_bytes": properties.total_memory,
            "driver": driver_version(_DRIVER_VERSION),
            "cann": torch_npu._C._get_cann_version("CANN"),
        }


def driver_version(path: Path) -> str | None:
    """The `Version=` line of the driver's version file; None where the file is not there."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return next((line.split("=", 1)[1].strip() for line in lines if line.lower().startswith("version=")), None)


DEVICE = NpuDevice
