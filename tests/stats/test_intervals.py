"""The median's interval against scipy and against simulation: it covers what it says it covers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from fiabench.stats.intervals import interval_ranks, median_interval, summarise

SERIES = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=60)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("count", [*range(1, 41), 99, 100, 1000])
def test_the_ranks_are_the_binomials(count, level):
    """Leaves out as many order statistics as the level allows: one more would cover too little."""
    drop, reached = interval_ranks(count, level)
    assert reached == pytest.approx(1 - 2 * binom.cdf(drop, count, 0.5))
    assert 0 <= drop < count / 2
    if drop:
        assert reached >= level
    if 2 * (drop + 1) < count:
        assert 1 - 2 * binom.cdf(drop + 1, count, 0.5) < level


def test_known_ranks():
    """From the tables of the sign test: 10 samples leave out one at each end, 100 leave out 39."""
    assert interval_ranks(10) == (1, pytest.approx(0.978515625))
    assert interval_ranks(100)[0] == 39
    assert interval_ranks(3) == (0, pytest.approx(0.75))
    assert interval_ranks(1) == (0, pytest.approx(0.0))


@pytest.mark.parametrize("count", [10, 25, 80])
@pytest.mark.parametrize("kind", ["normal", "exponential", "cauchy"])
def test_the_interval_covers_the_median_as_often_as_it_says(kind, count):
    """4,000 series with a known median, whatever their distribution; three standard errors either way."""
    source = np.random.default_rng(7)
    median = {"normal": 0.0, "exponential": math.log(2), "cauchy": 0.0}[kind]
    draw = {"normal": source.normal, "exponential": source.exponential, "cauchy": source.standard_cauchy}[kind]
    series = draw(size=(4000, count))
    summaries = [summarise(row) for row in series]
    covered = np.mean([summary.low <= median <= summary.high for summary in summaries])
    level = summaries[0].level
    assert level == 0.95
    assert abs(covered - level) < 0.01 + 3 * math.sqrt(level * (1 - level) / 4000)


@given(SERIES)
def test_a_summary_is_of_the_series(series):
    summary = summarise(series)
    assert summary.count == len(series)
    assert summary.median == np.median(series)
    assert summary.low <= summary.median <= summary.high
    if len(series) > 5:
        slack = 1e-12 * max(series)
        assert min(series) - slack <= summary.low
        assert summary.high <= max(series) + slack
    interval = median_interval(series)
    if len(series) > 1:
        assert (summary.low, summary.high) == (interval.low, interval.high)
    quantiles = summary.quantiles
    assert list(quantiles) == ["0.05", "0.25", "0.75", "0.95"]
    assert list(quantiles.values()) == sorted(quantiles.values())
    assert quantiles["0.25"] == pytest.approx(np.quantile(series, 0.25))


@given(SERIES, st.randoms())
def test_the_order_of_the_samples_does_not_matter(series, source):
    shuffled = list(series)
    source.shuffle(shuffled)
    assert summarise(shuffled) == summarise(series)


@given(SERIES, st.sampled_from([0.25, 2.0, 1024.0]))
def test_the_half_width_is_relative(series, factor):
    scaled = median_interval([factor * value for value in series])
    assert scaled.half_width == pytest.approx(median_interval(series).half_width, rel=1e-9)


@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_a_constant_series_has_no_width(count):
    summary = summarise(count * [0.25])
    assert (summary.median, summary.low, summary.high) == (0.25, 0.25, 0.25)


def test_one_sample_covers_nothing():
    alone = summarise([1.0])
    assert (alone.median, alone.low, alone.high, alone.level) == (1.0, 1.0, 1.0, 0.0)
    assert summarise([1.0, 2.0]).level == 0.95


def test_a_median_of_zero_is_never_narrow():
    assert median_interval([0.0, 0.0, 0.0]).half_width == math.inf
    assert median_interval([-1.0, 0.0, 1.0]).half_width == math.inf


def test_a_negative_median_has_a_positive_half_width():
    above, below = median_interval([1.0, 2.0, 3.0]), median_interval([-3.0, -2.0, -1.0])
    assert below.half_width == pytest.approx(above.half_width)
    assert below.half_width > 0


def test_no_samples_are_refused():
    with pytest.raises(ValueError, match="no samples"):
        summarise([])
