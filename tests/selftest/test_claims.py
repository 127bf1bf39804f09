"""A claim that cannot fail is worth nothing: into each a fault is planted, and it has to be found.

The CPU stands in for devices with a queue where a claim needs one: no figure here is an accelerator's.
"""

from __future__ import annotations

import time

import pytest
import torch

from fiabench import npu_operator
from fiabench.devices.cpu import CpuDevice
from fiabench.measure import cross_check as profiling
from fiabench.selftest import exchange, memory, operator, timing
from fiabench.selftest.claim import FAILED, OK, SKIPPED, Claim, Finding, verdict
from fiabench.selftest.names import NAMES
from fiabench.selftest.run import CLAIMS
from tests.ulysses.ranks import run_ranks

needs_provided = pytest.mark.skipif(not npu_operator.provided(), reason="torch_npu provides the operator here")


@pytest.fixture(autouse=True)
def one_thread():
    """As in the self-test's own process."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def plain():
    return CpuDevice(0)


def test_the_names_are_those_of_the_claims_in_their_order():
    assert tuple(CLAIMS) == NAMES


@pytest.fixture
def planned(monkeypatch):
    """Time passes in products of matrices and in naps alone: a busy box is no part of it."""
    now, multiply = [100.0], torch.mm

    def nap(seconds):
        now[0] += seconds

    def mm(*matrices, out):
        nap(PRODUCT_SECONDS)
        return multiply(*matrices, out=out)

    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(time, "perf_counter_ns", lambda: round(1e9 * now[0]))
    monkeypatch.setattr(time, "sleep", nap)
    monkeypatch.setattr(torch, "mm", mm)


PRODUCT_SECONDS = 5e-4


@pytest.fixture
def small_products(monkeypatch):
    """What they take is planned."""
    monkeypatch.setattr("fiabench.selftest.load._SIDE", {"host": 64, "event": 64})


class TestVerdict:
    def check(self, found):
        def raise_or_return(device):
            if isinstance(found, Exception):
                raise found
            return found

        told = verdict(Claim("name", "a sentence", raise_or_return), CpuDevice(0))
        assert (told["claim"], told["sentence"]) == ("name", "a sentence")
        return told["verdict"], told["found"]

    def test_what_does_not_hold_failed(self):
        assert self.check(Finding(True, "this", "this")) == (OK, "this")
        assert self.check(Finding(False, "this", "that")) == (FAILED, "that")

    def test_an_error_failed_and_a_reason_skipped(self):
        assert self.check(ValueError("first\nsecond")) == (FAILED, "ValueError: first")
        assert self.check(timing.Skipped("too small")) == (SKIPPED, "too small")


class FastClock(CpuDevice):
    """Ten per cent fast."""

    def seconds(self, start, end):
        return 1.1 * super().seconds(start, end)


class StoppedClock(CpuDevice):
    """Every mark is the same."""

    def mark(self):
        return 0


@pytest.mark.usefixtures("planned", "small_products")
class TestClock:
    def test_a_clock_that_is_ten_per_cent_fast_is_found(self):
        found = timing.clock(FastClock(0))
        assert not found.holds
        assert 9.0 < float(found.found.split(": ")[1].split(" %")[0]) < 11.0

    def test_a_right_one_holds(self, plain):
        assert timing.clock(plain).holds

    def test_marks_that_stand_still_are_found(self, plain):
        assert timing.marks(plain).holds
        assert not timing.marks(StoppedClock(0)).holds

    def test_spans_that_do_not_add_up_are_found(self):
        class Rounding(CpuDevice):
            """Each span is longer by what it takes to make it."""

            def seconds(self, start, end):
                return super().seconds(start, end) + 1e-3

        assert not timing.marks(Rounding(0)).holds


class Queued(CpuDevice):
    """A CPU with a queue: marks stand after what was held, and what the host does meanwhile is hidden behind it."""

    timing_method = "event"
    held = 1.0
    """The part of what is asked that it really lasts."""
    hides = True

    def __init__(self, index):
        super().__init__(index)
        self._free_at = 0.0

    @property
    def _now(self):
        return max(time.perf_counter(), self._free_at) if self.hides else time.perf_counter()

    def hold(self, seconds):
        self._free_at = max(time.perf_counter(), self._free_at) + self.held * seconds

    def mark(self):
        return int(1e9 * self._now)

    def synchronize(self):
        time.sleep(max(0.0, self._free_at - time.perf_counter()))


@pytest.mark.usefixtures("planned", "small_products")
class TestHold:
    def test_a_queue_that_is_held_as_asked_holds(self):
        assert timing.hold(Queued(0)).holds
        assert timing.behind_hold(Queued(0)).holds

    @pytest.mark.parametrize("part", [0.0, 0.3, 3.0])
    def test_one_that_is_held_for_another_time_is_found(self, part, monkeypatch):
        monkeypatch.setattr(Queued, "held", part)
        assert not timing.hold(Queued(0)).holds

    def test_marks_that_do_not_wait_in_the_queue_are_found(self, monkeypatch):
        monkeypatch.setattr(Queued, "hides", False)
        assert not timing.behind_hold(Queued(0)).holds

    def test_without_a_queue_there_is_nothing_to_check(self, plain):
        assert verdict(CLAIMS["hold"], plain)["verdict"] == SKIPPED
        assert verdict(CLAIMS["behind_hold"], plain)["verdict"] == SKIPPED


class Capturing(CpuDevice):
    """Replays ``part`` of the launches."""

    part = 1.0

    def capture(self, launch, times):
        def replay():
            for _ in range(round(self.part * times)):
                launch()

        return replay


@pytest.mark.usefixtures("planned", "small_products")
class TestCapture:
    def test_a_replay_of_all_launches_is_the_same_work(self):
        found = timing.capture(Capturing(0))
        assert found.holds
        assert "the same result" in found.found

    @pytest.mark.parametrize("part", [0.0, 0.5])
    def test_one_that_leaves_launches_out_is_found(self, part, monkeypatch):
        monkeypatch.setattr(Capturing, "part", part)
        found = timing.capture(Capturing(0))
        assert not found.holds
        assert ("ANOTHER" in found.found) == (part == 0)

    def test_where_there_are_no_graphs_the_reason_is_told(self, plain):
        told = verdict(CLAIMS["capture"], plain)
        assert (told["verdict"], told["found"]) == (SKIPPED, "a CPU has no graphs")


@pytest.mark.usefixtures("planned")
def test_a_flush_that_leaves_the_cache_as_it_was_is_found(monkeypatch):
    """Against memory whose first reads are planted to be slow: which caches a box has, nobody knows here."""

    class Cached(Queued):
        """What was read since the last flush is fast."""

        flushes = True

        def __init__(self, index):
            super().__init__(index)
            self.cached = set()

        def flush_cache(self):
            if self.flushes:
                self.cached.clear()

    device = Cached(0)

    def slow_at_first(read, dim, out):
        device.hold(0.001 if read.data_ptr() in device.cached else 0.002)
        device.cached.add(read.data_ptr())

    monkeypatch.setattr(torch, "sum", slow_at_first)
    monkeypatch.setattr(timing, "_READ_BYTES", {"event": 2**20})
    monkeypatch.setattr(timing, "_UNTOUCHED_BYTES", 16 * 2**20)
    assert timing.flush(device).holds
    monkeypatch.setattr(Cached, "flushes", False)
    assert not timing.flush(device).holds


def peak_claim(groups, device):
    return verdict(CLAIMS["peak_memory"], device)["verdict"]


class TestMemory:
    def test_what_the_cpu_says_holds(self, plain):
        assert memory.out_of_memory(plain).holds

    def test_memory_that_never_ends_is_found(self, monkeypatch):
        class Boundless(Queued):
            @classmethod
            def describe(cls):
                return {"memory_bytes": 512}

        found = memory.out_of_memory(Boundless(0))
        assert not found.holds
        assert found.found == "1024 bytes were granted"

    @pytest.mark.parametrize(("answer", "words"), [(False, "NOT recognised"), (True, "mistaken")])
    def test_a_device_that_knows_no_words_or_takes_all_for_it_is_found(self, plain, answer, words):
        plain.is_out_of_memory = lambda error: answer
        found = memory.out_of_memory(plain)
        assert not found.holds
        assert words in found.found

    def test_a_peak_that_counts_half_is_found(self, plain):
        plain.peak_memory = lambda: memory.ALLOCATED // 2
        assert not memory.peak(plain).holds

    def test_the_cpus_peak_holds_where_it_is_told(self):
        # In a fresh process, as in the self-test: elsewhere what other tests left may be given back meanwhile.
        assert run_ranks(1, peak_claim)[0] in (OK, SKIPPED)

    @pytest.mark.parametrize(
        ("readings", "holds"),
        [
            ({"clock_mhz": 1500.0, "temperature_c": 40.0}, True),
            ({"clock_mhz": 1500.0}, False),
            ({"clock_mhz": 1.5, "temperature_c": 40.0}, False),
            ({"clock_mhz": 1500.0, "temperature_c": 4000.0}, False),
            ({"power_w": 90.0}, False),
        ],
    )
    def test_sensors_of_an_accelerator(self, readings, holds):
        device = Queued(0)
        device.sensors = lambda: {**readings, "memory_bytes": 1.0}
        assert memory.sensors(device).holds == holds


@needs_provided
class TestOperator:
    @pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("_values")])
    def test_the_operators_are_right(self, plain, name):
        told = verdict(CLAIMS[name], plain)
        assert told["verdict"] == OK
        assert "fiabench (emulated)" in told["found"]

    def test_the_operator_under_test_has_to_be_there_and_its_siblings_need_not(self, plain, monkeypatch):
        monkeypatch.setattr(operator, "unsupported", lambda case, device, projects: f"there is no {case.op}")
        told = verdict(CLAIMS["fia_values"], plain)
        assert (told["verdict"], told["found"]) == (FAILED, "there is no fia")
        told = verdict(CLAIMS["fia_v2_values"], plain)
        assert (told["verdict"], told["found"]) == (SKIPPED, "there is no fia_v2")

    def test_an_operator_that_forgets_the_scale_is_found(self, plain, monkeypatch):
        from fiabench.ops import fia

        prepare = fia.prepare
        monkeypatch.setattr(fia, "prepare", lambda case, query, key, value: prepare(case, 2 * query, key, value))
        found = operator.values(plain, "fia")
        assert not found.holds
        assert "BNSD fp16 none: head" in found.found

    def test_an_operator_that_takes_any_head_count_is_found(self, plain, monkeypatch):
        assert operator.wrong_heads(plain).holds
        monkeypatch.setattr(operator, "MODEL_HEADS", operator.HEADS)
        assert not operator.wrong_heads(plain).holds

    def test_another_refusal_is_not_the_one_that_is_known(self, plain, monkeypatch):
        monkeypatch.setattr(operator, "REFUSAL", ("561002", "CheckSomethingElse"))
        found = operator.wrong_heads(plain)
        assert not found.holds
        assert found.found.startswith("lacks CheckSomethingElse")


@pytest.mark.slow
class TestProfiler:
    def test_a_clock_that_is_fast_is_found_by_the_profiler_too(self):
        class VeryFastClock(CpuDevice):
            def seconds(self, start, end):
                return 1.3 * super().seconds(start, end)

        assert operator.profiled(CpuDevice(0)).holds
        assert not operator.profiled(VeryFastClock(0)).holds

    def test_a_profiler_that_sees_nothing_is_found(self, plain, monkeypatch):
        monkeypatch.setattr(profiling, "_cpu", lambda work: [])
        found = operator.profiled(plain)
        assert not found.holds
        assert found.found == "the profiler saw no kernel on cpu"


class TestExchange:
    @pytest.mark.slow
    def test_two_real_ranks(self, plain):
        """Whether the box is quiet enough for their times to agree is not asked here."""
        told = exchange.told(plain)
        assert exchange.judge_exact(told, "gloo").holds
        assert all(delay >= 0.02 and prompt > 0 and late > 0 for delay, prompt, late in told["delays"])
        assert len(told["aligned"]) == len(told["natural"]) > 10

    def test_one_wrong_element_is_found(self):
        assert exchange.judge_exact({"wrong": 0}, "gloo").holds
        assert not exchange.judge_exact({"wrong": 1}, "gloo").holds

    @pytest.mark.parametrize(("waited", "holds"), [(0.02, True), (0.0215, True), (0.017, False), (0.023, False)])
    def test_a_wait_that_is_billed_elsewhere_is_found(self, waited, holds):
        assert exchange.judge_wait({"delays": [[0.02, 0.005 + waited, 0.005]] * 5}).holds == holds

    @pytest.mark.parametrize(("aligned", "holds"), [(0.8, True), (1.1, True), (1.3, False)])
    def test_an_aligned_transfer_that_is_longer_is_found(self, aligned, holds):
        assert exchange.judge_aligned({"aligned": [aligned], "natural": [1.0]}).holds == holds

    def test_one_device_is_not_enough(self, monkeypatch):
        monkeypatch.setattr(Queued, "count", classmethod(lambda cls: 1))
        told = verdict(CLAIMS["all_to_all"], Queued(0))
        assert (told["verdict"], told["found"]) == (SKIPPED, "needs 2 devices, found 1")

    @pytest.mark.slow
    def test_ranks_that_fail_are_a_claim_that_failed(self):
        class Unknown(CpuDevice):
            name = "xpu"

        told = verdict(CLAIMS["all_to_all"], Unknown(0))
        assert told["verdict"] == FAILED
        assert "KeyError: 'xpu'" in told["found"]
