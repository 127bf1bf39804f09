"""Work whose amount is known: matrix products, one after the other."""

from __future__ import annotations

import time

import torch

from fiabench.devices.base import Device

_SIDE = {"host": 512, "event": 4096}
"""Rows and columns: a product takes a millisecond or less, by how the device is timed."""
_TRIED = 8


class Load:
    """Products of a matrix with itself; each call queues as many."""

    def __init__(self, device: Device) -> None:
        side = _SIDE[device.timing_method]
        dtype = torch.float16 if device.timing_method == "event" else torch.float32
        matrix = torch.arange(side * side, device=device.torch_device) % 7
        self._matrix = (matrix.reshape(side, side) / side).to(dtype)
        self.product = torch.zeros_like(self._matrix)
        self._device = device

    def __call__(self, times: int = 1) -> None:
        for _ in range(times):
            torch.mm(self._matrix, self._matrix, out=self.product)

    def times(self, seconds: float) -> int:
        """How many products take about ``seconds`` by the host's clock, once the device runs at speed."""
        self(_TRIED)
        self._device.synchronize()
        start = time.perf_counter()
        self(_TRIED)
        self._device.synchronize()
        return max(1, round(_TRIED * seconds / (time.perf_counter() - start)))
