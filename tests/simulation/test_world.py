"""Meetings of threads: what they give, and how they end when somebody does not come."""

from __future__ import annotations

import random
import time

import pytest

from fiabench.simulation.world import World


def test_everybody_gets_what_everybody_brought_whatever_the_order():
    world = World(5)

    def body(rank: int) -> list[list[int]]:
        found = []
        for turn in range(20):
            time.sleep(random.random() * 1e-4)
            found.append(world.meet((0, 1, 2, 3, 4), rank, 10 * turn + rank))
        return found

    results = world.run(body)
    assert results == [[[10 * turn + rank for rank in range(5)] for turn in range(20)]] * 5


def test_groups_meet_apart():
    world = World(4)
    results = world.run(lambda rank: world.meet((0, 1) if rank < 2 else (2, 3), rank, rank))
    assert results == [[0, 1], [0, 1], [2, 3], [2, 3]]


def test_those_who_wait_for_one_that_failed_have_no_result():
    world = World(3)

    def body(rank: int) -> str:
        if rank == 1:
            return "failed"
        world.meet((0, 1, 2), rank, None)
        return "met"

    assert world.run(body) == [None, "failed", None]


def test_an_error_comes_out_of_the_world():
    world = World(3)

    def body(rank: int) -> None:
        if rank == 1:
            raise ValueError("rank 1")
        world.meet((0, 1, 2), rank, None)

    with pytest.raises(ValueError, match="rank 1"):
        world.run(body)
