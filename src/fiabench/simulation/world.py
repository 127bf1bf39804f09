"""Ranks as threads of one process, each with its own virtual clock, that meet for what they do together.

What a meeting gives depends on what its members bring and on nothing else, so that no scheduling of the threads can be
seen in a result.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")


class Abandoned(BaseException):
    """Another rank failed, and this one would wait for it for ever.

    No Exception: what handles the errors of a case must not take it for one.
    """


class _Meeting:
    """One group's meetings, one after the other."""

    def __init__(self, ranks: tuple[int, ...]) -> None:
        self.places = {rank: place for place, rank in enumerate(ranks)}
        self.lock = threading.Lock()
        self.wake = [threading.Semaphore(0) for _ in ranks]
        self.brought: list[Any] = [None] * len(ranks)
        self.arrived = 0
        self.result: list[Any] = []


class World:
    """``size`` ranks."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._lock = threading.Lock()
        self._meetings: dict[tuple[int, ...], _Meeting] = {}
        self._abandoned = False

    def meet(self, ranks: tuple[int, ...], rank: int, brought: Any) -> list[Any]:
        """What each of ``ranks`` brought, in their order, once all have come. Raises Abandoned."""
        if len(ranks) == 1:
            return [brought]
        with self._lock:
            meeting = self._meetings.get(ranks) or self._meetings.setdefault(ranks, _Meeting(ranks))
            if self._abandoned:
                raise Abandoned
        place = meeting.places[rank]
        with meeting.lock:
            meeting.brought[place] = brought
            meeting.arrived += 1
            last = meeting.arrived == len(ranks)
            if last:
                # Nobody can overwrite the result before all have come again, and so have read it.
                meeting.result, meeting.brought, meeting.arrived = meeting.brought, [None] * len(ranks), 0
        if last:
            for other, semaphore in enumerate(meeting.wake):
                if other != place:
                    semaphore.release()
        else:
            meeting.wake[place].acquire()
            if self._abandoned:
                raise Abandoned
        return meeting.result

    def abandon(self) -> None:
        """Ends every rank that waits for another, or will."""
        with self._lock:
            self._abandoned = True
            for meeting in self._meetings.values():
                for semaphore in meeting.wake:
                    semaphore.release()

    def run(self, body: Callable[[int], Result], failed: Callable[[Result], bool]) -> list[Result | None]:
        """``body(rank)`` on every rank at once; by rank what it returned, None where it waited for one that ``failed``.

        Raises what the body of the first rank that raised did, once all have ended.
        """
        results: list[Result | None] = [None] * self.size
        errors: dict[int, BaseException] = {}

        def one(rank: int) -> None:
            try:
                result = results[rank] = body(rank)
                over = failed(result)
            except Abandoned:
                return
            except BaseException as error:  # raised again below, in the caller's thread
                errors[rank], over = error, True
            if over:
                self.abandon()

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
