"""What every device offers to the engine."""

from __future__ import annotations

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
        """Bytes that this process holds of the device's memory, a communicator's buffers included where visible."""
        ...

    def is_out_of_memory(self, error: BaseException) -> bool: ...
