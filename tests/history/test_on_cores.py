"""Parts of the work in processes: in order, with what goes wrong said here, and a process that is killed."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from fiabench.cases.errors import InputError
from fiabench.history.on_cores import on_every_core, ranges
from fiabench.stats.changes import Detection, History, detect_each


def test_answers_come_in_the_order_of_the_parts_from_other_processes() -> None:
    whole = list(range(1000))
    answers = list(on_every_core(lambda part: (sum(whole[part.start : part.stop]), os.getpid()), ranges(1000, 7)))
    assert [answer for answer, _ in answers] == [sum(part) for part in ranges(1000, 7)]
    if len(os.sched_getaffinity(0)) > 1:
        assert os.getpid() not in {pid for _, pid in answers}


def test_what_is_raised_is_raised_here() -> None:
    def refuse(part: range) -> int:
        if part.start == 30:
            raise OSError(28, "No space left on device", "cases/a.js")
        return part.start

    with pytest.raises(OSError, match="No space left on device") as caught:
        list(on_every_core(refuse, ranges(100, 10)))
    assert caught.value.filename == "cases/a.js"


SEVERAL = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core takes all parts itself")


@SEVERAL
def test_a_process_takes_no_more_than_its_core() -> None:
    def threads(part: range) -> int:
        matrix = np.ones((200, 200)) @ np.ones((200, 200))
        assert matrix[0, 0] == 200
        return max(library["num_threads"] for library in threadpool_info())

    assert list(on_every_core(threads, ranges(20, 5))) == [1] * 4


def test_the_detector_finds_the_same_on_every_core() -> None:
    logs = 0.01 * np.random.default_rng(3).standard_normal((300, 50))
    logs[::3, 30:] += 0.1
    histories = [History(np.exp(row)) for row in logs]
    known: dict[str, Detection] = {}
    found = detect_each(histories, known, on_every_core)
    assert sum(bool(one.flags) for one in found) >= 100
    assert found == detect_each(histories)
    assert list(known.values()) == found


@SEVERAL
def test_a_process_that_is_killed_is_one_clear_error() -> None:
    def end(part: range) -> int:
        if part.start == 30:
            os.kill(os.getpid(), signal.SIGKILL)
        return part.start

    with pytest.raises(InputError, match="one of the processes was ended"):
        list(on_every_core(end, ranges(100, 10)))


def test_ranges_leave_nothing_out() -> None:
    assert [number for part in ranges(23, 5) for number in part] == list(range(23))
    assert ranges(0, 5) == []
