"""The dip against its definition, solved as a linear programme; modes found where they are, and nowhere else."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import linprog

from fiabench.stats.dip import dip
from fiabench.stats.modes import critical_dip, find_modes, may_have_modes
from tests.stats import noise


def by_definition(samples: np.ndarray) -> float:
    """The least greatest distance to a distribution function that is convex up to its mode and concave after it; at the
    mode it may jump. One linear programme for each place of the mode."""
    x, counts = np.unique(samples, return_counts=True)
    after = np.cumsum(counts) / counts.sum()
    before = after - counts / counts.sum()
    best = 1.0
    for mode in range(x.size):
        # Variables: the values at x up to the mode (its left limit), from the mode on (its right limit), the distance.
        rows, bounds = [], []

        def at_most(bound, rows=rows, bounds=bounds, **values):
            row = np.zeros(x.size + 2)
            for place, value in values.items():
                row[int(place[1:])] += value
            rows.append(row)
            bounds.append(bound)

        distance = f"v{x.size + 1}"
        for i in range(mode + 1):
            at_most(before[i], **{f"v{i}": 1, distance: -1})
            at_most(-(after[i] if i < mode else before[i]), **{f"v{i}": -1, distance: -1})
        for i in range(mode, x.size):
            at_most(-after[i], **{f"v{i + 1}": -1, distance: -1})
            at_most(before[i] if i > mode else after[i], **{f"v{i + 1}": 1, distance: -1})
        for i in range(x.size):
            at_most(0, **{f"v{i}": 1, f"v{i + 1}": -1})
        for i in range(1, x.size - 1):
            left, right = 1 / (x[i] - x[i - 1]), 1 / (x[i + 1] - x[i])
            if i < mode:
                at_most(0, **{f"v{i - 1}": -left, f"v{i}": left + right, f"v{i + 1}": -right})
            if i > mode:
                at_most(0, **{f"v{i}": left, f"v{i + 1}": -left - right, f"v{i + 2}": right})
        cost = np.zeros(x.size + 2)
        cost[-1] = 1
        best = min(best, linprog(cost, np.array(rows), bounds, bounds=(0, 1)).fun)
    return max(best, 1 / (2 * len(samples)))


@pytest.mark.parametrize("seed", range(30))
def test_the_dip_is_what_its_definition_says(seed):
    source = np.random.default_rng(seed)
    count = int(source.integers(4, 15))
    samples = source.standard_normal(count) + 4 * (source.random(count) < 0.5)
    if seed % 2:
        samples = np.round(2 * samples)
    assert dip(samples) == pytest.approx(by_definition(samples), abs=1e-7)


def test_known_dips():
    assert dip(np.repeat([0.0, 1.0], 10)) == 0.25
    assert dip(np.zeros(10)) == 0.05
    assert dip(np.arange(20.0)) == pytest.approx(1 / 40)


@pytest.mark.parametrize("count", [10, 24, 60, 200])
def test_uniform_series_exceed_the_critical_dip_in_5_of_100(count):
    rows = np.random.default_rng(count).random((800, count))
    exceeded = np.mean([dip(row) > critical_dip(count) for row in rows])
    assert abs(exceeded - 0.05) < 0.01 + 3 * math.sqrt(0.05 * 0.95 / 800)


@pytest.mark.parametrize("count", [10, 24, 100])
@pytest.mark.parametrize("draw", [noise.gaussian, noise.heavy_tailed, noise.skewed])
def test_noise_around_one_level_has_one_mode(draw, count):
    source = np.random.default_rng(count)
    found = [len(find_modes(1 + draw(source, count), 0.005)) > 1 for _ in range(600)]
    assert np.mean(found) <= (0.07 if count == 10 else 0.02)  # ten samples are never the last word at this noise


@pytest.mark.parametrize("draw", [noise.gaussian, noise.heavy_tailed])
def test_one_in_ten_of_them_is_doubted(draw):
    source = np.random.default_rng(4)
    for count in (10, 24, 100):
        assert np.mean([may_have_modes(1 + draw(source, count), 0.005) for _ in range(500)]) <= 0.13


@pytest.mark.parametrize("gap", [0.01, 0.02])
@pytest.mark.parametrize(("weight", "count", "least"), [(0.5, 24, 0.95), (0.5, 60, 0.99), (0.3, 60, 0.95)])
def test_two_narrow_modes_are_found_and_named(gap, weight, count, least):
    source = np.random.default_rng(9)
    draw = noise.modes(weight, gap, 0.1 * gap)
    found = [find_modes(1 + draw(source, count), 0.005) for _ in range(300)]
    two = [modes for modes in found if len(modes) == 2]
    assert len(two) / 300 >= least
    distances = [high.location - low.location for low, high in two]
    assert np.median(distances) == pytest.approx(gap, rel=0.05)
    assert np.median([high.weight for _, high in two]) == pytest.approx(weight, abs=0.07)


def test_three_modes_are_named():
    source = np.random.default_rng(2)
    series = np.repeat([1.0, 1.02, 1.05], 40) + 0.001 * source.standard_normal(120)
    modes = find_modes(series, 0.005)
    assert [round(mode.location, 2) for mode in modes] == [1.0, 1.02, 1.05]
    assert [mode.weight for mode in modes] == [pytest.approx(1 / 3)] * 3


def test_modes_nearer_than_matters_are_one():
    source = np.random.default_rng(2)
    series = 1 + noise.modes(0.5, 0.002, 0.0002)(source, 60)
    assert len(find_modes(series, 0.005)) == 1
    assert len(find_modes(series)) == 2


def test_a_clocks_ticks_are_no_modes_unless_they_are_as_far_apart_as_matters():
    source = np.random.default_rng(5)
    fine = np.round((1 + noise.gaussian(source, 60)) / 0.004) * 0.004
    assert len(find_modes(fine, 0.005)) == 1
    assert len(find_modes(np.array([20.0, 20.5] * 20), 0.005)) == 2
