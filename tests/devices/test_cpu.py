"""The CPU as a device: its clock, the memory that a case took, and what counts as out of memory."""

from __future__ import annotations

import os
import time
from itertools import pairwise

import pytest
import torch

from fiabench import devices
from fiabench.devices.cores import last_level_bytes
from fiabench.devices.cpu import CACHE_TIMES, CACHE_UNKNOWN, CpuDevice
from tests.ulysses.ranks import run_ranks

MIB = 2**20


def peak_of(device, allocate):
    device.reset_peak_memory()
    allocate()
    return device.peak_memory()


def blocks():
    """32 MiB in blocks that come from the allocator's heap; the last holds the heap's end where it is."""
    return [torch.ones(MIB // 16, dtype=torch.uint8) for _ in range(512)]


def held_and_passing(device):
    """The peak of 48 MiB that stay, after 96 MiB that came and went before it was forgotten."""
    device.reset_peak_memory()
    kept = torch.ones(48 * MIB, dtype=torch.uint8)
    torch.ones(96 * MIB, dtype=torch.uint8)
    device.forget_peak()
    last = int(kept[0])
    del kept
    return device.peak_memory(), last


def with_flushing(device):
    """The peaks of 48 MiB that came and went before the buffer for flushing was made, and of 64 MiB after it."""
    device.reset_peak_memory()
    torch.ones(48 * MIB, dtype=torch.uint8)
    device.flush_cache()
    earlier = device.peak_memory()
    device.forget_peak()
    torch.ones(64 * MIB, dtype=torch.uint8)
    device.flush_cache()
    return earlier, device.peak_memory(), peak_of(device, device.flush_cache)


def peaks(groups, device):
    """In a fresh process: the peaks of 64 MiB, of nothing, of 32 MiB after as much was given back, of 48 that stay,
    and those beside a buffer for flushing."""
    planted = peak_of(device, lambda: torch.ones(64 * MIB, dtype=torch.uint8))
    nothing = peak_of(device, lambda: None)
    last = blocks()[-1]
    again = peak_of(device, blocks)
    return planted, nothing, again, held_and_passing(device)[0], int(last[0]), with_flushing(device)


def test_the_peak_is_what_was_taken_since_the_reset():
    ((planted, nothing, again, held, _, flushed),) = run_ranks(1, peaks)
    if planted is None:
        pytest.skip("this system does not let a process reset its peak (/proc/self/clear_refs)")
    assert 0.95 < planted / (64 * MIB) < 1.3
    assert nothing < 4 * MIB, "the peak before the reset must not count"
    assert 0.8 < again / (32 * MIB) < 1.3, "memory kept for reuse must not hide what a case takes"
    assert 0.95 < held / (48 * MIB) < 1.3, "what is held counts, what was forgotten does not"
    before, after, alone = flushed
    assert 0.95 < before / (48 * MIB) < 1.3, "the buffer must not hide the peak before it"
    assert 0.95 < after / (64 * MIB) < 1.3, "the buffer is not the case's"
    assert alone < 4 * MIB


def test_before_a_reset_the_peak_is_unknown():
    assert CpuDevice(0).peak_memory() is None


def in_use(groups, device):
    """How many bytes more are in use after 64 MiB, and after the buffer for flushing at its first and second use."""
    found = [device.memory_in_use()]
    kept = torch.ones(64 * MIB, dtype=torch.uint8)
    found.append(device.memory_in_use())
    for _ in range(2):
        device.flush_cache()
        found.append(device.memory_in_use())
    return [after - before for before, after in pairwise(found)], int(kept[0])


@pytest.fixture(scope="module")
def in_use_more():
    # In a fresh process: elsewhere the allocator may hold as much that other tests have freed, and use that again.
    ((found, _),) = run_ranks(1, in_use)
    return found


def test_memory_in_use_follows_an_allocation(in_use_more):
    assert 0.9 < in_use_more[0] / (64 * MIB) < 1.5


def test_the_clock_counts_seconds():
    device = CpuDevice(0)
    began = time.perf_counter()
    start = device.mark()
    time.sleep(0.02)
    elapsed = device.seconds(start, device.mark())
    assert 0.02 <= elapsed <= time.perf_counter() - began


def test_a_failed_allocation_is_out_of_memory_and_other_errors_are_not():
    device = CpuDevice(0)
    with pytest.raises(RuntimeError) as failed:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert device.is_out_of_memory(failed.value)
    with pytest.raises(RuntimeError) as other:
        torch.ones(2) @ torch.ones(3)
    assert not device.is_out_of_memory(other.value)
    assert device.is_out_of_memory(MemoryError())


def test_what_is_written_to_flush_is_twice_the_cache_and_made_once(in_use_more):
    size = CACHE_TIMES * (last_level_bytes(os.sched_getaffinity(0)) or CACHE_UNKNOWN)
    assert 0.9 < in_use_more[1] / size < 1.5
    assert in_use_more[2] < size / 10


def test_sensors_tell_what_the_system_does():
    device = CpuDevice(0)
    told = device.sensors()
    assert told.keys() <= {"clock_mhz", "temperature_c", "memory_bytes"}
    assert told["memory_bytes"] > 10 * MIB
    assert bool(device.sensors_missing) == (told.keys() == {"memory_bytes"})
    assert 100 < told.get("clock_mhz", 1000) < 10_000


def test_a_system_without_sensors_says_so(monkeypatch):
    def unknown(percpu):
        raise NotImplementedError("can't find current frequency file")

    monkeypatch.setattr("psutil.cpu_freq", unknown)
    monkeypatch.setattr("psutil.sensors_temperatures", dict)
    device = CpuDevice(0)
    assert device.sensors().keys() == {"memory_bytes"}
    assert "neither the clock nor the temperature" in device.sensors_missing


def test_nothing_is_captured_and_nothing_held():
    device = CpuDevice(0)
    launched = []
    assert device.capture(lambda: launched.append(1), 3) is None
    assert device.capture_refused
    device.hold(60.0)
    assert not launched


def test_it_describes_itself():
    facts = CpuDevice.describe()
    assert facts["name"]
    assert facts["memory_bytes"] > 2**28
    assert CpuDevice.count() >= 1


def test_an_unknown_device_is_no_device():
    assert devices.load("cpu") is CpuDevice
    with pytest.raises(KeyError):
        devices.load("tpu")
