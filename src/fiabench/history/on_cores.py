"""The same function over many parts, on every core."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

Part = TypeVar("Part")
Answer = TypeVar("Answer")


def on_every_core(function: Callable[[Part], Answer], parts: Sequence[Part]) -> Iterator[Answer]:
    """What ``function`` makes of each of ``parts``, in their order; whatever it raises is raised here.

    Processes are forked, as a command of tools/ is none that a fresh process could import: no thread of ours may run
    meanwhile.
    """
    workers = min(len(os.sched_getaffinity(0)), len(parts))
    if workers < 2:
        yield from map(function, parts)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("fork"), _ignore_interrupts) as pool:
        try:
            yield from pool.map(function, parts)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
