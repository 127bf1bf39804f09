"""A rank's process: ``python -m fiabench.workers.rank``, started by the coordinator and fed over its standard input."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import torch
import torch.distributed as dist

from fiabench import devices
from fiabench.cases.case import Case
from fiabench.devices.base import Device
from fiabench.devices.binding import bind
from fiabench.measure.one import Outcome, measure
from fiabench.measure.sampling import Stopping
from fiabench.measure.subjects import provenance
from fiabench.projects.errors import ProjectError
from fiabench.ulysses.groups import GROUP_TIMEOUT, RankGroups
from fiabench.workers.protocol import PARENT, REPLY_FD, decode, encode

_HOST = "127.0.0.1"
_WATCH_SECONDS = 0.5


def main() -> None:
    end_with_parent(int(os.environ[PARENT]))
    rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    local_rank, local_count = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    # Before anything starts threads that would have to follow.
    cores = bind(os.environ["FIABENCH_DEVICE"], local_rank, local_count, int(os.environ["OMP_NUM_THREADS"]))
    with os.fdopen(int(os.environ[REPLY_FD]), "wb", buffering=0) as replies:

        def reply(message: dict[str, Any]) -> None:
            replies.write(encode({"rank": rank, **message}))

        commands = read_commands()
        device = devices.load(os.environ["FIABENCH_DEVICE"])(local_rank)
        groups = _join(rank, world_size, device, commands, reply)
        reply({"joined": True, "cores": cores})
        # What was imported stays: only a case's own objects are looked through when it ends.
        gc.collect()
        gc.freeze()
        for command in commands:
            reply(answer(command, device, groups))
        dist.destroy_process_group()


def read_commands() -> Iterator[dict[str, Any]]:
    """What the coordinator says, until it has no more."""
    for line in sys.stdin.buffer:
        yield decode(line)


def _join(rank: int, world_size: int, device: Device, commands: Iterator[dict[str, Any]], reply: Any) -> RankGroups:
    """Meets the other ranks at a store that rank 0 opens on a port which the system chooses."""
    reply({"ready": True})
    port = next(commands)["port"]
    store = dist.TCPStore(_HOST, port, world_size, is_master=rank == 0, wait_for_workers=False)
    if rank == 0:
        reply({"port": store.port})
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world_size, timeout=GROUP_TIMEOUT)
    return RankGroups(device, world_size)


def answer(command: dict[str, Any], device: Device, groups: RankGroups) -> dict[str, Any]:
    """Runs a case; its outcome, and what ``groups`` took to make so far."""
    outcome = run_case(command, device, groups)
    return {
        "outcome": asdict(outcome),
        "groups": {"seconds": groups.creation_seconds, "bytes": groups.creation_bytes},
    }


def run_case(command: dict[str, Any], device: Any, groups: Any, measure: Callable[..., Outcome] = measure) -> Outcome:
    """Runs one case by ``measure``; whatever it raises becomes the outcome's status and reason."""
    case = Case.from_dict(command["case"])
    torch.set_num_threads(case.threads)
    beside = {"cross_check": command["cross_check"]} if command.get("cross_check") else {}
    try:
        outcome = measure(case, device, groups, Stopping(**command["stopping"]), command["projects"], **beside)
    except Exception as error:  # a rank reports any failure of a case and goes on to the next
        status = "out_of_memory" if device.is_out_of_memory(error) else "error"
        outcome = Outcome(status, f"{type(error).__name__}: {error}")
        with suppress(ProjectError):  # a project that cannot be loaded has no origin, and may be what failed
            outcome.timing["projects"] = provenance(case, command["projects"])
    return outcome


def end_with_parent(parent: int) -> None:
    """Ends this process soon after the coordinator is gone, however that ended and whatever this rank is doing."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    main()
