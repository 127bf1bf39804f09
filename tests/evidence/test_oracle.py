"""Oracles that can be worked out, and recorded timings through the engine."""

from __future__ import annotations

import math

import numpy as np

from fiabench.evidence.oracle import oracle, replayed
from fiabench.evidence.planted import GAUSSIAN, HEAVY_TAILED


def test_the_oracle_of_gaussian_noise_is_what_theory_says():
    """(1.96 x sqrt(pi / 2) x 1 % / 0.5 %)^2 = 24.1 samples."""
    assert 22 <= oracle(GAUSSIAN) <= 26
    assert oracle(HEAVY_TAILED) == 10, "no number settles on fewer"


def test_recorded_timings_of_steady_noise_take_little_more_than_a_fixed_count():
    source = np.random.default_rng(3)
    found = replayed((0.002 * (1 + 0.01 * source.standard_normal(1000))).tolist())
    assert found.half_width == 0.005
    assert 15 <= found.fixed <= 33
    assert found.ratio <= 1.6
    assert found.near >= 0.85


def test_timings_that_wander_give_no_number():
    source = np.random.default_rng(0)
    found = replayed((0.002 * np.exp(0.05 * np.cumsum(source.standard_normal(400)))).tolist())
    assert found.half_width is None
    assert math.isnan(found.ratio)
