"""Evidence over pairs against known truth: how often it is wrong, looked at after each, and how soon it is right."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fiabench.stats.pairs import LEAST, MISSED, NOMINAL, Evidence, interval, log_evidence

RUNS = 400
ROUNDS = 40
SPREAD = 0.02
REACH = math.log1p(0.02)

Noise = Callable[[np.random.Generator], np.ndarray]


def gaussian(draw: np.random.Generator) -> np.ndarray:
    return draw.standard_normal(ROUNDS)


def heavy(draw: np.random.Generator) -> np.ndarray:
    return draw.standard_t(3, ROUNDS) / math.sqrt(3)


def correlated(draw: np.random.Generator) -> np.ndarray:
    """Autoregressive, neighbours correlated by 0.3."""
    shocks, series = draw.standard_normal(ROUNDS), np.empty(ROUNDS)
    series[0] = shocks[0]
    for place in range(1, ROUNDS):
        series[place] = 0.3 * series[place - 1] + math.sqrt(1 - 0.3**2) * shocks[place]
    return series


def disturbed(draw: np.random.Generator) -> np.ndarray:
    """One round in ten is ten times as far off as the others."""
    return np.where(draw.random(ROUNDS) < 0.1, 10, 1) * draw.standard_normal(ROUNDS)


NOISES = {"gaussian": gaussian, "t3": heavy, "ar": correlated, "disturbed": disturbed}


def judge(differences: np.ndarray) -> tuple[str, int]:
    """The verdict of one simulated run, looked at after every round, and the rounds that it took."""
    evidence = Evidence()
    for count, difference in enumerate(differences, start=1):
        evidence.add(float(difference))
        if evidence.chance <= NOMINAL:
            return "slower" if evidence.above else "faster", count
        if evidence.within(REACH):
            return "equal", count
    return "undecided", len(differences)


def simulate(noise: Noise, shift: float, runs: int, seed: int) -> tuple[Counter[str], float]:
    """The verdicts of ``runs`` runs, and the median of their rounds."""
    draw = np.random.default_rng(seed)
    found = [judge(SPREAD * noise(draw) + shift) for _ in range(runs)]
    return Counter(verdict for verdict, _ in found), float(np.median([rounds for _, rounds in found]))


def test_of_correlated_rounds_at_most_one_in_twenty_is_told_of_a_change_that_is_none() -> None:
    verdicts, _ = simulate(correlated, 0.0, 1000, 1)
    assert verdicts["slower"] + verdicts["faster"] <= 0.05 * 1000


@pytest.mark.parametrize("name", ["gaussian", "t3", "disturbed"])
def test_independent_noise_is_called_a_change_as_seldom_as_promised(name: str) -> None:
    verdicts, _ = simulate(NOISES[name], 0.0, 600, 2)
    assert verdicts["slower"] + verdicts["faster"] <= NOMINAL * 600


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
def test_what_matters_is_seldom_called_equal(noise: Noise) -> None:
    verdicts, _ = simulate(noise, 1.001 * REACH, RUNS, 3)
    assert verdicts["equal"] + verdicts["faster"] <= MISSED * RUNS


def test_a_slowdown_of_two_and_a_half_spreads_is_found_within_a_dozen_rounds() -> None:
    verdicts, rounds = simulate(gaussian, 0.05, 200, 4)
    assert verdicts["slower"] >= 198
    assert rounds <= 9


def test_what_disturbs_one_round_in_ten_hides_no_slowdown_and_keeps_nothing_open() -> None:
    """By the t test alone five of six are found, and three of ten are called equal."""
    slower, rounds = simulate(disturbed, 0.05, 200, 7)
    assert slower["slower"] >= 195
    assert rounds <= 13
    assert simulate(disturbed, 0.0, 200, 8)[0]["equal"] >= 120


def test_equal_sides_are_called_so_in_the_end() -> None:
    verdicts, rounds = simulate(gaussian, 0.0, 200, 5)
    assert verdicts["equal"] >= 180
    assert rounds <= 25


def test_the_interval_holds_at_all_looks_together() -> None:
    draw = np.random.default_rng(6)
    left = 0
    for _ in range(400):
        series = draw.normal(0.01, SPREAD, 30)
        found = [interval(series[:count], MISSED) for count in (1, 5, 10, 20, 30)]
        spoken = any(log_evidence(series[:count], 0.01) >= math.log(1 / MISSED) for count in range(1, 31))
        left += spoken or any(not one.low <= 0.01 <= one.high for one in found)
    assert left <= MISSED * 400


differences = st.lists(st.floats(-0.5, 0.5).filter(lambda value: abs(value) > 1e-6), min_size=LEAST, max_size=30)


@given(differences, st.floats(0.1, 10))
def test_the_unit_does_not_matter(series: list[float], factor: float) -> None:
    scaled = [factor * value for value in series]
    assert log_evidence(scaled) == pytest.approx(log_evidence(series), rel=1e-6, abs=1e-6)


@given(differences)
def test_sides_are_treated_alike(series: list[float]) -> None:
    turned = [-value for value in series]
    assert log_evidence(turned) == pytest.approx(log_evidence(series), rel=1e-9, abs=1e-9)


@given(differences, st.sampled_from([0.01, 0.05]))
def test_the_interval_ends_where_the_evidence_does(series: list[float], error: float) -> None:
    assume(not np.ptp(series) or np.ptp(series) > 1e-6)  # else it is the rounding of floats that scatters
    found = interval(series, error)
    assert found.low <= found.value <= found.high
    if math.isfinite(found.low) and found.low < found.value < found.high:
        width, enough = found.high - found.low, math.log(1 / error)
        for end, outwards in ((found.low, -1), (found.high, 1)):
            assert log_evidence(series, end - 1e-3 * outwards * width) < enough
            assert log_evidence(series, end + 1e-3 * outwards * width) >= enough


def test_the_same_difference_five_times_is_settled() -> None:
    evidence = Evidence()
    for count in range(1, 6):
        assert count == 1 or evidence.chance > NOMINAL
        evidence.add(math.log(2))
    assert evidence.chance <= NOMINAL
    assert evidence.above
    assert not evidence.within(REACH)
    assert evidence.beyond(REACH)


def test_few_differences_say_nothing() -> None:
    assert log_evidence([1.0] * (LEAST - 1)) == 0
    assert interval([1.0], NOMINAL).high == math.inf
    with pytest.raises(ValueError, match="no differences"):
        interval([], NOMINAL)
