"""Cases whose sessions move together are worth fewer, and several metrics are judged together."""

from __future__ import annotations

import numpy as np
import pytest

from fiabench.evidence.noise import SPREAD, sessions
from fiabench.stats.compare import FASTER, NOMINAL, SLOWER, compare, compare_groups
from fiabench.stats.pooling import fit_prior, resemblance_of

CASES = 20


def moved(source, offsets):
    """A case's sessions, each with 24 samples around what moves all cases of that session."""
    return list(np.exp(offsets[:, None] + SPREAD * source.standard_normal((offsets.size, 24))))


@pytest.mark.parametrize("count", [2, 3])
def test_what_moves_all_cases_of_a_session_is_no_change(count):
    """Taken for as many independent cases, 8 and 5 of 100 of them pass the bound that 1 of 100 may."""
    passed = []
    for seed in range(100):
        source = np.random.default_rng([seed, count])
        a, b = 0.01 * source.standard_normal((2, count))
        found = compare([(moved(source, a), moved(source, b)) for _ in range(CASES)])
        passed += [difference.chance <= NOMINAL for difference in found]
    assert np.mean(passed) <= 0.03


def test_cases_on_their_own_are_worth_nearly_as_many():
    source = np.random.default_rng(0)
    worth = []
    for _ in range(50):
        logs = source.standard_normal((CASES, 6))
        residuals = list(logs - logs.mean(axis=1, keepdims=True))
        prior = fit_prior([float(r @ r) / 5 for r in residuals], [5] * CASES, resemblance_of(residuals))
        worth.append(prior.most / (5 * CASES))
    assert np.mean(worth) > 0.95
    assert max(worth) <= 1


def test_cases_that_move_as_one_are_worth_one():
    one = np.array([0.1, -0.3, 0.2])
    residuals = [size * one for size in (1.0, 2.0, 0.5, 1.0, 3.0)]
    assert resemblance_of(residuals) == pytest.approx(1)
    assert fit_prior([1.0] * 5, [2] * 5, 1.0).most == pytest.approx(2)


def test_what_cannot_be_laid_side_by_side_tells_nothing():
    up = np.array([1.0, -1.0])
    assert resemblance_of([]) == 0
    assert resemblance_of([up]) == 0
    assert resemblance_of([np.zeros(2), np.zeros(2)]) == 0
    assert resemblance_of([up, np.array([1.0, 0.0, -1.0])]) == 0
    assert resemblance_of([up, -up]) == 0


def test_groups_spread_on_their_own_and_are_judged_together():
    source = np.random.default_rng(1)
    quiet = [(sessions(source, 3, 1.0, 0.001), sessions(source, 3, 1.0, 0.001)) for _ in range(10)]
    loud = [(sessions(source, 3, 1.0, 0.05), sessions(source, 3, 1.0, 0.05)) for _ in range(10)]
    apart = compare_groups([quiet, loud])
    assert max(d.visible for d in apart[0]) < 0.2 * min(d.visible for d in apart[1])
    assert [d.ratio for group in apart for d in group] == [d.ratio for d in compare(quiet + loud)]


def test_what_noise_hides_is_told_as_a_factor_where_it_is_large():
    loud = [np.full(10, 1.0), np.full(10, 2.0)]
    (found,) = compare([(loud, loud)])
    assert found.visible > 1
    assert f"differences of a factor of {1 + found.visible:.2g} and more" in found.why


def test_the_bound_holds_over_all_groups():
    """A hundred groups of one case each: one by one, each could look changed in one of a hundred comparisons."""
    false = 0
    for seed in range(10):
        source = np.random.default_rng(seed)
        groups = [[(sessions(source, 4, 1.0, 0.003), sessions(source, 4, 1.0, 0.003))] for _ in range(100)]
        judged = compare_groups(groups)
        false += any(found.verdict in (SLOWER, FASTER) for (found,) in judged)
    assert false <= 3
