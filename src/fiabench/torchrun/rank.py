"""The ranks: each does what rank 0 tells all of them to, and on rank 0 they are the coordinator's."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from typing import Any

import psutil
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from fiabench import devices
from fiabench.cases.case import Case
from fiabench.cases.variables import Variables, in_words
from fiabench.devices.base import Device
from fiabench.devices.binding import apply, bind
from fiabench.results.rundir import RunDirectory
from fiabench.torchrun import in_flight
from fiabench.ulysses.groups import GROUP_TIMEOUT, RankGroups
from fiabench.workers.machine import Machine
from fiabench.workers.probe import probe
from fiabench.workers.rank import answer

_ANY_CASE = timedelta(days=365)
"""What ranks wait for the next command, those that a case has no part for while others measure it: rank 0 keeps the
deadline, and ends them all."""


def meet() -> None:
    """Joins the world of this restart: torchrun's store may still hold the addresses of the ranks that are gone."""
    store, rank, world_size = next(rendezvous("env://"))
    store = dist.PrefixStore(f"restart{os.environ['TORCHELASTIC_RESTART_COUNT']}", store)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world_size, timeout=GROUP_TIMEOUT)


class Rank:
    """This process as a rank of the world; :meth:`tell` and :meth:`run` are to be called on all of them."""

    _device: Device

    def __init__(self) -> None:
        self._local_rank, self._local_count = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
        self._groups: dict[int, RankGroups] = {}
        self._told = dist.new_group(backend="gloo", timeout=_ANY_CASE)
        self._allowed = sorted(os.sched_getaffinity(0))
        self._cores: list[int] | None = None

    def follow(self) -> int:
        """Does what it is told; returns the exit code that it is told at last."""
        while True:
            told = self.tell(None)
            if "exit" in told:
                return int(told["exit"])
            if "device" in told:
                self.begin(told["device"])
            else:
                self.run(told)

    def tell(self, command: dict[str, Any] | None) -> dict[str, Any]:
        """Rank 0's ``command``, on every rank."""
        box = [command]
        dist.broadcast_object_list(box, src=0, group=self._told)
        assert box[0] is not None
        return box[0]

    def begin(self, device: str) -> None:
        """Takes this rank's device of that name. Raises DeviceMissing where this node has none."""
        probe(device)
        if device != "cpu":
            self._cores = bind(device, self._local_rank, self._local_count, 1)
        self._device = devices.load(device)(self._local_rank)

    def run(self, command: dict[str, Any]) -> list[dict[str, Any]]:
        """Runs a case with all ranks; on rank 0 returns the answers of those that took part, elsewhere nothing."""
        case = Case.from_dict(command["case"])
        if case.world_size not in self._groups:
            self._groups[case.world_size] = RankGroups(self._device, case.world_size)
        groups = self._groups[case.world_size]
        if self._device.name == "cpu" and groups.takes_part:
            self._bind_for(case)
        mine = answer(command, self._device, groups) | {"pid": os.getpid(), "cores": self._cores}
        answers: list[Any] | None = [None] * dist.get_world_size() if dist.get_rank() == 0 else None
        dist.gather_object(mine if groups.takes_part else None, answers, dst=0, group=self._told)
        return [found for found in answers or [] if found]

    def _bind_for(self, case: Case) -> None:
        """Divides the node's cores anew: ranks on the CPU have none of their own, and each case's are others."""
        if self._cores is not None:
            apply(self._allowed)
        before = dist.get_rank() - self._local_rank
        here = min(case.world_size - before, self._local_count)
        self._cores = bind("cpu", self._local_rank, here, case.threads)


class LaunchedRanks:
    """All ranks, as the coordinator on ``rank`` 0 needs them: there is no other group, and nobody to end it."""

    def __init__(self, rank: Rank, directory: RunDirectory, machine: Machine) -> None:
        self.cores: list[list[int] | None] = []
        self.pids: list[int] = []
        self._rank = rank
        self._directory = directory
        self._machine = machine
        self._joined = time.time() - psutil.Process().create_time()

    def lacking(self, case: Case) -> str:
        started = dist.get_world_size()
        if case.world_size > started:
            return f"needs {case.world_size} ranks, torchrun started {started}"
        other = [(name, value) for name, value in case.variables if os.environ.get(name) != value]
        return (
            f"needs {in_words(other)} in the environment, and torchrun has started the ranks without" if other else ""
        )

    def hosts(self, world_size: int, variables: Variables, threads: int) -> bool:
        return True

    def join(self) -> float:
        return self._joined

    def ask(self, command: dict[str, Any], seconds: float) -> list[dict[str, Any]]:
        with in_flight.measuring(self._directory, command, self._machine, seconds):
            self._rank.tell(command)
            answers = self._rank.run(command)
        self.pids = [answer["pid"] for answer in answers]
        self.cores = [answer["cores"] for answer in answers]
        return answers

    def close(self) -> None:
        """Nothing: they go on with the next case."""

    def kill(self) -> None:
        """Nothing: where one has to end, torchrun ends all."""
