"""Launches recorded once and replayed as one: CUDA graphs and NPU graphs, whose interfaces are alike.

What torch leaves behind where a capture fails, and what is done about it here:

- the capture's stream stays the current one: an outer context puts the former back;
- the allocator goes on as if a capture were under way, and frees less: its pool is closed by hand;
- the default generator goes on believing that it is captured: resetting the graph sets it right, in some releases only
  a tiny capture that succeeds, which also proves that the device can be used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from fiabench.devices.exhaustion import chain

WARM_UPS = 3
"""Launches on the capture's stream before it: libraries make workspaces for each stream at their first call."""
_MODE = "thread_local"
"""What other threads do, as a communicator's watchdog that asks for events, is not taken for part of the capture."""


class CannotCapture(Exception):
    """Why the work, or this device, cannot be captured."""


class Graphs:
    """One device's graphs."""

    def __init__(
        self,
        api: Any,
        torch_device: torch.device,
        new_graph: Callable[[], Any],
        close_pool: Callable[[int, Any], None],
        is_out_of_memory: Callable[[BaseException], bool],
    ) -> None:
        """``api`` is torch.cuda or torch.npu; ``close_pool`` ends what a failed capture left open of a pool."""
        self.api = api
        self._device = torch_device
        self._new_graph = new_graph
        self._close_pool = close_pool
        self._is_out_of_memory = is_out_of_memory
        self._side: Any = None
        self._tiny: Any = None
        self._refused = ""
        """Why this device captures nothing at all."""

    def capture(self, launch: Callable[[], None], times: int) -> Callable[[], None]:
        """A replay of ``times`` launches, on the stream that is then the current one.

        Launches that are no part of it come first. Raises CannotCapture where the graph cannot be made, what
        ``launch`` raises by itself, and the error of memory that ran out during the capture.
        """
        if self._tiny is None:
            self._tiny, self._side = torch.zeros(1, device=self._device), self.api.Stream()
            try:
                self._record(self._tiny.zero_, 1)
            except CannotCapture as refusal:
                self._refused = str(refusal)
        if self._refused:
            raise CannotCapture(self._refused)
        main = self.api.current_stream()
        with self.api.stream(self._side):
            self._side.wait_stream(main)
            for _ in range(WARM_UPS):
                launch()
        self.api.synchronize()
        try:
            return self._record(launch, times)
        except CannotCapture as refusal:
            self._set_right(refusal)
            raise

    def _set_right(self, refusal: CannotCapture) -> None:
        """To be called after a capture that failed. Raises RuntimeError where the device is of no use any more."""
        try:
            self._record(self._tiny.zero_, 1)
        except CannotCapture as further:
            raise RuntimeError(f"after a capture that failed ({refusal}) nothing can be captured: {further}") from None
        self.api.synchronize()

    def _record(self, launch: Callable[[], Any], times: int) -> Callable[[], None]:
        graph, pool = self._new_graph(), self.api.graph_pool_handle()
        try:
            with (
                self.api.stream(self._side),
                self.api.graph(graph, pool=pool, stream=self._side, capture_error_mode=_MODE),
            ):
                for _ in range(times):
                    launch()
        except Exception as error:
            graph.reset()
            self._close_pool(self.api.current_device(), pool)
            exhausted = next((each for each in chain(error) if self._is_out_of_memory(each)), None)
            if exhausted is not None:
                raise exhausted from None
            if not isinstance(error, RuntimeError):
                raise
            raise CannotCapture(_first_line(error)) from None
        replay: Callable[[], None] = graph.replay
        return replay


def _first_line(error: BaseException) -> str:
    """The first line of what went wrong first: that the capture is void is only what follows from it."""
    *_, first = chain(error)
    return (str(first).strip().splitlines() or [type(first).__name__])[0]
