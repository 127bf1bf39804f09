"""Criteria: when they look, what they want and what they say. How often they are right: tests/evidence."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from fiabench.stats.stopping import Criterion, Decision, FixedCount, FixedTime, MedianInterval
from tests.stats import noise


def test_a_count_is_taken_at_once():
    criterion = FixedCount(20)
    assert criterion.judge(np.ones(0), 0.0) == Decision(False, 20, "0 of 20 samples")
    assert criterion.judge(np.ones(5), 0.0).wanted == 15
    assert criterion.judge(np.ones(20), 0.0).settled


def test_a_time_is_filled_without_running_far_over():
    criterion = FixedTime(10.0)
    taken, elapsed = 0, 0.0
    while not (decision := criterion.judge(np.ones(taken), elapsed)).settled:
        taken += decision.wanted
        elapsed = 0.3 * taken
    assert 9.7 <= elapsed <= 10.0
    assert criterion.judge(np.ones(1), 99.0).settled


@pytest.mark.parametrize("criterion", [FixedCount(30), FixedTime(3.0), MedianInterval()])
def test_each_criterion_asks_for_more_or_is_settled(criterion: Criterion):
    source = np.random.default_rng(0)
    series = 1 + noise.gaussian(source, 400)
    for count in (1, 2, 3, 10, 40, 399):
        decision = criterion.judge(series[:count], 0.1 * count)
        assert decision.settled == (decision.wanted == 0)
        assert decision.why


def test_looks_are_ever_further_apart():
    series = 1 + noise.gaussian(np.random.default_rng(0), 2000, 0.2)
    counts = [10]
    while (decision := MedianInterval().judge(series[: counts[-1]], 0.0)).wanted and counts[-1] < 1000:
        counts.append(counts[-1] + decision.wanted)
    assert all(after >= 1.1 * before for before, after in pairwise(counts))


def test_three_samples_may_be_enough_where_they_agree():
    criterion = MedianInterval(min_samples=3)
    assert criterion.judge(np.array([2.5, 2.5005, 2.4995]), 8.0).settled
    assert not criterion.judge(np.array([2.5, 2.52, 2.51]), 8.0).settled


def test_words_say_why():
    source = np.random.default_rng(1)
    criterion = MedianInterval()
    assert "is asked for" in criterion.judge(1 + noise.gaussian(source, 12, 0.05), 0.0).why
    stepped = 1 + 0.1 * noise.gaussian(source, 40) + 0.05 * (np.arange(40) >= 30)
    assert "rose by 5.0 % after sample 30" in criterion.judge(stepped, 0.0).why
    split = np.array([1.0, 1.02] * 20) + 1e-4 * source.standard_normal(40)
    modes = MedianInterval(half_width=0.015).judge(split, 0.0)
    assert "2 modes hold 50 %, 50 %" in modes.why
    assert not modes.settled
    ended = np.append(1 + 0.1 * noise.gaussian(source, 30), 1.05)
    assert "outlier" in criterion.judge(ended, 0.0).why


def test_quiet_series_settle_at_once():
    series = 1 + noise.gaussian(np.random.default_rng(0), 10, 1e-4)
    assert MedianInterval().judge(series, 0.0).settled
