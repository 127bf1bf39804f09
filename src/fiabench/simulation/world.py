"""Ranks as threads of one process that meet for what they do together, one running at a time.

A rank runs until it has to wait for another, and then hands over to the next that need not: threads that ran at once
would only take turns at the interpreter, and many of them slowly. What a meeting gives depends on what its members
bring, and the order in which ranks run on nothing but the meetings, so that a run can be repeated exactly.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")


class Abandoned(BaseException):
    """A rank waits for one that will not come.

    No Exception: what handles the errors of a case must not take it for one.
    """


class World:
    """``size`` ranks, for one run."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._turns = [threading.Semaphore(0) for _ in range(size)]
        self._ready = deque(range(size))
        self._brought: dict[tuple[int, ...], dict[int, Any]] = {}
        """Of each group that waits for some of its ranks, what the others brought."""
        self._given: dict[int, list[Any] | None] = {}
        """What a rank that waited goes on with; None where it waited in vain."""

    def meet(self, ranks: tuple[int, ...], rank: int, brought: Any) -> list[Any]:
        """What each of ``ranks`` brought, in their order, once all have come. Raises Abandoned."""
        waiting = self._brought.setdefault(ranks, {})
        waiting[rank] = brought
        if len(waiting) == len(ranks):
            del self._brought[ranks]
            result = [waiting[other] for other in ranks]
            self._wake([other for other in ranks if other != rank], result)
            return result
        self._hand_over()
        self._turns[rank].acquire()
        given = self._given.pop(rank)
        if given is None:
            raise Abandoned
        return given

    def _wake(self, ranks: list[int], given: list[Any] | None) -> None:
        self._given |= dict.fromkeys(ranks, given)
        self._ready.extend(ranks)

    def _hand_over(self) -> None:
        """Lets the next rank run; where none can, those who wait do so in vain."""
        if not self._ready:
            self._wake(sorted(rank for waiting in self._brought.values() for rank in waiting), None)
            self._brought.clear()
        if self._ready:
            self._turns[self._ready.popleft()].release()

    def run(self, body: Callable[[int], Result]) -> list[Result | None]:
        """``body(rank)`` on every rank; by rank what it returned, None where it waited for one that had ended.

        Raises what the body of the first rank that raised did, once all have ended.
        """
        results: list[Result | None] = [None] * self.size
        errors: dict[int, BaseException] = {}

        def one(rank: int) -> None:
            self._turns[rank].acquire()
            try:
                results[rank] = body(rank)
            except Abandoned:
                pass  # the rank that it waited for says why
            except BaseException as error:  # raised again below, in the caller's thread
                errors[rank] = error
            self._hand_over()

        self._hand_over()
        if self.size == 1:
            one(0)
        else:
            threads = [threading.Thread(target=one, args=(rank,), daemon=True) for rank in range(self.size)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        for rank in sorted(errors):
            raise errors[rank]
        return results
