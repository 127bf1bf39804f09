"""What every device offers to the engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch


class Device(Protocol):
    """One rank's device. Made in the rank's process; binds the process to it."""

    name: str
    """`npu`, `cuda` or `cpu`."""
    backend: str
    """torch.distributed's backend for its collectives."""
    timing_method: str
    """`event`: timed on the device; `host`: by the host's clock, the calls being synchronous."""
    torch_device: torch.device
    capture_refused: str
    """Why the last :meth:`capture` gave None; empty where it gave a replay."""
    held_by: str
    """What :meth:`hold` keeps the device busy with; empty where it never did, or has nothing to keep waiting."""

    def __init__(self, index: int) -> None: ...

    @classmethod
    def count(cls) -> int:
        """Devices that ranks can be bound to; 0 where there are none. A CPU's are the cores it may use."""
        ...

    @classmethod
    def describe(cls) -> dict[str, Any]:
        """Name, memory in bytes and driver, for the fingerprint."""
        ...

    def now(self) -> float:
        """Seconds on the host's clock, for caps, for what launching takes and for how long the parts of a case last."""
        ...

    def synchronize(self) -> None:
        """Returns when everything queued has run; errors of queued work surface here."""
        ...

    def mark(self) -> Any:
        """A point in the device's queue, for :meth:`seconds`."""
        ...

    def seconds(self, start: Any, end: Any) -> float:
        """Seconds between two marks, after :meth:`synchronize`."""
        ...

    def hold(self, seconds: float) -> None:
        """Queues work that keeps the device busy for about ``seconds``: what is launched meanwhile waits behind it."""
        ...

    def capture(self, launch: Callable[[], None], times: int) -> Callable[[], None] | None:
        """A replay of ``times`` launches as one graph, to be called in the queue's order like a launch.

        None where the device or the work cannot be captured: the queue is as before, :attr:`capture_refused` says why.
        Launches a few times besides, by way of warming up. Ranks whose work meets call this together and then agree
        on whether all have a replay. What a graph keeps for its intermediates counts towards the peak of memory
        until the replay is let go. Raises what ``launch`` raises by itself, and where memory runs out.
        """
        ...

    def sensors(self) -> dict[str, float]:
        """`clock_mhz`, `temperature_c`, `power_w` and `memory_bytes` of this rank's device, as far as they are known.

        At once or a moment old: a source that is slow to ask is asked at most once a second. `memory_bytes` is
        :meth:`memory_in_use`. Never raises; where a source gives nothing, :attr:`sensors_missing` says why.
        """
        ...

    @property
    def sensors_missing(self) -> str:
        """Why the last :meth:`sensors` lacks clock, temperature and power altogether; empty where it does not."""
        ...

    def flush_cache(self) -> None:
        """Queues writing a buffer of twice the last-level cache, so that nothing of a case's tensors is left in it.

        The buffer is made at the first call and kept. It counts in :meth:`memory_in_use` and not in
        :meth:`peak_memory`, which goes on as if the buffer had been there before :meth:`reset_peak_memory`.
        """
        ...

    def reset_peak_memory(self) -> None:
        """From here on what is taken counts."""
        ...

    def forget_peak(self) -> None:
        """The peak falls back to what is held now; what was taken since :meth:`reset_peak_memory` still counts."""
        ...

    def peak_memory(self) -> int | None:
        """Most bytes held at once since :meth:`forget_peak`, beyond what :meth:`reset_peak_memory` found.

        To be asked when what was taken has been released again. None where the system does not tell.
        """
        ...

    def memory_in_use(self) -> int:
        """Bytes of the device's memory that are taken, a communicator's buffers included; on an accelerator by whoever
        uses it, as only the allocator's part is known of each process."""
        ...

    def is_out_of_memory(self, error: BaseException) -> bool: ...
