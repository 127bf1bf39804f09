"""Dependence, drift, steps, slow ranks: seen where planted, and next to never where not."""

from __future__ import annotations

import numpy as np
import pytest

from fiabench.stats.intervals import median_interval
from fiabench.stats.levels import ALARM, find_changes, find_drift, find_step
from fiabench.stats.outliers import label_outliers
from fiabench.stats.ranks import slow_ranks
from fiabench.stats.serial import dependence
from tests.stats import noise

SEEDS = 250


def series(draw, count, seeds=SEEDS, seed=1):
    source = np.random.default_rng([seed, count])
    return [1 + draw(source, count) for _ in range(seeds)]


@pytest.mark.parametrize("draw", [noise.gaussian, noise.heavy_tailed, noise.skewed])
@pytest.mark.parametrize("count", [10, 30, 150])
def test_independent_samples_are_rarely_taken_for_dependent(draw, count):
    found = [dependence(one) for one in series(draw, count)]
    assert np.mean([one.detected for one in found]) <= 0.045
    assert np.median([one.widening for one in found]) < (2.3 if count == 10 else 1.1)


@pytest.mark.parametrize("correlation", [0.5, 0.7])
def test_the_widened_interval_of_dependent_samples_covers(correlation):
    """The interval for independent samples would do so in 80 and 67 of 100."""
    rows = series(noise.autoregressive(correlation), 100)
    plain, wide = [], []
    for row in rows:
        found = dependence(row)
        interval = median_interval(row, widening=found.widening)
        wide.append(interval.low <= 1 <= interval.high)
        interval = median_interval(row)
        plain.append(interval.low <= 1 <= interval.high)
    assert np.mean(plain) < 0.87
    assert np.mean(wide) > 0.9
    assert np.mean([dependence(row).detected for row in rows]) > 0.95


def test_the_effective_number_is_what_theory_says():
    """The median of a first-order series with correlation 0.7 varies 4.1 times as much (sum of arcsines)."""
    found = [dependence(row).effective for row in series(noise.autoregressive(0.7), 400, 60)]
    assert 400 / 7 < np.median(found) < 400 / 3.5


def test_dependence_does_not_need_a_scale_or_a_shape():
    row = series(noise.autoregressive(0.7), 60, 1)[0]
    assert dependence(row**9) == dependence(row)
    assert dependence(np.ones(20)).widening < 1.2


@pytest.mark.parametrize("draw", [noise.gaussian, noise.heavy_tailed, noise.skewed, noise.modes(0.3, 0.02, 0.002)])
@pytest.mark.parametrize("count", [10, 24, 60, 300])
def test_steady_series_do_not_change(draw, count):
    found = [find_changes(one) for one in series(draw, count)]
    assert np.mean([bool(changes) for changes in found]) <= 2 * ALARM + 0.012


def test_a_drift_is_seen_with_its_size():
    rows = series(lambda source, count: noise.gaussian(source, count) + 0.05 * np.arange(count) / (count - 1), 24)
    found = [find_drift(row) for row in rows]
    assert np.mean([change is not None for change in found]) > 0.99
    assert np.median([change.size for change in found if change]) == pytest.approx(0.05, rel=0.1)


@pytest.mark.parametrize("after", [4, 8, 16])
def test_a_step_is_seen_with_its_place_and_size(after):
    def draw(source, count):
        return noise.gaussian(source, count) + 0.05 * (np.arange(count) >= count - after)

    found = [find_step(row) for row in series(draw, 24)]
    seen = [change for change in found if change]
    assert len(seen) / SEEDS > 0.95
    assert np.mean([abs(change.at - (24 - after)) <= 1 for change in seen]) > 0.9
    assert np.median([change.size for change in seen]) == pytest.approx(0.05, rel=0.1)


def test_single_outliers_make_no_step():
    row = np.full(30, 1.0) + 0.001 * np.random.default_rng(0).standard_normal(30)
    row[[5, 29]] = 3.0
    assert find_step(row) is None


def test_changes_too_small_to_matter_are_passed_over():
    row = 1 + 1e-5 * np.random.default_rng(0).standard_normal(60) + 1e-3 * (np.arange(60) >= 30)
    assert find_changes(row)
    assert not find_changes(row, tolerance=0.005)


@pytest.mark.parametrize(("ranks", "samples"), [(2, 10), (8, 24)])
def test_the_slow_rank_is_named_and_equal_ones_are_not(ranks, samples):
    named, false = 0, 0
    for seed in range(100):
        source = np.random.default_rng([seed, ranks])
        slow = int(source.integers(ranks))
        durations = 1 + noise.SPREAD * source.standard_normal((ranks, samples))
        false += bool(slow_ranks(durations))
        durations[slow] *= 1.05
        named += [found.rank for found in slow_ranks(durations)] == [slow]
    assert named >= 95
    assert false <= 2


def test_outliers_are_labelled_in_place_and_kept():
    row = 1 + 0.01 * np.random.default_rng(0).standard_normal(40)
    row[7], row[20] = 2.0, 0.95
    labels = label_outliers(row)
    assert labels.shape == row.shape
    assert (labels[7], labels[20]) == (2, -1)
    assert np.count_nonzero(labels) == 2


def test_few_or_equal_samples_have_no_outliers():
    assert not label_outliers(np.array([1.0, 1.0, 9.0])).any()
    assert not label_outliers(np.ones(10)).any()
    assert label_outliers(np.array([1.0] * 20 + [2.0]))[-1] == 2
