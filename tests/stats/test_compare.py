"""Two runs told apart, or not: rates over seeded sessions whose truth is known, and the words that go with them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import ttest_ind

from fiabench.evidence import comparing
from fiabench.evidence.noise import sessions
from fiabench.stats.compare import FASTER, NO_DIFFERENCE, NOMINAL, SLOWER, UNDECIDED, chance_bound, compare
from fiabench.stats.pooling import fit_prior
from fiabench.stats.sessions import BETWEEN, WITHIN, over_sessions, spread_between


def pair(seed, count, change=0.0):
    source = np.random.default_rng(seed)
    return sessions(source, count, 1.0, 0.003), sessions(source, count, 1.0 + change, 0.003)


def test_one_case_alone_is_students_test():
    a, b = pair(1, 8, 0.005)
    found = compare([(a, b)])[0]
    expected = ttest_ind(np.log([np.median(s) for s in b]), np.log([np.median(s) for s in a]))
    assert found.chance == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval(1 - NOMINAL)
    assert (math.log(found.low), math.log(found.high)) == pytest.approx((interval.low, interval.high))


def test_unchanged_pairs_rarely_look_changed():
    """At most 18 of 1,000, as 99.3 of 100 such trials of an exact test would have it; here the same for 400."""
    assert comparing.alone(400, 8, 0.0)["changed"] <= 11 / 400


def test_changes_of_two_percent_are_found():
    assert comparing.alone(150, 8, 0.02)["changed"] >= 0.95
    assert comparing.pooled(30, 20, 3, 0.02)["found"] >= 0.9


def test_pooling_keeps_the_nominal_rate():
    for alike in (True, False):
        assert comparing.pooled(40, 20, 3, 0.0, alike)["unchanged_past_nominal"] <= 0.025


def test_false_discoveries_are_bounded():
    rates = comparing.discoveries(25, 100, 3, 0.1, 0.02)
    assert rates["false_discoveries"] <= 0.08
    assert rates["found"] >= 0.9


@pytest.mark.parametrize(("count", "others"), [(2, 0), (8, 0), (1, 20), (3, 20)])
def test_the_interval_over_sessions_covers(count, others):
    assert abs(comparing.coverage(300, count, others) - 0.95) < 0.05


def test_verdicts_and_what_they_say():
    slower, faster = compare([pair(1, 8, 0.05)])[0], compare([pair(1, 8, -0.05)])[0]
    assert (slower.verdict, faster.verdict) == (SLOWER, FASTER)
    assert slower.low > 1 > faster.high
    same = compare([pair(3, 8)])[0]
    assert same.verdict == NO_DIFFERENCE
    assert same.low < 1 < same.high
    assert f"{100 * same.visible:.1f} % and more would have been seen" in same.why
    strict = compare([pair(3, 8)], relevant=0.001)[0]
    assert strict.verdict == UNDECIDED
    assert "0.1 % is asked for" in strict.why


def test_what_is_visible_is_seen_in_95_of_100():
    visible = np.median([compare([pair(seed, 8)])[0].visible for seed in range(60)])
    found = comparing.alone(300, 8, float(visible))["changed"]
    assert 0.88 <= found <= 0.99


def test_one_session_a_side_decides_nothing_by_itself():
    found = compare([pair(0, 1, 0.3)])[0]
    assert (found.verdict, found.scope, found.chance, found.visible) == (UNDECIDED, WITHIN, None, None)
    assert found.low < 1.3 < found.high
    others = [pair(seed, 3) for seed in range(1, 21)]
    assert compare([pair(0, 1, 0.3), *others])[0].verdict == SLOWER


def test_sessions_say_what_they_hold():
    source = np.random.default_rng(0)
    one, three = sessions(source, 1, 2.0, 0.003), sessions(source, 3, 2.0, 0.003)
    prior = spread_between([sessions(source, 3, 1.0, 0.003) for _ in range(20)])
    assert over_sessions(one).scope == WITHIN
    assert over_sessions(one, prior).scope == BETWEEN
    assert over_sessions(three, prior).half_width < over_sessions(three).half_width
    assert over_sessions(three).value == pytest.approx(2.0, rel=0.01)
    assert over_sessions(three, prior).spread == pytest.approx(math.hypot(0.003, 0.0025), rel=0.4)


def test_sessions_without_any_spread_have_no_width():
    same = [np.ones(10)] * 3
    assert over_sessions(same).half_width == 0
    assert compare([(same, same)])[0].verdict == NO_DIFFERENCE
    assert compare([(same, [1.01 * s for s in same])])[0].verdict == SLOWER


def test_the_bound_after_benjamini_and_hochberg():
    assert chance_bound([0.5], 0.01, 0.05) == 0.01
    assert chance_bound([0.0001, 0.0009, 0.2, *[0.5] * 97], 0.01, 0.05) == pytest.approx(0.001)
    assert chance_bound([0.001, *[0.5] * 99], 0.01, 0.05) == pytest.approx(0.0005)
    assert chance_bound([], 0.01, 0.05) == 0.01


def test_a_prior_knows_alike_from_unlike():
    source = np.random.default_rng(0)
    alike = source.chisquare(4, 200) / 4
    assert fit_prior(alike, [4] * 200).freedom > 20
    unlike = alike * np.exp(source.standard_normal(200))
    assert fit_prior(unlike, [4] * 200).freedom < 8
    assert fit_prior(alike, [4] * 200).variance == pytest.approx(1, rel=0.2)
    assert fit_prior([1.0] * 4, [2] * 4) is None


def test_medians_have_to_be_above_zero():
    with pytest.raises(ValueError, match="above zero"):
        compare([([np.zeros(5)], [np.ones(5)])])
