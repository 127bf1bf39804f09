"""The simulated device: a host's clock and a device's queue on virtual time, as a real one's events see them."""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch

from fiabench.simulation.effects import Disturbance
from fiabench.simulation.spec import Spec
from fiabench.simulation.world import World

CLOCK_MHZ = 1000.0
"""What a simulated device's sensor says of its clock; no model depends on it."""


class SimulatedOutOfMemory(RuntimeError):
    """An out-of-memory that was planted."""


class SimulatedDevice:
    """One rank's device. The host launches, which takes its time; the device does one thing after the other.

    An iteration begins at a barrier: there the next noise is drawn.
    """

    backend = "simulated"
    timing_method = "event"
    capture_refused = ""
    held_by = ""
    sensors_missing = ""

    def __init__(self, name: str, spec: Spec, world: World, rank: int, disturbance: Disturbance) -> None:
        self.name = name
        self.spec = spec
        self.rank = rank
        self.disturbance = disturbance
        self.torch_device = torch.device("cpu")
        self._world = world
        self._launch = spec.launch.microseconds * 1e-6
        """What the host takes to launch one thing."""
        self._host = 0.0
        self._free = 0.0
        """When the device will have done everything that was launched."""
        self._noise = disturbance.noise()

    def now(self) -> float:
        return self._host

    def synchronize(self) -> None:
        self._host = max(self._host, self._free)

    def mark(self) -> float:
        return max(self._host, self._free)

    def seconds(self, start: float, end: float) -> float:
        return end - start

    def work(self, seconds: float) -> None:
        """Launches something that takes that long, undisturbed."""
        start = self._enqueue()
        self._free = start + seconds * self._noise * self.disturbance.slowing(start)

    def exchange(self, ranks: tuple[int, ...], seconds: float) -> None:
        """Launches an exchange among ``ranks`` that takes that long once the last has come, undisturbed."""
        brought = self._world.meet(ranks, self.rank, (self._enqueue(), self._noise))
        noise: float = brought[0][1]  # one for all, so that the planted distribution is the exchange's
        self._free = max(arrival for arrival, _ in brought) + seconds * noise

    def _enqueue(self) -> float:
        self._host += self._launch
        return max(self._host, self._free)

    def begin_iteration(self, clocks: list[float]) -> None:
        """Goes on when the last of the hosts' ``clocks`` has come, or later where a delay is planted."""
        self.meet(clocks)
        self._host += self.disturbance.delay

    def meet(self, clocks: list[float]) -> None:
        """Goes on when the last of the hosts' ``clocks`` has come."""
        self._host = max(clocks)
        self._noise = self.disturbance.noise()

    def hold(self, seconds: float) -> None:
        """Keeps the device busy for that long: what is launched meanwhile waits in its queue."""
        self._free = max(self._host, self._free) + seconds

    def capture(self, launch: Callable[[], None], times: int) -> Callable[[], None]:
        """A replay of ``times`` launches as one graph, which costs the host one launch."""

        def replay() -> None:
            self._enqueue()
            each, self._launch = self._launch, 0.0
            for _ in range(times):
                launch()
            self._launch = each

        return replay

    def sensors(self) -> dict[str, float]:
        """The clock: CLOCK_MHZ, less where throttling is planted."""
        return {"clock_mhz": CLOCK_MHZ / self.disturbance.throttling(max(self._host, self._free))}

    def flush_cache(self) -> None:
        """Nothing: the model knows no caches."""

    def hang(self) -> None:
        """Never returns."""
        threading.Event().wait()

    def reset_peak_memory(self) -> None:
        pass

    def forget_peak(self) -> None:
        pass

    def peak_memory(self) -> None:
        """None: nothing is taken, and what a real one would take is not modelled."""

    def memory_in_use(self) -> int:
        return 0

    def is_out_of_memory(self, error: BaseException) -> bool:
        return isinstance(error, SimulatedOutOfMemory)
