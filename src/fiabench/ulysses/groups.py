"""Process groups: one for control, over the host, and those of Ulysses and the ring, over the device's links."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

import torch
import torch.distributed as dist

from fiabench.cases.case import Case
from fiabench.devices.base import Device
from fiabench.ulysses.ring import pass_on

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
        self.creation_seconds: dict[str, float] = {}
        """A kind of group (`ulysses 4`) to the seconds that making and first using its groups took."""
        self.creation_bytes: dict[str, int] = {}
        """The same to the device memory that its groups took on this rank."""
        self._device = device
        self._made: dict[str, dist.ProcessGroup | None] = {}
        part = world_size < dist.get_world_size()
        self._control = dist.new_group(list(range(world_size)), timeout=GROUP_TIMEOUT, backend="gloo") if part else None
        self._nothing = torch.zeros(1)

    @property
    def takes_part(self) -> bool:
        return self.rank < self.world_size

    def make(self, case: Case) -> None:
        """Makes every group that ``case`` needs; ranks that take no part have to call this too."""
        if case.measure == "kernel":
            return
        if case.ulysses > 1:
            self.ulysses(case.ulysses)
        if case.ring > 1:
            self.ring(case.ulysses, case.ring)

    def ulysses(self, degree: int) -> dist.ProcessGroup | None:
        """This rank's group of ``degree`` neighbouring ranks, made and warmed up at its first use.

        None on a rank that takes no part.
        """
        members = [list(range(first, first + degree)) for first in range(0, self.world_size, degree)]
        return self._group(f"ulysses {degree}", members, self._exchange_once)

    def ring(self, ulysses: int, degree: int) -> dist.ProcessGroup | None:
        """This rank's group of ``degree`` ranks that are ``ulysses`` apart, one of each of as many Ulysses groups.

        Made and warmed up at its first use; None on a rank that takes no part.
        """
        block = ulysses * degree
        members = [
            list(range(first + place, first + block, ulysses))
            for first in range(0, self.world_size, block)
            for place in range(ulysses)
        ]
        return self._group(f"ring {degree} x ulysses {ulysses}", members, self._pass_once)

    def _group(
        self, kind: str, members: list[list[int]], warm_up: Callable[[dist.ProcessGroup], None]
    ) -> dist.ProcessGroup | None:
        if kind not in self._made:
            self._device.synchronize()
            memory, start = self._device.memory_in_use(), time.perf_counter()
            mine = None
            for ranks in members:
                group = dist.new_group(ranks, timeout=GROUP_TIMEOUT, backend=self._device.backend)
                mine = group if self.rank in ranks else mine
            if mine is not None:
                warm_up(mine)
                self._device.synchronize()
            self.creation_seconds[kind] = time.perf_counter() - start
            self.creation_bytes[kind] = max(0, self._device.memory_in_use() - memory)
            self._made[kind] = mine
        return self._made[kind]

    def _exchange_once(self, group: dist.ProcessGroup) -> None:
        tiny = torch.zeros(dist.get_world_size(group), device=self._device.torch_device)
        dist.all_to_all_single(torch.empty_like(tiny), tiny, group=group)

    def _pass_once(self, group: dist.ProcessGroup) -> None:
        tiny = torch.zeros(1, device=self._device.torch_device)
        pass_on((tiny,), (torch.empty_like(tiny),), group)

    def barrier(self) -> None:
        """Returns when every rank that takes part has come here; costs nothing on one rank."""
        if self.world_size > 1:
            # On Gloo half of what dist.barrier takes.
            dist.all_reduce(self._nothing, group=self._control)

    def align(self) -> None:
        """As :meth:`barrier`, in the middle of an iteration."""
        self.barrier()

    def gather(self, value: torch.Tensor) -> torch.Tensor:
        """Every rank's ``value``, a host tensor of one shape, stacked by rank: [world size, ...]."""
        if self.world_size == 1:
            return value.unsqueeze(0)
        parts = [torch.empty_like(value) for _ in range(self.world_size)]
        dist.all_gather(parts, value, group=self._control)
        return torch.stack(parts)
