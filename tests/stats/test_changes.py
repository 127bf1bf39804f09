"""The detector of steps: planted ones with their sizes, free of scale, with what is known beside the values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fiabench.stats.changes import THRESHOLD, Detection, History, detect, detect_all, detect_each
from fiabench.stats.changes.explaining import explained
from fiabench.stats.changes.fitting import fitted
from fiabench.stats.changes.noise import unknown_sessions
from fiabench.stats.changes.scan import log_sum, standardised

COUNT = 60


def noisy(seed: int, count: int = COUNT, deviation: float = 0.01) -> np.ndarray:
    return np.asarray(100 * np.exp(deviation * np.random.default_rng(seed).standard_normal(count)))


def stepped(seed: int, at: int, ratio: float, count: int = COUNT) -> np.ndarray:
    values = noisy(seed, count)
    values[at:] *= ratio
    return values


@pytest.mark.parametrize("at", [20, 50, 57])
@pytest.mark.parametrize("ratio", [1.08, 0.92])
def test_a_step_is_flagged_with_its_place_direction_and_size(at: int, ratio: float) -> None:
    found = detect(stepped(1, at, ratio))
    (change,) = found.flags
    assert abs(change.index - at) <= 1
    assert change.first <= change.index
    assert change.low <= change.magnitude <= change.high
    assert change.low <= ratio - 1 <= change.high
    assert change.score >= THRESHOLD
    assert change.suspect == (at >= COUNT - 3)
    assert change in found.candidates
    assert not found.abstains


def test_several_steps_are_each_found() -> None:
    values = noisy(3, 200)
    values[60:] *= 1.06
    values[120:] *= 0.93
    values[190:] *= 1.08
    found = detect(values)
    places = [(change.index, change.magnitude > 0) for change in found.flags]
    assert [up for _, up in places] == [True, False, True]
    assert np.allclose([index for index, _ in places], [60, 120, 190], atol=2)


def test_one_value_that_is_off_is_no_step() -> None:
    for place in (10, 30, 50):
        values = noisy(place)
        values[place] *= 1.5
        assert detect(values).flags == ()


def test_a_step_is_found_beside_values_that_are_off() -> None:
    values = stepped(5, 45, 1.06)
    values[[8, 17, 30, 52]] *= 1.4
    (change,) = detect(values).flags
    assert abs(change.index - 45) <= 1


def test_a_steep_drift_is_no_step() -> None:
    drift = np.exp(np.linspace(0.0, 0.3, COUNT))
    assert sum(bool(detect(noisy(seed) * drift).flags) for seed in range(10)) <= 1


def test_missing_values_are_left_out_and_places_are_those_given() -> None:
    values = stepped(2, 50, 1.1)
    values[[3, 20, 48, 49, 55]] = math.nan
    (change,) = detect(values).flags
    assert change.index == 50
    assert change.first <= 48, "it may have come with the commits that nobody measured"


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    at=st.integers(20, COUNT - 1),
    size=st.sampled_from([0.0, 0.03, 0.05, 0.2]),
    factor=st.sampled_from([0.2, 5.0]),
    outliers=st.lists(st.integers(0, COUNT - 1), max_size=3),
)
def test_the_scale_of_the_logarithms_changes_no_flag(
    seed: int, at: int, size: float, factor: float, outliers: list[int]
) -> None:
    logs = np.log(noisy(seed)) - math.log(100)
    logs[at:] += size
    logs[outliers] += 0.1
    plain, scaled = detect(np.exp(logs)), detect(np.exp(factor * logs))
    assert [change.index for change in plain.flags] == [change.index for change in scaled.flags]
    assert bool(plain.abstains) == bool(scaled.abstains)
    for before, after in zip(plain.flags, scaled.flags):
        assert math.log1p(after.magnitude) == pytest.approx(factor * math.log1p(before.magnitude), rel=1e-6, abs=1e-9)


def test_the_unit_of_the_values_changes_nothing() -> None:
    values = stepped(4, 50, 1.05)
    assert [change.index for change in detect(1e-6 * values).flags] == [change.index for change in detect(values).flags]


def test_sessions_that_are_told_explain_their_own_levels() -> None:
    rng = np.random.default_rng(7)
    labels = [f"run {index // 10}" for index in range(COUNT)]
    alarms = within = 0
    for _ in range(20):
        values = np.exp(np.repeat(0.03 * rng.standard_normal(6), 10) + 0.005 * rng.standard_normal(COUNT))
        alarms += bool(detect(values, sessions=labels).flags)
        values[55:] *= 1.05
        within += any(abs(change.index - 55) <= 1 for change in detect(values, sessions=labels).flags)
    assert alarms <= 1
    assert within >= 18


def test_sessions_that_are_not_told_are_mostly_too_wild_to_judge() -> None:
    rng = np.random.default_rng(8)
    flagged = abstaining = 0
    for _ in range(20):
        found = detect(np.exp(np.repeat(0.03 * rng.standard_normal(20), 10) + 0.005 * rng.standard_normal(200)))
        flagged += bool(found.flags)
        abstaining += bool(found.abstains)
        if found.abstains:
            assert "sessions" in found.abstains
            assert found.visible is None
    assert flagged == 0
    assert abstaining >= 5


def test_a_reference_case_takes_the_sessions_out() -> None:
    rng = np.random.default_rng(9)
    seen = 0
    for _ in range(10):
        mood = np.repeat(0.03 * rng.standard_normal(6), 10)
        reference = np.exp(mood + 0.005 * rng.standard_normal(COUNT))
        reference[[2, 30]] = math.nan
        values = np.exp(mood + 0.005 * rng.standard_normal(COUNT))
        values[50:] *= 1.06
        seen += any(abs(change.index - 50) <= 1 for change in detect(values, reference=reference).flags)
    assert seen >= 8


def test_a_reference_that_has_nothing_to_do_with_it_changes_little() -> None:
    values = stepped(11, 50, 1.06)
    plain, beside = detect(values), detect(values, reference=noisy(12))
    assert [change.index for change in plain.flags] == [change.index for change in beside.flags]


def test_values_that_are_themselves_unsure_make_no_step() -> None:
    values = stepped(1, 59, 1.07)
    assert [change.index for change in detect(values).flags] == [59]
    sure = np.stack([0.995 * values, 1.005 * values], axis=1)
    assert [change.index for change in detect(values, intervals=sure).flags] == [59]
    sure[59] = 0.9 * values[59], 1.1 * values[59]
    assert detect(values, intervals=sure).flags == ()


def test_what_would_have_been_seen_is_seen() -> None:
    seen = total = 0
    for seed in range(25):
        values = noisy(seed + 100)
        visible = detect(values).visible
        assert visible is not None
        assert 0 < visible < 0.06
        values[-10:] *= 1 + visible
        seen += any(abs(change.index - 50) <= 3 for change in detect(values).flags)
        total += 1
    assert seen >= 0.8 * total


def test_a_newest_step_that_is_not_sure_is_a_suspect() -> None:
    suspects = []
    for seed in range(12):
        found = detect(stepped(seed, COUNT - 1, 1.035))
        suspects += [change for change in found.suspects if change.magnitude > 0]
        assert all(change.suspect for change in found.suspects)
    assert len(suspects) >= 6
    assert any(change.score < THRESHOLD for change in suspects)


@pytest.mark.parametrize(
    ("values", "abstains"), [([], "0 values"), ([1.0, 2.0], "2 values"), ([math.nan] * 20, "0 values")]
)
def test_too_few_values_are_not_judged(values: list[float], abstains: str) -> None:
    found = detect(values)
    assert found == Detection((), (), (), found.abstains, None)
    assert found.abstains.startswith(abstains)


def test_a_constant_series_has_no_step_and_shows_any() -> None:
    assert detect([5.0] * 30) == Detection((), (), (), "", 0.0)


@pytest.mark.parametrize("after", [2, 5, 10])
def test_an_exact_step_in_a_constant_series_is_found(after: int) -> None:
    found = detect([5.0] * 14 + [5.1] * after)
    (change,) = found.flags
    assert change.index == 14
    assert change.magnitude == pytest.approx(0.02)


@pytest.mark.parametrize("values", [[1.0, 0.0] * 5, [1.0, -2.0] * 5, [1.0, math.inf] * 5])
def test_values_that_are_no_durations_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="allowed: finite numbers above 0"):
        detect(values)


@pytest.mark.parametrize(
    ("beside", "words"),
    [
        ({"sessions": [1, 2]}, "sessions: found 2"),
        ({"intervals": [[1.0, 2.0]]}, "intervals: found"),
        ({"reference": [1.0]}, "reference: found 1"),
    ],
)
def test_what_stands_beside_the_values_has_to_fit(beside: dict[str, list[object]], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        detect(noisy(0), **beside)  # type: ignore[arg-type]


def test_a_family_is_judged_as_its_series_are_but_more_strictly() -> None:
    histories = [History(noisy(seed)) for seed in range(40)] + [History(stepped(50, 45, 1.10))]
    alone, together = detect_each(histories), detect_all(histories)
    assert together[-1].flags == alone[-1].flags != ()
    for one, other in zip(alone, together):
        assert set(other.flags) <= set(one.flags)
        assert other.candidates == one.candidates


@pytest.mark.slow
def test_few_of_what_a_family_is_said_to_have_changed_has_not() -> None:
    rng = np.random.default_rng(0)
    parts = []
    for _ in range(12):
        logs = 0.01 * rng.standard_normal((100, COUNT))
        logs[:10, -10:] += 0.06
        found = detect_all([History(np.exp(series)) for series in logs])
        flagged = [bool(one.flags) for one in found]
        assert sum(flagged[:10]) >= 9
        parts.append(sum(flagged[10:]) / max(sum(flagged), 1))
    assert np.mean(parts) <= 0.05


@pytest.mark.slow
def test_a_long_series_is_judged_in_windows() -> None:
    values = noisy(0, 3000)
    values[1000:] *= 1.05
    values[2995:] *= 1.06
    found = detect(values)
    assert np.allclose([change.index for change in found.flags], [1000, 2995], atol=2)
    assert [change.suspect for change in found.candidates if change.index < 2990] == [False] * (
        len(found.candidates) - sum(change.index >= 2990 for change in found.candidates)
    )


@pytest.mark.parametrize("count", [60, 200])
def test_gaussian_noise_explains_less_than_all_kinds(count: int) -> None:
    """By which most series are spared the others where levels that keep changing are held against what is left."""
    family = unknown_sessions(count)
    rng = np.random.default_rng(count)
    for draw in (
        rng.standard_normal,
        lambda size: rng.standard_t(3, size),
        lambda size: rng.standard_normal(size).cumsum(),
    ):
        series = standardised(draw(count))
        assert float(log_sum(fitted(family, series).nats)) < float(explained(family, series, [[]])[0])


@pytest.mark.parametrize("count", [200, 700])
def test_what_is_known_is_found_again_and_of_a_longer_series_only_the_newest_window_is_new(count: int) -> None:
    rng = np.random.default_rng(7)
    values = noisy(3, count + 1)
    values[150:] *= 1.05
    intervals = np.stack([values * 0.99, values * (1 + rng.uniform(0.005, 0.05, values.size))], axis=1)

    def history(end: int) -> History:
        return History(values[:end], sessions=np.arange(end) // 10, intervals=intervals[:end])

    known: dict[str, Detection] = {}
    (first,) = detect_each([history(count)], known)
    assert first.flags
    before = set(known)
    assert detect_each([history(count)], known) == [first]
    assert set(known) == before
    assert detect_each([history(count + 1)], known) == detect_each([history(count + 1)])
    assert len(set(known) - before) == 1


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_million_values_are_judged() -> None:
    values = noisy(1, 1_000_000)
    values[600_000:] *= 1.05
    found = detect(values)
    assert 600_000 in [change.index for change in found.flags]
    assert len(found.flags) <= 3
