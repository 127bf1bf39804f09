"""Process groups: one for control, over the host, and one for each Ulysses group, over the device's links."""

from __future__ import annotations

import time
from datetime import timedelta

import torch
import torch.distributed as dist

from fiabench.devices.base import Device

GROUP_TIMEOUT = timedelta(minutes=30)
"""Far above any iteration: a rank that hangs is ended by the coordinator's deadline, not by this."""


class RankGroups:
    """The groups of one rank among the first ``world_size`` ranks of the world.

    Every process of the world makes every group, in the same order: those beyond ``world_size`` too, which then
    take no part.
    """

    def __init__(self, device: Device, world_size: int) -> None:
        """Needs the world's process group, over Gloo; the control group is that, or a part of it."""
        self.rank = dist.get_rank()
        self.world_size = world_size
        self.creation_seconds: dict[int, float] = {}
        """Ulysses degree to the seconds that making and first using its groups took."""
        self.creation_bytes: dict[int, int] = {}
        """Ulysses degree to the device memory that its groups took on this rank."""
        self._device = device
        self._ulysses: dict[int, dist.ProcessGroup | None] = {}
        part = world_size < dist.get_world_size()
        self._control = dist.new_group(list(range(world_size)), timeout=GROUP_TIMEOUT, backend="gloo") if part else None
        self._nothing = torch.zeros(1)

    @property
    def takes_part(self) -> bool:
        return self.rank < self.world_size

    def ulysses(self, degree: int) -> dist.ProcessGroup | None:
        """This rank's group of ``degree`` neighbouring ranks, made and warmed up at its first use.

        None on a rank that takes no part.
        """
        if degree not in self._ulysses:
            self._device.synchronize()
            memory, start = self._device.memory_in_use(), time.perf_counter()
            members = [list(range(first, first + degree)) for first in range(0, self.world_size, degree)]
            groups = [dist.new_group(ranks, timeout=GROUP_TIMEOUT, backend=self._device.backend) for ranks in members]
            mine = groups[self.rank // degree] if self.takes_part else None
            if mine is not None:
                tiny = torch.zeros(degree, device=self._device.torch_device)
                dist.all_to_all_single(torch.empty_like(tiny), tiny, group=mine)
                self._device.synchronize()
            self.creation_seconds[degree] = time.perf_counter() - start
            self.creation_bytes[degree] = max(0, self._device.memory_in_use() - memory)
            self._ulysses[degree] = mine
        return self._ulysses[degree]

    def barrier(self) -> None:
        """Returns when every rank that takes part has come here; costs nothing on one rank."""
        if self.world_size > 1:
            # On Gloo half of what dist.barrier takes.
            dist.all_reduce(self._nothing, group=self._control)

    def gather(self, value: torch.Tensor) -> torch.Tensor:
        """Every rank's ``value``, a host tensor of one shape, stacked by rank: [world size, ...]."""
        if self.world_size == 1:
            return value.unsqueeze(0)
        parts = [torch.empty_like(value) for _ in range(self.world_size)]
        dist.all_gather(parts, value, group=self._control)
        return torch.stack(parts)
