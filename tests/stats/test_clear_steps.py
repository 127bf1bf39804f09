"""Steps of short series: planted ones at their places, early ones and those that are undone; none in noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiabench.stats.changes import Detection, detect
from fiabench.stats.changes.clear import clear_steps


def levels(counts: list[int], sizes: list[float], noise: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.asarray(np.repeat(sizes, counts) * np.exp(noise * rng.standard_normal(sum(counts))))


def found(values: np.ndarray, **beside: object) -> list[int]:
    answer: Detection = detect(values, **beside)  # type: ignore[arg-type]
    assert not answer.abstains
    return [change.index for change in answer.flags]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("noise", [0.0, 0.001, 0.01])
@pytest.mark.parametrize(
    ("counts", "sizes"),
    [
        ([1, 10], [1.0, 1.45]),
        ([3, 8], [1.0, 1.45]),
        ([5, 4], [1.0, 1.45]),
        ([9, 2], [1.0, 1.45]),
        ([2, 2, 5], [1.0, 2.3, 2.9]),
        ([8, 8, 8], [1.0, 0.8, 1.0]),
        ([10, 3, 10], [1.0, 1.3, 1.0]),
        ([13, 13, 14], [1.0, 1.3, 1.1]),
    ],
)
def test_planted_levels_are_found_where_they_begin(
    counts: list[int], sizes: list[float], noise: float, seed: int
) -> None:
    values = levels(counts, sizes, noise, seed)
    # Known to be of one session: several levels may else be those of sessions.
    assert found(values, sessions=[0] * len(values)) == np.cumsum(counts)[:-1].tolist()


def test_a_newest_value_alone_is_worth_pairs_and_no_more() -> None:
    for values in (np.array([1.0] * 11 + [1.004]), levels([13, 1], [1.0, 1.5], 0.01, 1)):
        answer = detect(values)
        assert answer.flags == ()
        assert [change.index for change in answer.suspects] == [len(values) - 1]


def test_one_value_that_is_off_makes_no_level() -> None:
    for place in range(12):
        values = levels([12], [1.0], 0.01, place)
        values[place] *= 1.5
        assert found(values) == []


@pytest.mark.parametrize("place", [1, 4, 5, 7, 10])
def test_a_step_is_clear_beside_a_run_that_was_disturbed(place: int) -> None:
    values = levels([3, 9], [1.0, 1.4], 0.01, place)
    plain = found(values)
    values[place] *= 1.25
    assert found(values) == plain == [3]


def test_a_number_that_is_now_and_then_another_has_no_step() -> None:
    assert found(np.array([1, 1, 1, 1.1, 1, 1, 1, 1.1, 1, 1, 1, 1, 1.1, 1, 1])) == []


def test_a_step_with_another_session_is_not_flagged_and_one_within_is() -> None:
    values = levels([6, 6], [1.0, 1.4], 0.01, 3)
    assert found(values, sessions=[0] * 6 + [1] * 6) == []
    assert found(values, sessions=[0] * 3 + [1] * 9) == [6]
    assert found(values, sessions=list(range(12))) == [6]


def test_what_sampling_alone_may_have_made_is_not_flagged() -> None:
    values = levels([6, 6], [1.0, 1.4], 0.01, 3)
    wide = np.stack([0.5 * values, 2 * values], axis=1)
    assert found(values, intervals=wide) == []
    assert found(values, intervals=np.stack([0.99 * values, 1.01 * values], axis=1)) == [6]


@pytest.mark.parametrize("seed", range(5))
def test_values_beside_a_step_are_not_steadied_across_it(seed: int) -> None:
    """Neighbours within a thousandth, and intervals of which one is four times as wide as another."""
    values = levels([5, 4], [1.0, 1.5], 0.001, seed)
    widths = 0.002 * np.exp(0.5 * np.random.default_rng(seed).standard_normal(9))
    assert found(values, intervals=np.stack([values * (1 - widths), values * (1 + widths)], axis=1)) == [5]


@pytest.mark.parametrize("count", [8, 12, 20])
@pytest.mark.parametrize("kind", ["gauss", "correlated", "bimodal", "heavy", "drift"])
def test_noise_has_hardly_ever_a_clear_step(kind: str, count: int) -> None:
    rng = np.random.default_rng(count)
    normal = rng.standard_normal((300, count))
    if kind == "correlated":
        for place in range(1, count):
            normal[:, place] = 0.7 * normal[:, place - 1] + 0.51**0.5 * normal[:, place]
    noise = {
        "gauss": normal,
        "correlated": normal,
        "bimodal": 0.5 * normal + 3 * (rng.random(normal.shape) < 0.15),
        "heavy": rng.standard_t(3, normal.shape),
        "drift": normal + np.linspace(0, 2, count),
    }[kind]
    alarms = sum(any(step.score >= 1 for step in clear_steps(0.01 * series)) for series in noise)
    assert alarms <= 9, "of 300: 1 % are 3"


@given(
    st.lists(st.floats(-1, 1), min_size=8, max_size=30),
    st.sampled_from([0.2, 5.0]),
)
def test_a_multiple_of_the_logarithms_has_the_same_steps(logs: list[float], factor: float) -> None:
    values = np.round(np.array(logs), 6)
    before, after = clear_steps(values), clear_steps(factor * values)
    assert [step.index for step in before] == [step.index for step in after]
    assert [step.score for step in before] == pytest.approx([step.score for step in after], rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("together", [1000, 1])
@pytest.mark.parametrize(
    ("counts", "sizes"),
    [
        ([12] * 5, [1.0, 1.1, 1.21, 1.33, 1.46]),
        ([20] * 5, [1.0, 1.1, 1.21, 1.33, 1.46]),
        ([12, 12, 12, 12, 5], [1.0, 0.9, 0.81, 0.73, 0.8]),
        ([40] * 5, [1.0, 1.1, 1.0, 1.1, 1.0]),
    ],
)
def test_several_steps_of_a_long_series_do_not_hide_each_other(
    counts: list[int], sizes: list[float], together: int
) -> None:
    values = levels(counts, sizes, 0.01, 1)
    sessions = [place // together for place in range(len(values))]
    assert found(values, sessions=sessions) == np.cumsum(counts)[:-1].tolist()


def test_several_levels_that_may_be_those_of_sessions_are_not_quiet() -> None:
    answer = detect(levels([20] * 5, [1.0, 1.1, 1.21, 1.33, 1.46], 0.01, 1))
    assert "its level keeps changing" in answer.abstains
    assert answer.visible is None


@pytest.mark.parametrize("count", [16, 24, 40, 48])
@pytest.mark.parametrize("drift", [0.1, 0.3])
def test_a_drift_of_a_short_series_is_no_step(count: int, drift: float) -> None:
    flagged = 0
    for seed in range(40):
        noise = 0.01 * np.random.default_rng(seed).standard_normal(count)
        flagged += bool(found(np.exp(noise + drift * np.linspace(0, 1, count)), sessions=[0] * count))
    assert flagged <= 2


def test_values_of_a_grid_that_come_again_are_no_steps() -> None:
    pages = [0] * 5 + [1] + [0] * 5 + [1, 0, 0, 0, 1] + [0] * 20 + [1, 1]
    assert found(1e8 + 4096 * np.array(pages), sessions=[0] * len(pages)) == []


def test_rounding_is_no_step() -> None:
    answer = detect([0.3] * 57 + [0.30000000000000004] * 3)
    assert answer == Detection((), (), (), "", 0.0)


def test_numbers_of_any_size_are_judged() -> None:
    answer = detect([5e-324, 1e308, 3, 4, 5, 6, 7, 8])
    assert not answer.abstains
    assert all(np.isfinite(change.magnitude) for change in answer.candidates)


@pytest.mark.parametrize("count", [20, 60])
def test_what_the_intervals_leave_open_is_not_called_visible(count: int) -> None:
    values = levels([count], [1.0], 0.001, 3)
    wide = np.stack([values * 0.8, values * 1.2], axis=1)
    sure, unsure = detect(values).visible, detect(values, intervals=wide).visible
    assert sure is not None
    assert unsure is not None
    assert sure < 0.02 < unsure
    values[-count // 3 :] *= 1 + unsure / 2
    assert not detect(values, intervals=np.stack([values * 0.8, values * 1.2], axis=1)).flags
