"""Closure and attribution on real ranks: time planted in a known place is found there and nowhere else.

The time is that of a clock on which only what is planted passes: the box may be busy.
"""

from __future__ import annotations

import pytest
import torch

from fiabench.measure.build import build
from fiabench.measure.pipeline import Step
from fiabench.measure.sampling import Stopping, sample
from fiabench.results import metrics
from tests.measure.clock import TICK, Meeting, SleepClock
from tests.ulysses.points import make_case
from tests.ulysses.ranks import run_ranks

SLEEP = 0.03
TICKS = pytest.approx(0, abs=50 * TICK)
"""No more than the marks of an iteration."""
ALL = pytest.approx(SLEEP, abs=50 * TICK)
TWELVE = Stopping(half_width=1e-9, min_samples=12, max_samples=12, max_seconds=60.0, warmup_max_seconds=0.5)
RANKS = 2
CASE = make_case(ulysses=RANKS)


def planted(groups, device, case, after, rank, inside):
    """Samples of ``case``, with a sleep planted on ``rank`` (None: on all) after the phase ``after`` first occurs."""
    torch.set_num_threads(1)
    device = SleepClock(groups.rank)
    groups = Meeting(groups, device)
    pipeline = build(case, groups.rank, groups, device, {})
    pipeline.run()
    groups.exchanging(pipeline)
    if after and rank in (None, groups.rank):
        index = next(index for index, step in enumerate(pipeline.steps) if step.phase == after)
        nap = Step(after if inside else None, lambda: device.sleep(SLEEP))
        pipeline.steps.insert(index + 1, nap)
    return dict(sample(pipeline, device, groups, TWELVE, 0.001).seconds)


def measured(after=None, rank=None, inside=False, case=CASE):
    answers = run_ranks(RANKS, planted, case, after, rank, inside)
    samples = {phase: {str(rank): answer[phase] for rank, answer in enumerate(answers)} for phase in answers[0]}
    return {name: entry["value"] for name, entry in metrics.compute(case, samples, None, None).items()}


@pytest.fixture(scope="module")
def plain():
    return measured()


@pytest.mark.parametrize("after", ["unpack_in", "kernel"])
@pytest.mark.parametrize("rank", [None, 1])
def test_a_sleep_between_two_phases_is_the_closure_residual(plain, after, rank):
    """On one rank too: that the other waits for it must not make the gap look like a phase."""
    found = measured(after, rank)
    assert found["closure_residual"] * found["total"] == ALL
    assert plain["closure_residual"] * plain["total"] == TICKS
    assert found["kernel"] == TICKS
    assert found["all_to_all"] == TICKS


def test_a_slow_kernel_on_one_rank_is_wait_on_the_other_and_not_transfer(plain):
    found = measured("kernel", rank=1, inside=True)
    assert found["kernel"] == ALL
    assert found["wait"] == ALL
    assert found["transfer"] == TICKS
    assert found["all_to_all"] == TICKS
    assert found["closure_residual"] * found["total"] == TICKS
    assert plain["wait"] == TICKS


def test_a_late_rank_before_the_first_exchange_is_wait_too():
    found = measured("pack_in", rank=0, inside=True)
    assert found["wait"] == ALL
    assert found["transfer"] == TICKS
    assert found["all_to_all"] == ALL, "packing is the all-to-all's own work"


def test_a_slow_exchange_is_transfer_on_all_ranks():
    found = measured("exchange_out", inside=True)
    assert found["transfer"] == ALL
    assert found["wait"] == TICKS
    assert 0.99 < found["all_to_all_share"] <= 1.0


def test_a_slow_merge_of_one_step_of_a_ring_is_the_merge_of_the_attention():
    """A phase that occurs in every step is the sum of them."""
    found = measured("merge", inside=True, case=make_case(ulysses=1, ring=RANKS))
    assert found["merge"] == ALL
    assert found["kernel"] == TICKS
    assert found["ring_exchange"] == TICKS
    assert found["closure_residual"] * found["total"] == TICKS
