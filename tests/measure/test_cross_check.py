"""What the profiler tells of real pipelines on real ranks, and what is made of the tables of an NPU's profilers.

The NPU's profilers cannot run here: their tables and records are written by hand, in the form in which the vendor
documents them.
"""

from __future__ import annotations

import csv
import json
import sys
import time
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import DeviceType

from fiabench.devices.cpu import CpuDevice
from fiabench.measure import cross_check as module
from fiabench.measure.build import build
from fiabench.measure.cross_check import (
    WARM_UPS,
    Ran,
    by_iteration,
    cover,
    cross_check,
    mspti_kernels,
    read_kernel_table,
    summary,
)
from fiabench.measure.pipeline import Pipeline, Step
from tests.ulysses.points import exchange_alone, make_case
from tests.ulysses.ranks import run_ranks

ATTENTION = "aten::_scaled_dot_product_flash_attention_for_cpu"
LONG = make_case(ulysses=2, seq_len_q=2048, head_dim=64)
"""Tens of milliseconds, nearly all of it in two operators."""


def checked(groups, device, case, method="profiler"):
    pipeline = build(case, groups.rank, groups, device, {})
    pipeline.run()
    return cross_check(pipeline, device, groups, method)


def by_name(found):
    return {kernel["name"]: kernel for kernel in found["kernels"]}


@pytest.mark.slow
def test_on_ranks_every_kernel_is_named_and_the_sum_is_what_was_measured():
    answers = run_ranks(2, checked, LONG)
    for found in answers:
        json.dumps(found)
        kernels = by_name(found)
        assert kernels[ATTENTION]["per_iteration"] == 1
        assert kernels["gloo:all_to_all"]["per_iteration"] == 4, "query, key, value and the output"
        assert found["collectives"] == ["gloo:all_to_all"]
        assert found["iterations"] == 5
        assert 0.8 < found["ratio"] < 1.1, "of the same iterations: a busy box disturbs both alike"
        assert not found["flags"]
        seconds = [kernel["seconds"] for kernel in found["kernels"]]
        assert seconds == sorted(seconds, reverse=True)
        own = sum(seconds) - kernels["gloo:all_to_all"]["seconds"]
        assert own < 1.2 * found["covered_seconds"], "a parent counted with its children would come twice"


@pytest.mark.slow
def test_a_bare_exchange_is_one_collective():
    for found in run_ranks(2, checked, exchange_alone(ulysses=2, exchange_bytes=1 << 20)):
        assert by_name(found)["gloo:all_to_all"]["per_iteration"] == 1
        assert found["collectives"] == ["gloo:all_to_all"]
        assert not any("attention" in kernel["name"] for kernel in found["kernels"])


def later(groups, device, case):
    """The phases of an iteration before and after a cross-check, and what stays of its result."""
    pipeline = build(case, groups.rank, groups, device, {})
    pipeline.run()
    before = pipeline.attention().clone()
    cross_check(pipeline, device, groups)
    marks = pipeline.run_recorded(device)
    return [phase for phase, *_ in marks], bool((pipeline.attention() == before).all())


@pytest.mark.slow
def test_what_comes_after_it_is_not_disturbed():
    phases, same = run_ranks(2, later, make_case(ulysses=2))[1]
    assert phases[0] == "pack_in"
    assert phases[-1] == "unpack_out"
    assert same


class Alone:
    """One rank."""

    def barrier(self):
        pass

    def align(self):
        pass

    def gather(self, value):
        return value.unsqueeze(0)


def test_time_that_no_kernel_covers_shows_in_the_ratio():
    """A sleep on the host is in the engine's samples and in no kernel."""
    matrix = torch.ones(256, 256)

    def work():
        torch.mm(matrix, matrix)
        time.sleep(0.05)

    found = cross_check(Pipeline([Step("kernel", work)]), CpuDevice(0), Alone())
    assert found["kernels"][0]["name"] == "aten::mm"
    # However long the product takes on a busy box: each iteration lasts longer than its kernels by the sleep.
    assert found["measured_seconds"] - found["covered_seconds"] > 0.049
    assert found["ratio"] == found["covered_seconds"] / found["measured_seconds"]


def test_what_is_not_torchs_is_not_seen():
    found = cross_check(Pipeline([Step("kernel", lambda: None)]), CpuDevice(0), Alone())
    assert found == {"method": "profiler", "missing": "the profiler saw no kernel on cpu"}


def test_an_unknown_method_is_refused_and_mspti_is_the_npus():
    pipeline = Pipeline([Step("kernel", lambda: None)])
    with pytest.raises(ValueError, match="'tracer'; allowed: profiler, mspti"):
        cross_check(pipeline, CpuDevice(0), Alone(), "tracer")
    found = cross_check(pipeline, CpuDevice(0), Alone(), "mspti")
    assert found == {"method": "mspti", "missing": "MSPTI watches Ascend NPUs; this device is cpu"}


def test_where_another_rank_cannot_nobody_does():
    class Other(Alone):
        def gather(self, value):
            return torch.stack([value, torch.zeros_like(value)])

    found = cross_check(Pipeline([Step("kernel", lambda: None)]), CpuDevice(0), Other())
    assert found["missing"] == "another rank cannot profile"


def ran(name, start, seconds):
    return Ran(name, start, start + seconds, seconds)


@given(st.integers(2, 6), st.lists(st.integers(1, 3), min_size=1, max_size=4))
def test_iterations_are_found_again(iterations, counts):
    """Each iteration runs kernel k counts[k] times."""
    clock, told, planted = 0.0, [], []
    for _ in range(iterations):
        inside = []
        for index, count in enumerate(counts):
            for _ in range(count):
                inside.append(ran(f"k{index}", clock, 1.0))
                clock += 1.5
        planted.append(sorted(inside))
        told += inside
    assert [sorted(part) for part in by_iteration(reversed(told), iterations)] == planted


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 10)), max_size=20))
def test_cover_counts_what_overlaps_once(spans):
    """Against counting every whole second that anything covers."""
    expected = len({second for start, length in spans for second in range(start, start + length)})
    assert cover([ran("k", float(start), float(length)) for start, length in spans]) == expected


def test_the_first_iteration_is_left_out_and_overlap_counts_once():
    told = [ran("slow", 0.0, 50.0)]
    for index in (1, 2, 3):
        told += [ran("slow", 100.0 * index, 10.0), ran("hcom_alltoallv_", 100.0 * index + 5, 10.0)]
    told.append(ran("hcom_alltoallv_", 60.0, 1.0))
    found = summary(told, WARM_UPS + 3, measured=30.0)
    assert found["kernels"] == [
        {"name": "slow", "per_iteration": 1.0, "seconds": 10.0},
        {"name": "hcom_alltoallv_", "per_iteration": 1.0, "seconds": 10.0},
    ]
    assert found["covered_seconds"] == 15.0
    assert found["ratio"] == 0.5
    assert found["collectives"] == ["hcom_alltoallv_"]
    assert found["flags"] == ["the all-to-all ran as hcom_alltoallv_, which is much slower than one of equal parts"]


def test_the_npu_profilers_table(tmp_path):
    """Kernels by type, since names carry a call's number; dates in microseconds lose no nanosecond."""
    columns = ["Device_id", "Name", "Type", "Accelerator Core", "Start Time(us)", "Duration(us)", "Wait Time(us)"]
    rows = [
        [
            "0",
            "aclnnFia_FusedInferAttentionScore",
            "FusedInferAttentionScore",
            "MIX_AIC",
            "1732324000000000.120\t",
            "4.5",
            "0",
        ],
        ["0", "hcom_alltoallv__721_0_1", "hcom_alltoallv_", "COMMUNICATION", "1732324000000005.620\t", "2.25", "N/A"],
        ["0", "marker", "N/A", "N/A", "1732324000000009.000", "1.0", "0"],
    ]
    path = tmp_path / "kernel_details.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as table:
        csv.writer(table).writerows([columns, *rows])
    found = read_kernel_table(path)
    assert [kernel.name for kernel in found] == ["FusedInferAttentionScore", "hcom_alltoallv_"]
    assert [kernel.own for kernel in found] == pytest.approx([4.5e-6, 2.25e-6], rel=1e-12)
    assert found[1].start - found[0].end == pytest.approx(1e-6, rel=1e-6)


def test_msptis_records():
    """Nanoseconds; 0 to 0 is one that could not be timed; a collective's name carries its call's number."""
    begun = 1732324000000000123
    seen = [
        SimpleNamespace(name="hcom_allToAll__721_0_1", start=begun + 500, end=begun + 1500),
        SimpleNamespace(name="FusedInferAttentionScore_abc", start=begun, end=begun + 400),
        SimpleNamespace(name="hcom_allToAll__721_1_1", start=0, end=0),
    ]
    collective, kernel = mspti_kernels(seen)
    assert (collective.name, kernel.name) == ("hcom_allToAll_", "FusedInferAttentionScore_abc")
    assert collective[1:] == pytest.approx((500e-9, 1500e-9, 1000e-9))
    assert kernel[1:] == pytest.approx((0.0, 400e-9, 400e-9))


class Event(NamedTuple):
    """As torch.profiler's, as far as it is used."""

    name: str
    device_type: DeviceType
    is_user_annotation: bool = False
    time_range: Any = SimpleNamespace(start=2.0, end=5.0, elapsed_us=lambda: 3.0)


def test_on_cuda_kernels_count_and_what_launches_or_names_them_does_not(monkeypatch):
    """Emulated: there is no GPU here."""
    events = [
        Event("flash_fwd_kernel", DeviceType.CUDA),
        Event("ncclDevKernel_SendRecv", DeviceType.CUDA),
        Event("nccl:all_to_all", DeviceType.CUDA),
        Event("fiabench iteration", DeviceType.CUDA, is_user_annotation=True),
        Event("aten::_scaled_dot_product_flash_attention", DeviceType.CPU),
        Event("cudaLaunchKernel", DeviceType.CPU),
    ]
    worked = []

    @contextmanager
    def profile(activities):
        yield SimpleNamespace(events=lambda: events)

    monkeypatch.setattr(module, "profile", profile)
    found = module._cuda(lambda: worked.append(True))
    assert worked == [True]
    assert [kernel.name for kernel in found] == ["flash_fwd_kernel", "ncclDevKernel_SendRecv"]
    assert found[0][1:] == pytest.approx((2e-6, 5e-6, 3e-6))


class Monitor:
    """As MSPTI's: hands over its records when it is stopped."""

    records: ClassVar[list[Any]] = []
    fails = False
    log: ClassVar[list[str]] = []

    def start(self, callback):
        self.callback = callback
        self.log.append(f"start {type(self).__name__}")
        return SimpleNamespace(name="MSPTI_ERROR_INNER" if self.fails else "MSPTI_SUCCESS")

    def stop(self):
        self.log.append(f"stop {type(self).__name__}")
        for record in self.records:
            self.callback(record)
        return SimpleNamespace(name="MSPTI_SUCCESS")


class KernelMonitor(Monitor):
    records: ClassVar[list[Any]] = [SimpleNamespace(name="FusedInferAttentionScore", start=1000, end=3000)]


class HcclMonitor(Monitor):
    records: ClassVar[list[Any]] = [SimpleNamespace(name="hcom_allToAll__1_2_3", start=3000, end=4000)]


@pytest.fixture
def mspti(monkeypatch):
    """Emulated, with the calls that torch_npu itself makes of it."""
    monkeypatch.setitem(sys.modules, "mspti", SimpleNamespace(KernelMonitor=KernelMonitor, HcclMonitor=HcclMonitor))
    Monitor.log.clear()


@pytest.mark.usefixtures("mspti")
def test_mspti_watches_the_work_and_stops():
    found = module._mspti(lambda: Monitor.log.append("work"))
    assert sorted((kernel.name, round(kernel.own * 1e9)) for kernel in found) == [
        ("FusedInferAttentionScore", 2000),
        ("hcom_allToAll_", 1000),
    ]
    assert Monitor.log == ["start KernelMonitor", "start HcclMonitor", "work", "stop HcclMonitor", "stop KernelMonitor"]


@pytest.mark.usefixtures("mspti")
def test_mspti_that_cannot_start_is_an_error_and_stops_what_did(monkeypatch):
    monkeypatch.setattr(HcclMonitor, "fails", True)
    with pytest.raises(RuntimeError, match="MSPTI_ERROR_INNER"):
        module._mspti(lambda: Monitor.log.append("work"))
    assert Monitor.log == ["start KernelMonitor", "start HcclMonitor", "stop KernelMonitor"]


def test_mspti_has_to_be_there_and_loaded_before(monkeypatch):
    monkeypatch.setattr(module.util, "find_spec", lambda name: None)
    assert "not installed" in module._mspti_missing("npu")
    monkeypatch.setattr(module.util, "find_spec", lambda name: object())
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    assert "LD_PRELOAD" in module._mspti_missing("npu")
    monkeypatch.setenv("LD_PRELOAD", "/usr/lib/libmspti.so")
    assert module._mspti_missing("npu") == ""
