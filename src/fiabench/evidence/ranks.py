"""Real ranks on this box's CPU: one process each, joined over Gloo as the suite's own are."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from fiabench.devices.cpu import CpuDevice
from fiabench.ulysses.groups import RankGroups

RANKS_IMPORT = ["fiabench.measure.one", "fiabench.ops.sdpa"]
"""What the processes need that takes long to import: one server does so for all of them."""
PATIENCE = 300.0
"""Seconds that the ranks may take."""


def on_ranks(count: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """``function(groups, device, *arguments)`` on each of ``count`` ranks; what they return, by rank.

    Everything is pickled. Raises what a rank raises, and TimeoutError after PATIENCE.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(RANKS_IMPORT)
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(count, mp_context=context) as pool,
    ):
        work = (count, f"{folder}/store", function, arguments)
        # A rank's process is busy until all have met, so that each call gets one of its own.
        answers = [pool.submit(_on_rank, rank, *work) for rank in range(count)]
        return [answer.result(PATIENCE) for answer in answers]


def _on_rank(rank: int, count: int, store: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(1)
    device = CpuDevice(rank)
    meeting = dist.FileStore(store, count)
    patience = timedelta(seconds=PATIENCE)
    dist.init_process_group("gloo", store=meeting, rank=rank, world_size=count, timeout=patience)
    try:
        groups = RankGroups(device, count)
        answer = function(groups, device, *arguments)
        groups.barrier()  # a rank that left would fail those still at work
        return answer
    finally:
        dist.destroy_process_group()
