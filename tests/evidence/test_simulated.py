"""The engine against planted truth, with few seeds: bounds that a naive engine does not keep."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from fiabench.evidence import simulated
from fiabench.evidence.planted import (
    DRIFTING,
    EQUAL_MODES,
    GAUSSIAN,
    HEAVY_TAILED,
    KERNEL,
    KINDS,
    THROTTLED,
    ULYSSES,
    UNDISTURBED,
)
from fiabench.evidence.simulated import measure, outcome_of, rates
from fiabench.simulation.effects import noise, parse_effects

pytestmark = pytest.mark.long
SEEDS = 30


def test_without_anything_planted_the_truth_comes_back():
    quiet = outcome_of(measure(KERNEL, (), 0))
    assert quiet.settled
    assert not quiet.flagged
    assert quiet.value == pytest.approx(1)
    assert pytest.approx(0.005) == UNDISTURBED
    exchanged = measure(ULYSSES, (), 0).metrics["transfer"]["value"]
    assert exchanged == pytest.approx(simulated.TRANSFER)


@pytest.mark.parametrize("kind", [GAUSSIAN, HEAVY_TAILED], ids=lambda kind: kind.name)
def test_settled_numbers_are_right(kind):
    found = rates(kind.name, SEEDS)
    assert found["settled"] >= 0.95
    assert found["settled_close"] >= 0.95
    assert found["covered"] >= 0.85
    assert found["flagged"] <= 0.1
    assert 15 <= found["mean_samples"] <= 45


@pytest.mark.parametrize("kind", EQUAL_MODES, ids=lambda kind: kind.name)
def test_equal_modes_never_settle_silently(kind):
    assert rates(kind.name, 12)["modes_or_unsettled"] >= 0.85


@pytest.mark.parametrize("kind", DRIFTING, ids=lambda kind: kind.name)
def test_drift_is_named(kind):
    found = rates(kind.name, 12)
    assert found["changed"] >= 0.8
    assert found["confidently_wrong"] <= 0.2


@pytest.mark.parametrize("kind", THROTTLED, ids=lambda kind: kind.name)
def test_throttling_is_named_where_samples_were_taken_of_it(kind):
    found = rates(kind.name, 12)
    assert found["changed_of_disturbed"] >= 0.7
    assert found["disturbed"] >= 0.5
    assert found["confidently_wrong"] <= 0.2


def test_dependent_samples_are_flagged_or_right():
    found = rates("neighbours correlate by 0.7", SEEDS)
    assert found["confidently_wrong"] <= 0.15
    assert found["flagged"] >= 0.7


def test_several_sessions_hold_what_one_does_not():
    found = simulated.session_rates(8)
    assert found[1]["labelled"] == 1
    assert found[3]["labelled"] == found[8]["labelled"] == 0
    assert min(found[3]["covered"], found[8]["covered"]) >= 0.7


def test_the_slow_rank_is_named_and_nothing_is_said_of_equal_ones():
    found = [simulated.slow_rank(seed) for seed in range(4)]
    assert sum(ranks.named for ranks in found) >= 3
    assert sum(ranks.clean_flagged for ranks in found) <= 1


@pytest.mark.parametrize("delay", simulated.DELAYS)
def test_delays_come_back_as_wait(delay):
    assert sum(simulated.Delayed(delay)(seed) for seed in range(3)) >= 2


def test_a_delay_is_found_only_where_it_is_planted():
    """The same judgement fails where another delay than the planted one is looked for."""
    wrong = simulated.Delayed(0.001)
    found = measure(ULYSSES, ("delay=1:0.002",), 0).metrics["wait"]["value"]
    assert not 0 <= found - wrong.delay <= simulated.JITTER


def test_the_truth_of_two_modes_is_their_median():
    """As a long series of them has it."""
    for kind in KINDS.values():
        if kind.name.startswith("modes 70"):
            drawn = np.ones(200_000)
            for place, effect in enumerate(parse_effects(kind.plants)):
                series = noise(effect.shape, effect.numbers, random.Random(place))
                drawn *= np.fromiter(itertools.islice(series, drawn.size), float, drawn.size)
            assert np.median(drawn) == pytest.approx(kind.truth, abs=5e-5)
