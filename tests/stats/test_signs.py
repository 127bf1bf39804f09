"""Bets on signs, against every way in which the coins may fall."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiabench.stats.signs import log_evidence, usual_size

sizes = st.lists(st.floats(0, 1e3), min_size=1, max_size=6)


def capital(differences: np.ndarray, against: float = 0.0) -> float:
    return float(np.exp(log_evidence(differences, np.array([against]), 1.0)[0]))


@given(sizes, st.lists(st.sampled_from([-1, 1]), max_size=3), st.floats(-1, 1))
def test_no_stake_wins_whatever_came_before(later: list[float], before: list[int], against: float) -> None:
    """After any beginning the mean over all ways in which it may go on is the capital that there was: what an e-process
    promises at every look."""
    begun = 0.3 * np.array(before, dtype=float)
    ways = [np.concatenate([begun, np.multiply(later, signs)]) for signs in product([-1, 1], repeat=len(later))]
    had = capital(against + begun, against) if before else 1.0
    assert np.mean([capital(against + way, against) for way in ways]) == pytest.approx(had, rel=1e-6)


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=20), st.lists(st.floats(-1, 1), min_size=1, max_size=5))
def test_values_are_judged_each_as_alone(differences: list[float], against: list[float]) -> None:
    series = np.array(differences)
    found = log_evidence(series, np.array(against), 0.7)
    alone = [float(log_evidence(series, np.array([value]), 0.7)[0]) for value in against]
    assert found == pytest.approx(alone, rel=1e-9, abs=1e-9)


def test_one_that_is_a_hundred_times_as_large_silences_nothing() -> None:
    steady = np.full(20, 0.05)
    assert capital(np.append(steady, -5.0)) > capital(steady) / 5
    assert capital(steady) > 1e4


def test_the_usual_size_is_of_what_came_so_far_and_hardly_moved_by_outliers() -> None:
    assert usual_size(np.array([1.0, -4.0, 0.0])).tolist() == pytest.approx([1.0, 2.25, 1.0])
    draw = np.random.default_rng(1)
    noise = draw.standard_normal(10_000)
    assert usual_size(noise)[-1] == pytest.approx(0.676, abs=0.02)
    noise[:100] *= 100
    assert usual_size(noise)[-1] < 1.3 * 0.676


def test_nothing_is_said_where_nothing_differs() -> None:
    assert capital(np.zeros(9)) == 1
