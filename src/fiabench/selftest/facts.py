"""What can only be told of a device by using it."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist

from fiabench.devices.base import Device


def facts(device: Device) -> dict[str, Any]:
    """JSON-able: `timing`, `sensors` and why they are `sensors_missing`, `graphs` (empty: possible; else why not),
    `backend` and whether torch has it, `backend_there`."""
    readings = device.sensors()
    numbers = torch.zeros(1024, device=device.torch_device)
    replay = device.capture(lambda: _add(numbers), 1)
    return {
        "timing": device.timing_method,
        "sensors": readings,
        "sensors_missing": device.sensors_missing,
        "graphs": "" if replay else device.capture_refused,
        "backend": device.backend,
        "backend_there": dist.is_available() and dist.is_backend_available(device.backend),
    }


def _add(numbers: torch.Tensor) -> None:
    numbers += 1
