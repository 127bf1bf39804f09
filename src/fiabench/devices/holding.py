"""Keeping a device busy for a while, so that what is launched meanwhile waits in its queue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

_TRIED_CYCLES = 20_000_000
"""About 10 ms at the clocks of current devices."""
_TRIED_PRODUCTS = 16
_SIDE = 2048
"""Rows and columns of the matrices multiplied where the device cannot sleep: a tenth of a millisecond each, which is
longer than launching takes, and 16 MiB of the caches for both."""
SLEEPING, MULTIPLYING = "a kernel that waits", "products of matrices"


class Hold:
    """Holds one device, by a kernel that waits; where the device has none, by multiplying matrices.

    The latter leaves other contents in the caches.
    """

    def __init__(self, api: Any, torch_device: torch.device) -> None:
        """``api`` is torch.cuda or torch.npu. Takes some 50 ms, to find out how much work lasts how long."""
        self.api = api
        self._device = torch_device
        self._rate = 0.0
        """Units of the work, cycles or products, in a second."""
        self.how = SLEEPING
        self._work = self._chosen()

    def __call__(self, seconds: float) -> None:
        """Queues work of about ``seconds``."""
        self._work(max(1, round(self._rate * seconds)))

    def _chosen(self) -> Callable[[int], None]:
        if hasattr(self.api, "_sleep"):
            try:
                self._rate = self._tried(self._sleep, _TRIED_CYCLES)
            except RuntimeError:  # torch_npu where CANN has no operator for it
                pass
            else:
                return self._sleep
        self.how = MULTIPLYING
        multiply = self._multiplying()
        self._rate = self._tried(multiply, _TRIED_PRODUCTS)
        return multiply

    def _sleep(self, cycles: int) -> None:
        self.api._sleep(cycles)

    def _multiplying(self) -> Callable[[int], None]:
        matrix = torch.zeros(_SIDE, _SIDE, dtype=torch.float16, device=self._device)
        product = torch.empty_like(matrix)

        def multiply(times: int) -> None:
            for _ in range(times):
                torch.mm(matrix, matrix, out=product)

        return multiply

    def _tried(self, work: Callable[[int], None], units: int) -> float:
        """Units in a second, once the clocks have risen."""
        start, end = self.api.Event(enable_timing=True), self.api.Event(enable_timing=True)
        work(units)
        start.record()
        work(units)
        end.record()
        self.api.synchronize()
        return units / (float(start.elapsed_time(end)) * 1e-3)
