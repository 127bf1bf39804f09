"""The stopping rule against durations planted in the clock: the truth is known, the path is the real one."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import pytest
import torch.distributed as dist

from fiabench.measure.pipeline import Pipeline, Step
from fiabench.measure.sampling import LONG_SAMPLES, Stopping, sample
from fiabench.stats.stopping import MedianInterval
from fiabench.ulysses.groups import RankGroups
from tests.ulysses.ranks import run_ranks


class PlannedDevice:
    """A clock on which each pair of marks lies a planned duration apart; it is the host's clock, too."""

    timing_method = "planned"

    def __init__(self, durations: Iterator[float]) -> None:
        self.durations = durations
        self.clock = 0.0
        self.given: list[float] = []

    def now(self) -> float:
        return self.clock

    def synchronize(self) -> None:
        pass

    def sensors(self) -> dict[str, float]:
        return {}

    def mark(self) -> None:
        pass

    def seconds(self, start: None, end: None) -> float:
        self.given.append(next(self.durations))
        self.clock += self.given[-1]
        return self.given[-1]


@pytest.fixture(scope="module")
def alone():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield RankGroups(PlannedDevice(itertools.repeat(0.0)), 1)
    dist.destroy_process_group()


@pytest.fixture
def take(alone):
    """Samples a kernel whose iterations last as planned; returns what was sampled, and the device."""

    def take(durations, first_iteration=None, phases=("kernel",), **changes):
        device = PlannedDevice(iter(durations))
        pipeline = Pipeline([Step(phase, lambda: None) for phase in phases])
        first = 10.0 if first_iteration is None else first_iteration  # long: no warm-up
        return sample(pipeline, device, alone, stopping(**changes), first), device

    return take


def stopping(**changes) -> Stopping:
    usual = {"half_width": 0.005, "min_samples": 10, "max_samples": 1000, "max_seconds": 1e9, "warmup_max_seconds": 5.0}
    return Stopping(**(usual | changes))


def noise(spread, around=0.01, seed=1):
    source = random.Random(seed)
    while True:
        yield around * (1 + spread * source.uniform(-1, 1))


def test_a_steady_series_settles_at_the_fewest_samples(take):
    sampled, _ = take(itertools.repeat(0.01))
    assert sampled.settled
    assert sampled.half_width == 0
    assert len(sampled.seconds["kernel"]) == 10


def test_a_noisy_series_settles_when_its_half_width_is_reached_and_no_sooner(take):
    sampled, _ = take(noise(0.02))
    assert sampled.settled
    assert sampled.half_width <= 0.005
    assert 10 < len(sampled.seconds["kernel"]) < 200
    wider, _ = take(noise(0.02), half_width=0.01)
    assert len(wider.seconds["kernel"]) < len(sampled.seconds["kernel"])


@pytest.mark.parametrize("cap", [{"max_samples": 40}, {"max_seconds": 0.4}])
def test_a_cap_that_comes_first_leaves_it_unsettled(take, cap):
    sampled, _ = take(noise(0.5), **cap)
    assert not sampled.settled
    assert sampled.half_width > 0.005
    assert 30 <= len(sampled.seconds["kernel"]) <= 50


def test_the_time_cap_is_kept(take):
    sampled, device = take(noise(0.5), max_seconds=2.0)
    assert 1.8 < sum(device.given) <= 2.02
    assert sampled.sampling_seconds == pytest.approx(sum(device.given))


def test_a_time_cap_below_one_iteration_still_gives_three_samples(take):
    sampled, _ = take(itertools.repeat(1.5), max_seconds=1.0)
    assert not sampled.settled, "fewer than min_samples"
    assert len(sampled.seconds["kernel"]) == LONG_SAMPLES


@pytest.mark.parametrize("fewest", [2, 5, 25])
def test_the_fewest_samples_are_respected(take, fewest):
    sampled, _ = take(itertools.repeat(0.01), min_samples=fewest)
    assert len(sampled.seconds["kernel"]) == fewest


@pytest.mark.parametrize(("seconds", "count"), [(1.9, 10), (2.1, 3)])
def test_three_samples_are_enough_for_iterations_of_over_two_seconds(take, seconds, count):
    sampled, _ = take(itertools.repeat(seconds))
    assert sampled.settled
    assert len(sampled.seconds["kernel"]) == count


def test_every_sample_is_kept_in_order_outliers_too(take):
    series = [*(0.01 + 1e-6 * index for index in range(9)), 0.5]
    sampled, device = take(series, max_samples=10)
    assert sampled.seconds["kernel"] == sampled.seconds["end_to_end"] == series == device.given


def test_end_to_end_and_instrumented_iterations_alternate_and_exchanges_follow_by_themselves(take):
    """All see the same state of the box."""
    phases = ("pack_in", "exchange_in", "kernel")
    series = [float(index) for index in range(1, 51)]
    sampled, _ = take(series, phases=phases, min_samples=10, max_samples=10)
    assert sampled.seconds["end_to_end"] == series[0::5]
    for place, phase in enumerate((*phases, "aligned_exchange_in"), start=1):
        assert sampled.seconds[phase] == series[place::5]


def test_two_steps_of_one_phase_add_up(take):
    sampled, _ = take([1.0, 2.0, 3.0, 4.0] * 3, phases=("pack_in", "kernel", "pack_in"), max_samples=3)
    assert sampled.seconds["pack_in"] == 3 * [6.0]


def test_the_criterion_is_asked_ever_more_rarely(take, monkeypatch):
    """Asking after every sample would bias the interval."""
    asked = []
    original = MedianInterval.judge
    monkeypatch.setattr(
        MedianInterval, "judge", lambda self, taken, *rest: asked.append(len(taken)) or original(self, taken, *rest)
    )
    take(noise(0.5), max_samples=200)
    assert asked[:2] == [1, 10]
    assert asked[-1] == 200
    assert all(after >= 1.1 * before for before, after in itertools.pairwise(asked[1:-1]))


def test_a_fixed_count_is_taken_whatever_it_shows(take):
    sampled, _ = take(noise(0.5), criterion="fixed_count", max_samples=37)
    assert (len(sampled.seconds["kernel"]), sampled.settled) == (37, True)


def test_a_fixed_time_is_filled(take):
    sampled, _ = take(noise(0.5), criterion="fixed_time", max_seconds=3.0)
    assert 2.97 < sum(sampled.seconds["kernel"]) <= 3.03
    assert sampled.settled


def test_warm_up_ends_when_two_windows_agree(take):
    """Falling for 60 iterations, then steady: no sample may come from the fall."""
    falling = [0.01 * 0.96**index for index in range(60)]
    sampled, _ = take(itertools.chain(falling, itertools.repeat(falling[-1])), first_iteration=0.01)
    assert 60 <= sampled.warmup_iterations <= 90
    assert set(sampled.seconds["kernel"]) == {falling[-1]}
    assert sampled.warmup_seconds == pytest.approx(sum(falling) + (sampled.warmup_iterations - 60) * falling[-1])


def test_a_steady_series_is_warm_after_two_windows(take):
    sampled, _ = take(itertools.repeat(0.01), first_iteration=0.01)
    assert sampled.warmup_iterations == 20


def test_warm_up_that_never_gets_steady_ends_with_its_time(take):
    restless = (0.01 if index // 10 % 2 else 0.02 for index in itertools.count())
    sampled, _ = take(restless, first_iteration=0.01, warmup_max_seconds=3.0, max_samples=20)
    assert 2.5 < sampled.warmup_seconds <= 3.0


def test_a_long_iteration_was_warmed_up_by_its_check(take):
    sampled, _ = take(itertools.repeat(3.0), first_iteration=3.0)
    assert sampled.warmup_iterations == 0


def on_two_ranks(groups, device, seconds):
    """Each rank with its own clock and noise; the pipelines are real, their durations planned."""
    planned = PlannedDevice(noise(0.02, around=seconds[groups.rank], seed=groups.rank))
    sampled = sample(Pipeline([Step("kernel", lambda: None)]), planned, groups, stopping(), 0.01 * (groups.rank + 1))
    kept = sampled.seconds["kernel"] == planned.given[sampled.warmup_iterations :]
    return len(sampled.seconds["kernel"]), sampled.warmup_iterations, sampled.settled, sampled.half_width, kept


@pytest.mark.parametrize("seconds", [(0.01, 0.03), (0.03, 0.01), (0.001, 2.5)])
def test_all_ranks_take_the_same_decisions_from_different_durations(seconds):
    """A rank that stopped alone would leave the others in an exchange for ever."""
    first, second = run_ranks(2, on_two_ranks, seconds)
    assert first == second
    count, _, settled, half_width, kept = first
    assert settled
    assert 0 < half_width <= 0.005
    assert kept
    assert count >= (3 if max(seconds) > 2 else 10)


def test_a_first_call_that_compiles_does_not_make_a_short_kernel_a_long_one(alone):
    device = PlannedDevice(itertools.repeat(0.01))
    device.timing_method = "event"
    sampled = sample(Pipeline([Step("kernel", lambda: None)]), device, alone, stopping(), 10.0)
    assert sampled.warmup_iterations > 10


def test_a_device_that_outruns_the_host_although_it_was_kept_busy_is_host_bound(alone):
    """The launches take longer and longer: what was held at first is not enough."""
    device = PlannedDevice(itertools.repeat(0.01))
    device.timing_method = "event"
    device.hold = lambda seconds: None
    launches = itertools.count(1)

    def exchange():
        device.clock += 1e-3 * next(launches) ** 4

    steps = [Step("exchange_in", exchange)]
    assert sample(Pipeline(steps), device, alone, stopping(warmup_max_seconds=0.0), 1.0).host_bound is True


@pytest.mark.parametrize("method", ["host", "event"])
def test_sensors_are_read_beside_the_samples(method, alone):
    device = PlannedDevice(noise(0.02))
    device.timing_method = method
    device.sensors = lambda: {"clock_mhz": device.clock}
    sampled = sample(Pipeline([Step("kernel", lambda: None)]), device, alone, stopping(), 10.0)
    taken, clocks = sampled.sensors["samples"], sampled.sensors["clock_mhz"]
    assert taken[0] == 0
    assert taken[-1] == len(sampled.seconds["kernel"])
    assert taken == sorted(taken)
    assert clocks == sorted(clocks)
