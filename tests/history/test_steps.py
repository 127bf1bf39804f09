"""Planted changes in made-up histories, and histories without any."""

from __future__ import annotations

import numpy as np
import pytest

from fiabench.history.steps import Value, find_steps

NOISE = 0.01


def values(levels: list[float | None], seed: int, noise: float = NOISE) -> list[Value | None]:
    rng = np.random.default_rng(seed)
    made: list[Value | None] = []
    for level in levels:
        value = None if level is None else level * float(np.exp(noise * rng.standard_normal()))
        made.append(None if value is None else Value(value, 0.998 * value, 1.002 * value))
    return made


@pytest.mark.parametrize("seed", range(5))
def test_a_slowdown_and_its_end_are_found_where_they_are(seed: int) -> None:
    found = find_steps(values([1.0] * 4 + [1.3] * 3 + [1.0] * 5, seed))
    assert [(step.at, step.alone) for step in found] == [(4, False), (7, False)]
    assert found[0].ratio == pytest.approx(1.3, rel=0.06)


def test_commits_that_were_not_measured_are_stepped_over() -> None:
    (found,) = find_steps(values([1.0, 1.0, 1.0, None, None, 1.5, 1.5, 1.5], 1))
    assert found.at == 5


def test_one_commit_that_stands_out_alone_is_one_event() -> None:
    (found,) = find_steps(values([1.0, 1.0, 1.0, 2.0, 1.0, 1.0, 1.0], 1))
    assert (found.at, found.alone) == (3, True)


def test_histories_without_a_change_are_left_in_peace() -> None:
    alarms = sum(
        bool(find_steps(values([1.0] * 20, seed, noise))) for seed in range(100) for noise in (0.01, 0.05, 0.2)
    )
    assert alarms <= 20, "of 300 histories"


def test_a_number_without_an_interval_needs_neighbours() -> None:
    alone = [Value(1.0, 1.0, 1.0), Value(1.2, 1.2, 1.2)]
    assert find_steps(alone) == []
    (found,) = find_steps([*[alone[0]] * 4, *[alone[1]] * 4])
    assert found.at == 4


def test_intervals_that_overlap_are_no_change() -> None:
    assert find_steps([Value(1.0, 0.8, 1.3), Value(1.5, 1.2, 1.6)]) == []
