"""What is found in samples is said in words, and calm samples say nothing."""

from __future__ import annotations

import numpy as np
import pytest

from fiabench.results.doubts import doubts
from fiabench.stats.findings import describe_change
from fiabench.stats.levels import Change
from tests.ulysses.points import make_case

CASE = make_case(heads=8, ulysses=4)
RANKS = 4
COUNT = 30


def samples(kernel=1.0, late=None, late_by=0.0, step=0.0):
    """Seconds of phases of about a millisecond on four ranks; ``late`` comes ``late_by`` later than the others."""
    source = np.random.default_rng(5)

    def noise():
        return 1 + 0.005 * source.standard_normal((RANKS, COUNT))

    level = 1 + step * (np.arange(COUNT) >= COUNT // 2)
    kernels = 10e-3 * noise()
    kernels[3] *= kernel
    exchange = 2e-3 * noise()
    if late is not None:
        exchange += late_by
        exchange[late] -= late_by
    total = (12e-3 + late_by) * noise() * level
    arrays = {"kernel": kernels, "exchange_in": exchange, "end_to_end": total}
    return {phase: {str(rank): row.tolist() for rank, row in enumerate(rows)} for phase, rows in arrays.items()}


def said(sensors=None, residual=0.0, **planted):
    return doubts(CASE, samples(**planted), residual, sensors or {}, 0.005)


def test_calm_samples_say_nothing():
    assert said() == []


def test_a_slow_rank_is_named_with_its_excess():
    (words,) = said(kernel=1.06)
    assert words.startswith("rank 3 is slow: its kernel takes ")
    assert float(words.split("takes ")[1].split(" %")[0]) == pytest.approx(6, abs=0.5)


def test_a_rank_that_comes_last_is_named_with_what_the_others_wait():
    (words,) = said(late=2, late_by=5e-3)
    assert words.startswith("rank 2 comes last in 100 % of exchange_in: the others wait 5.0")


def test_a_step_is_told_with_its_size_and_place():
    (words,) = said(step=0.05)
    assert words.startswith("the level rose by ")
    assert words.endswith(f"after sample {COUNT // 2}")


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (-0.05, "the samples fall by 5.0 % from the first to the last"),
        (-104.269, "the samples fall by 104 times the median from the first to the last"),
    ],
)
def test_a_drift_is_told_in_parts_of_the_median(size, words):
    assert describe_change(Change("drift", size, 0, 1e-9)) == words


@pytest.mark.parametrize(("residual", "words"), [(0.05, "none of its phases"), (-0.05, "recording cost it")])
def test_closure_is_flagged_where_it_is_large(residual, words):
    (said_of_it,) = said(residual=residual)
    assert said_of_it.startswith("closure: 5.0 %")
    assert words in said_of_it
    assert said(residual=residual / 2) == []
    assert said(residual=None) == []


def test_a_clock_that_falls_is_throttling_and_one_that_rises_is_not():
    sensors = {str(rank): {"samples": [0.0, 1.0, 10.0], "clock_mhz": [900.0, 1800.0, 1790.0]} for rank in range(4)}
    assert said(sensors=sensors) == []
    sensors["1"]["clock_mhz"][2] = 1500.0
    assert said(sensors=sensors) == ["throttling: the clock of rank 1 fell by 17 %, from 1800 to 1500 MHz"]
    for rank in sensors:
        sensors[rank]["clock_mhz"][2] = 1500.0
    assert said(sensors=sensors)[-1] == "throttling: so did the clocks of 2 other ranks"
