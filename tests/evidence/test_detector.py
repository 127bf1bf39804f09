"""The evidence of docs/detector.md: its noise is what it is called, its limit the known one, its page tells all."""

from __future__ import annotations

import numpy as np
import pytest

from fiabench.evidence.detector import kinds, peers
from fiabench.evidence.detector.__main__ import main
from fiabench.evidence.detector.kinds import KINDS, Kind
from fiabench.evidence.detector.limit import beside_a_drift, limits, of_the_newest_session
from fiabench.evidence.detector.page import MET, MISSED, Line, Study, page
from fiabench.evidence.detector.study import (
    AGES,
    ASKED_AGES,
    LENGTHS,
    SCALES,
    SHORT,
    SHORT_AGE,
    SHORT_STEP,
    STEPS,
    Rate,
    Sizes,
    false_alarms,
    power,
)


def test_noise_spreads_as_it_is_called() -> None:
    spreads = {kind.name: kind.draw(np.random.default_rng(1), 2000, 60).std() for kind in KINDS}
    assert spreads["Gaussian, 1 %"] == pytest.approx(0.01, rel=0.02)
    assert spreads["Gaussian, 2 %"] == pytest.approx(0.02, rel=0.02)
    assert spreads["AR(0.7), 1 %"] == pytest.approx(0.01, rel=0.03)
    assert spreads["bimodal"] == pytest.approx(np.hypot(0.005, 0.03 * np.sqrt(0.15 * 0.85)), rel=0.03)
    assert spreads["heavy-tailed t3, 1 %"] == pytest.approx(0.01, rel=0.1)
    assert spreads["sessions of 3 %, told"] == pytest.approx(np.hypot(0.03, 0.005), rel=0.03)
    correlated = kinds.autoregressive(np.random.default_rng(2), 500, 200)
    assert np.mean(correlated[:, 1:] * correlated[:, :-1]) / np.mean(correlated**2) == pytest.approx(0.7, abs=0.03)


def test_the_limit_is_the_known_one() -> None:
    ages = (1, 2, 3, 5, 10, 20)
    strong = limits(np.random.default_rng(0), 4.88, 60, ages, 20_000)
    weak = limits(np.random.default_rng(0), 1.0, 60, ages, 20_000)
    assert strong[0] == pytest.approx(0.94, abs=0.02)
    assert strong[1:] == pytest.approx([1.0] * 5, abs=0.01)
    assert weak == sorted(weak)
    assert weak[2] == pytest.approx(0.12, abs=0.05)


def test_a_test_that_rules_out_a_drift_sees_less_and_takes_none_for_a_step() -> None:
    ages = (1, 3, 10, 20)
    plain = limits(np.random.default_rng(0), 2.44, 60, ages, 10_000)
    beside = beside_a_drift(np.random.default_rng(0), 2.44, 60, ages, 3, 10_000)
    assert all(less < more for less, more in zip(beside, plain))
    assert beside[2] == pytest.approx(0.95, abs=0.015)
    assert beside_a_drift(np.random.default_rng(0), 0.0, 60, (1, 59), 60, 10_000) == pytest.approx(
        [0.01] * 2, abs=0.005
    )


def test_the_newest_session_is_told_by_students_t() -> None:
    """With sessions that do not differ but by their values, of which there are many, all is seen; without a step the
    false alarms."""
    source = np.random.default_rng(0)
    assert of_the_newest_session(source, 0.01, 0.005, 0.0, 60, 100_000) == pytest.approx(0.01, abs=0.002)
    assert of_the_newest_session(source, 0.001, 0.005, 0.049, 60, 10_000) == 1.0
    assert of_the_newest_session(source, 0.01, 0.005, 0.049, 60, 100_000) == pytest.approx(0.715, abs=0.01)


OBVIOUS = np.array([[100.0 + (index % 3) for index in range(30)] + [150.0 + (index % 3) for index in range(30)]])


@pytest.mark.parametrize("detect", [peers.ours, peers.asv, peers.ruptures])
def test_every_detector_sees_the_obvious_and_nothing_in_the_other_direction(detect: peers.Detector) -> None:
    (found,) = detect(OBVIOUS, None)
    assert len(found) == 1
    assert abs(found[0] - 30) <= 1
    assert detect(OBVIOUS[:, ::-1], None) == [[]]


def test_a_python_without_otava_is_an_error() -> None:
    import sys

    with pytest.raises(RuntimeError, match="No module named 'otava'"):
        peers.otava(sys.executable)(OBVIOUS, None)


def test_rates_count_what_a_detector_says() -> None:
    def newest(values: np.ndarray, sessions: object) -> list[list[int]]:
        return [[values.shape[1] - 1] if index % 2 else [] for index in range(len(values))]

    peer, kind = peers.Peer("newest", newest), KINDS[0]
    assert false_alarms(peer, kind, 60, 1.0, 10).percent == 50.0
    assert power(peer, kind, 60, 1.0, 0.05, 3, 10).percent == 50.0
    assert power(peer, kind, 60, 1.0, 0.05, 10, 10).percent == 0.0, "a flag nine commits off is no hit"


def test_detectors_get_the_same_series_and_are_told_of_sessions_where_they_should_be() -> None:
    asked: list[tuple[np.ndarray, object]] = []

    def remember(values: np.ndarray, sessions: object) -> list[list[int]]:
        asked.append((values, sessions))
        return [[] for _ in values]

    for name in ("a", "b"):
        for kind in (KINDS[0], KINDS[6]):
            false_alarms(peers.Peer(name, remember), kind, 60, 1.0, 3)
    assert np.array_equal(asked[0][0], asked[2][0])
    assert [sessions is not None for _, sessions in asked] == [False, True, False, True]
    assert asked[1][1] == kinds.labels(60)


def test_the_page_names_what_misses_its_target() -> None:
    text = page(made(alarms=2, seen=100))
    assert f"| {KINDS[0].name}, n = 60 | 2.00 % | at most 1 % | {MISSED} |" in text
    assert f"| {KINDS[0].name}, n = 60, 1 commit | 100.0 % | at least 80 % | {MET} |" in text
    assert f"| {KINDS[0].name} | 2.0 / 100 | 2.0 / 100 | 2.0 / 100 |" in text
    assert "## What misses its target" in text
    assert "What misses its target" not in page(made(alarms=0, seen=100))
    assert max(map(len, page(made(0, 0)).splitlines())) < 200
    assert Line("", 1.0, most=1.0).met
    assert not Line("", 79.9, least=80).met


LIMITS = [(noise, 0.05, [1.0] * len(AGES), [0.9] * len(AGES)) for noise in (0.01, 0.02)]


def made(alarms: int, seen: int) -> Study:
    """A study of 100 series to each rate, all alike."""

    def rates(name: str, kind: Kind, steps: tuple[float, ...], ages: tuple[int, ...]) -> list[Rate]:
        found = []
        for length in LENGTHS:
            for scale in SCALES:
                found.append(Rate(name, kind.name, length, scale, 0.0, 0, alarms, 100))
                found += [Rate(name, kind.name, length, scale, step, age, seen, 100) for step in steps for age in ages]
        return found

    own = [rate for kind in KINDS for rate in rates("ours", kind, STEPS, AGES)]
    for kind in KINDS:
        for length in SHORT:
            own.append(Rate("ours", kind.name, length, SCALES[0], 0.0, 0, alarms, 100))
            own.append(Rate("ours", kind.name, length, SCALES[0], SHORT_STEP, SHORT_AGE, seen, 100))
    other = [rate for kind in KINDS for rate in rates("asv", kind, (0.05,), ASKED_AGES)]
    return Study([*own, *other], Sizes(1, 1, 1, 1), LIMITS, 0.7, (0, 10), "abc", 60.0, False)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_command_writes_the_page(tmp_path) -> None:
    path = tmp_path / "detector.md"
    kept = tmp_path / "found.json"
    main(["--nulls", "1", "--asked", "1", "--others", "1", "--peers", "1", "--write", str(path), "--json", str(kept)])
    text = path.read_text(encoding="utf-8")
    again = tmp_path / "again.md"
    main(["--found", str(kept), "--write", str(again)])
    assert again.read_text(encoding="utf-8") == text
    for part in (
        "False alarms",
        "Power that is asked for",
        "Free of scale",
        "The distance to the limit",
        "Beside others",
    ):
        assert f"## {part}" in text
    assert "no environment with it was named" in text
