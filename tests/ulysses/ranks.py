"""Runs a function on real ranks: one process each, joined over Gloo as the suite's own ranks are."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from fiabench.devices.cpu import CpuDevice
from fiabench.ulysses.groups import RankGroups

# Children are forked from a server that has imported torch and nothing else has happened in: they start in
# milliseconds, and no thread of the tests' own process is lost on the way.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["fiabench.measure.one", "fiabench.ops.fia", "fiabench.ops.sdpa", "pytest"])
DYING_SECONDS = 1.0
"""A rank that dies makes those that wait for it raise, and their word may come first: it is the one to be named."""
_ROOT = str(Path(__file__).resolve().parents[2])


class RankFailed(AssertionError):
    """A rank raised, died or did not come back; the message says which and how."""


def run_ranks(world_size: int, function: Callable[..., Any], *arguments: Any, seconds: float = 60.0) -> list[Any]:
    """``function(groups, device, *arguments)`` on each rank; what they return, by rank.

    Everything is pickled: a function at the top of a module, no tensors back. Raises RankFailed for the first rank
    that fails, and where ``seconds`` pass; no process is left behind in any case.
    """
    if _ROOT not in sys.path:  # the children import this and the function's module by name
        sys.path.append(_ROOT)
    deadline = time.monotonic() + seconds
    processes, pipes = [], []
    with tempfile.TemporaryDirectory() as folder:
        try:
            for rank in range(world_size):
                reading, writing = _CONTEXT.Pipe()
                work = (rank, world_size, f"{folder}/store", writing, function, arguments)
                process = _CONTEXT.Process(target=_rank, args=work, daemon=True)
                process.start()
                writing.close()
                processes.append(process)
                pipes.append(reading)
            return _collect(pipes, deadline)
        finally:
            for process in processes:
                process.kill()
                process.join()


def _collect(pipes: list[Connection], deadline: float) -> list[Any]:
    answers: dict[int, Any] = {}
    raised = ""
    while len(answers) < len(pipes):
        waiting = [pipe for rank, pipe in enumerate(pipes) if rank not in answers]
        ready = wait(waiting, max(0.0, deadline - time.monotonic()))
        if not ready:
            raise RankFailed(raised or f"no answer from rank {[pipes.index(pipe) for pipe in waiting]}")
        for pipe in ready:
            rank = pipes.index(pipe)
            try:
                answers[rank], error = pipe.recv()
            except EOFError:
                raise RankFailed(f"rank {rank} died") from None
            if error and not raised:
                raised = f"rank {rank} raised\n{error}"
                deadline = min(deadline, time.monotonic() + DYING_SECONDS)
    if raised:
        raise RankFailed(raised)
    return [answers[rank] for rank in range(len(pipes))]


def _rank(
    rank: int, world_size: int, store: str, answer: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(1)
    try:
        device = CpuDevice(rank)
        dist.init_process_group("gloo", store=dist.FileStore(store, world_size), rank=rank, world_size=world_size)
        groups = RankGroups(device, world_size)
        answer.send((function(groups, device, *arguments), ""))
    except BaseException:
        answer.send((None, traceback.format_exc()))
    with suppress(EOFError):
        answer.recv()  # a rank that left would fail those still at work: the tests' process ends all at once
    os._exit(0)
