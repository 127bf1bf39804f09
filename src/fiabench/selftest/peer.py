"""``python -m fiabench.selftest.peer DEVICE RANK FOLDER``: one of two ranks that exchange; rank 0 writes JSON.

They meet over a file in FOLDER. What is told: `wrong`, how many elements of known exchanges arrived wrong; `delays`,
for each iteration what rank 1 came late by and how long each rank was in the exchange; `aligned` and `natural`, the
slower rank's times with and without a meeting before. Seconds.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from fiabench import devices
from fiabench.devices.base import Device
from fiabench.selftest.load import Load
from fiabench.ulysses.groups import RankGroups

RANKS = 2
DELAY_SECONDS = 0.02
_ELEMENTS = (256, 256 * 1024)
"""Float32 to each rank: one exchange of a few messages, and one of many."""
_TIMED_BYTES = {"host": 8 * 2**20, "event": 64 * 2**20}
"""A rank's whole buffer, by how the device is timed: milliseconds either way."""
_WARM_UPS = 3
_REPEATS = 15
_FAR = 1000
"""Above every rank, so that a value says from whom and to whom it is."""


def main() -> None:
    name, rank, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    device = devices.load(name)(rank)
    dist.init_process_group("gloo", store=dist.FileStore(str(folder / "store"), RANKS), rank=rank, world_size=RANKS)
    groups = RankGroups(device, RANKS)
    group = groups.ulysses(RANKS)
    assert group is not None
    told: dict[str, Any] = {"wrong": int(groups.gather(torch.tensor(_wrong(rank, device, group))).sum())}
    exchange = Timed(device, groups, group)
    told |= {"delays": exchange.delays(), "aligned": exchange.aligned(), "natural": exchange.natural()}
    if rank == 0:
        json.dump(told, sys.stdout)
    groups.barrier()
    dist.destroy_process_group()


def _wrong(rank: int, device: Device, group: dist.ProcessGroup) -> int:
    """Elements that did not come from whom they should have, or to whom."""
    wrong = 0
    for elements in _ELEMENTS:
        place = torch.arange(elements, device=device.torch_device, dtype=torch.float32) / elements
        send = torch.stack([place + _FAR * rank + to for to in range(RANKS)])
        received = torch.full_like(send, torch.nan)
        dist.all_to_all_single(received, send, group=group)
        device.synchronize()
        expected = torch.stack([place + _FAR * source + rank for source in range(RANKS)])
        wrong += int((received != expected).sum())
    return wrong


class Timed:
    """Exchanges of one size, timed on each rank by marks of its device."""

    def __init__(self, device: Device, groups: RankGroups, group: dist.ProcessGroup) -> None:
        self._device = device
        self._groups = groups
        elements = _TIMED_BYTES[device.timing_method] // 4 // RANKS
        send = torch.zeros(RANKS, elements, device=device.torch_device)
        received = torch.empty_like(send)
        self._exchange: Callable[[], Any] = lambda: dist.all_to_all_single(received, send, group=group)
        self._load = Load(device)
        for _ in range(_WARM_UPS):
            self._exchange()
        device.synchronize()

    def _once(self) -> float:
        start = self._device.mark()
        self._exchange()
        end = self._device.mark()
        self._device.synchronize()
        return self._device.seconds(start, end)

    def _by_rank(self, *told: float) -> list[list[float]]:
        return self._groups.gather(torch.tensor(told, dtype=torch.float64)).tolist()

    def delays(self) -> list[list[float]]:
        """(delay, rank 0's seconds, rank 1's seconds) of each iteration."""
        found = []
        for _ in range(_REPEATS):
            self._groups.barrier()
            begun = time.perf_counter()
            if self._groups.rank:
                time.sleep(DELAY_SECONDS)
            delay = time.perf_counter() - begun
            (_, first), (late_by, second) = self._by_rank(delay, self._once())
            found.append([late_by, first, second])
        return found

    def aligned(self) -> list[float]:
        return [self._slowest(self._groups.align) for _ in range(_REPEATS)]

    def natural(self) -> list[float]:
        """Each behind work of the rank's own, begun without a meeting."""
        return [self._slowest(self._load) for _ in range(_REPEATS)]

    def _slowest(self, before: Callable[[], None]) -> float:
        before()
        return max(seconds for (seconds,) in self._by_rank(self._once()))


if __name__ == "__main__":
    main()
