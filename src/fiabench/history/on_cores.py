"""The same function over many parts, on every core."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from fiabench.cases.errors import InputError

MOST = 16
"""Processes: with more the one that brings their answers together has more to do than they."""

Part = TypeVar("Part")
Answer = TypeVar("Answer")
_function: Callable[[Any], Any]
"""Of the process, where it is one of ours."""


def on_every_core(function: Callable[[Part], Answer], parts: Sequence[Part]) -> Iterator[Answer]:
    """What ``function`` makes of each of ``parts``, in their order; whatever it raises is raised here, and InputError
    where a process is ended from outside.

    Processes are forked: ``function`` may hold on to a whole history, which nobody has to copy, and a command of tools/
    is none that a fresh process could import. What it changes is lost with its process, but for files.
    """
    workers = min(len(os.sched_getaffinity(0)), len(parts), MOST)
    if workers < 2:
        yield from map(function, parts)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("fork"), _begin, (function,)) as pool:
        try:
            yield from pool.map(_call, parts)
        except BrokenProcessPool as error:
            raise InputError.plain("one of the processes was ended, as for want of memory; try again") from error
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def ranges(count: int, together: int) -> list[range]:
    """``count`` things in parts of ``together``."""
    return [range(begin, min(begin + together, count)) for begin in range(0, count, together)]


def _begin(function: Callable[[Any], Any]) -> None:
    global _function
    _function = function
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asked hears it
    threadpool_limits(1)  # each core has a process already


def _call(part: Any) -> Any:
    return _function(part)
