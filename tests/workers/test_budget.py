"""A budget: what each case gets of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiabench.cases.quantities import parse_duration
from fiabench.workers import budget as budgets
from fiabench.workers.budget import Budget, Cost, limited

STOPPING = {"half_width": 0.005, "max_seconds": 30.0, "warmup_max_seconds": 10.0}
COSTS = st.lists(st.builds(Cost, st.floats(0, 1), st.floats(0.01, 1000)), min_size=1, max_size=20)


@given(COSTS, st.floats(21, 10_000))
def test_cases_that_take_their_share_use_all_of_it_and_each_by_its_estimate(costs: list[Cost], seconds: float) -> None:
    """Beside what is fixed, which 20 cases of at most a second leave something of."""
    fixed, sampling = (sum(column) for column in zip(*costs, strict=True))
    clock = [0.0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budgets.time, "monotonic", lambda: clock[0])
        budget = Budget(seconds)
        budget.expect(costs)
        for place, cost in enumerate(costs):
            share = budget.share(place)
            assert share == pytest.approx((seconds - fixed) * cost.sampling / sampling)
            clock[0] += cost.fixed + share
        assert budget.left == pytest.approx(0, abs=1e-6 * seconds)


@given(COSTS, st.lists(st.floats(0.1, 3), min_size=20, max_size=20))
def test_what_one_case_does_not_use_the_others_get(costs: list[Cost], factors: list[float]) -> None:
    """However far off each case is, the last one may use all that is left."""
    clock = [0.0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budgets.time, "monotonic", lambda: clock[0])
        budget = Budget(100)
        budget.expect(costs)
        for place, factor in zip(range(len(costs) - 1), factors, strict=False):
            clock[0] += costs[place].fixed + factor * max(0.0, budget.share(place))
        assert budget.share(len(costs) - 1) == pytest.approx(100 - clock[0] - costs[-1].fixed)


@given(st.floats(-10, 1000))
def test_limits_only_lower_what_the_sweep_allows(seconds: float) -> None:
    caps = limited(STOPPING, seconds)
    assert 0 <= caps["max_seconds"] <= STOPPING["max_seconds"]
    assert 0 <= caps["warmup_max_seconds"] <= STOPPING["warmup_max_seconds"]
    assert caps["max_seconds"] + caps["warmup_max_seconds"] <= max(0.0, seconds) + 1e-9
    if seconds >= 40:
        assert caps == STOPPING


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("1.5h", 5400), ("2 m", 120)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "m", "0s", "0.0h", "-1m", "1e3s", "1d", "1h30m", "nan s", "\u0663m"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="90s, 30m"):
        parse_duration(text)
