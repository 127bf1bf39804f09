"""What is planted, as it is written and as it is drawn."""

from __future__ import annotations

import random
from itertools import islice

import numpy as np
import pytest

from fiabench.cases.errors import InputError
from fiabench.simulation.effects import Disturbance, Seeds, check_ranks, noise, parse_effects
from tests.ulysses.points import make_case

CASE = make_case(heads=8, ulysses=4)


def drawn(shape: str, *numbers: float) -> np.ndarray:
    return np.array(list(islice(noise(shape, numbers, random.Random(1)), 20_000)))


@pytest.mark.parametrize(("shape", "numbers"), [("gaussian", (0.01,)), ("t3", (0.01,)), ("ar", (0.01, 0.5))])
def test_noise_has_the_median_1_and_the_spread_that_was_asked_for(shape, numbers):
    series = drawn(shape, *numbers)
    assert np.median(series) == pytest.approx(1, abs=0.0005)
    assert series.std() == pytest.approx(0.01, rel=0.25 if shape == "t3" else 0.05)


def test_the_shapes_are_what_they_are_called():
    tails = {shape: np.abs(drawn(shape, 0.01) - 1).max() for shape in ("gaussian", "t3")}
    assert tails["t3"] > 3 * tails["gaussian"]
    modes = drawn("bimodal", 0.05, 0.3)
    assert set(modes) == {1.0, 1.05}
    assert (modes > 1).mean() == pytest.approx(0.3, abs=0.02)
    series = drawn("ar", 0.01, 0.9)
    assert np.corrcoef(series[:-1], series[1:])[0, 1] == pytest.approx(0.9, abs=0.02)
    assert abs(np.corrcoef(drawn("gaussian", 0.01)[:-1], drawn("gaussian", 0.01)[1:])[0, 1]) < 0.03


def test_ranks_and_cases_draw_apart_and_sessions_together():
    effects = parse_effects(["noise=gaussian:0.01", "session=0.01"])
    firsts = {Disturbance(effects, Seeds(1, 0), CASE, rank).noise() for rank in range(4)}
    assert len(firsts) == 4
    level = parse_effects(["session=0.01"])
    assert len({Disturbance(level, Seeds(1, 0), CASE, rank).noise() for rank in range(4)}) == 1


def test_effects_are_planted_where_they_are_said_to_be():
    effects = parse_effects(["slow-rank=1:1.5", "delay=2:0.1", "hang=3@ulysses=8", "drift=0.1:2", "throttle=5:2"])
    calm, slow, late, last = (Disturbance(effects, Seeds(0, 0), CASE, rank) for rank in range(4))
    assert (calm.slowing(0), calm.slowing(4), calm.slowing(10)) == pytest.approx((1, 1.2, 3))
    assert slow.slowing(0) == 1.5
    assert (calm.delay, late.delay) == (0, 0.1)
    assert not last.hangs
    assert Disturbance(effects, Seeds(0, 0), CASE._replace(ulysses=8), 3).hangs


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("nois=gaussian:0.1", "did you mean noise?"),
        ("noise=gauss:0.1", "did you mean gaussian?"),
        ("noise=gaussian", "gaussian:SD"),
        ("noise=bimodal:0.1:1.5", "below 1"),
        ("slow-rank=x:1.1", "rank 'x'"),
        ("slow-rank=1:0", "a factor above 0"),
        ("slow-rank=1", "RANK:FACTOR"),
        ("delay=1:-2", "RANK:SECONDS"),
        ("drift=0.1:0", "seconds above 0"),
        ("throttle=nan:2", "SECONDS:FACTOR"),
        ("hang=", "rank ''"),
        ("hang", "KIND=..."),
        ("oom=1@nothing=2", "unknown field 'nothing'"),
    ],
)
def test_what_is_wrong_is_said_with_what_is_allowed(text, found):
    with pytest.raises(InputError) as refused:
        parse_effects([text])
    assert found in str(refused.value)
    assert "allowed" in str(refused.value)


def test_every_wrong_effect_is_reported_and_ranks_that_no_case_has():
    with pytest.raises(InputError) as refused:
        parse_effects(["noise=x:1", "hang=y"])
    assert len(refused.value.problems) == 2
    check_ranks(parse_effects(["hang=3"]), 4)
    with pytest.raises(InputError, match="allowed: below 4"):
        check_ranks(parse_effects(["hang=4"]), 4)
