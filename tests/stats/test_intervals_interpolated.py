"""The interpolated interval covers what it says, whatever the noise, and no more than it has to."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fiabench.stats.intervals import interval_ranks, median_interval


@pytest.mark.parametrize("count", [6, 10, 13, 24, 60])
@pytest.mark.parametrize("kind", ["normal", "exponential", "t3"])
def test_it_covers_the_median_in_95_of_100_series(kind, count):
    """2,000 series; the interpolation itself is good within about one percent for skewed noise and few samples."""
    source = np.random.default_rng(11)
    median = math.log(2) if kind == "exponential" else 0.0
    draw = {
        "normal": source.standard_normal,
        "exponential": source.standard_exponential,
        "t3": lambda size: source.standard_t(3, size),
    }[kind]
    intervals = [median_interval(row) for row in draw((2000, count))]
    covered = np.mean([interval.low <= median <= interval.high for interval in intervals])
    assert abs(covered - 0.95) < 0.01 + 3 * math.sqrt(0.05 * 0.95 / 2000)


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_fewer_than_six_gaussian_samples_are_still_covered(count):
    rows = np.random.default_rng(3).standard_normal((2000, count))
    intervals = [median_interval(row) for row in rows]
    assert 0.94 < np.mean([interval.low <= 0 <= interval.high for interval in intervals]) < 0.985


def test_it_is_no_wider_than_that_of_whole_ranks_and_around_the_same_median():
    for count in range(6, 80):
        series = np.random.default_rng(count).standard_normal(count) + 100
        interval, (drop, _) = median_interval(series), interval_ranks(count)
        low, high = np.sort(series)[[drop, -1 - drop]]
        assert low <= interval.low <= interval.value <= interval.high <= high
        assert interval.value == np.median(series)


def test_widening_stretches_both_arms():
    series = np.random.default_rng(0).exponential(size=20)
    plain, wide = median_interval(series), median_interval(series, widening=2.0)
    assert wide.value - wide.low == pytest.approx(2 * (plain.value - plain.low))
    assert wide.high - wide.value == pytest.approx(2 * (plain.high - plain.value))


def test_one_sample_has_no_bounds_and_none_is_refused():
    assert median_interval([2.0]).half_width == math.inf
    with pytest.raises(ValueError, match="no samples"):
        median_interval([])
