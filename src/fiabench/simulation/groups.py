"""What measuring needs of the ranks' groups, on virtual time."""

from __future__ import annotations

import torch
from torch import Tensor

from fiabench.cases.case import Case
from fiabench.simulation.device import SimulatedDevice
from fiabench.simulation.world import World


class SimulatedGroups:
    """The groups of one rank of ``world``."""

    takes_part = True

    def __init__(self, world: World, device: SimulatedDevice) -> None:
        self.rank = device.rank
        self._world = world
        self._device = device
        self._everybody = tuple(range(world.size))

    def make(self, case: Case) -> None:
        """Nothing: what making a communicator takes is not modelled."""

    def barrier(self) -> None:
        self._device.begin_iteration(self._world.meet(self._everybody, self.rank, self._device.now()))

    def align(self) -> None:
        self._device.meet(self._world.meet(self._everybody, self.rank, self._device.now()))

    def gather(self, value: Tensor) -> Tensor:
        return torch.stack(self._world.meet(self._everybody, self.rank, value))
