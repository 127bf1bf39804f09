"""The CPU as a device: its clock, the memory that a case took, and what counts as out of memory."""

from __future__ import annotations

import time

import pytest
import torch

from fiabench import devices
from fiabench.devices.cpu import CpuDevice
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


def peaks(groups, device):
    """In a fresh process: the peaks of 64 MiB, of nothing, of 32 MiB after as much was given back, of 48 that stay."""
    planted = peak_of(device, lambda: torch.ones(64 * MIB, dtype=torch.uint8))
    nothing = peak_of(device, lambda: None)
    last = blocks()[-1]
    again = peak_of(device, blocks)
    return planted, nothing, again, held_and_passing(device)[0], int(last[0])


def test_the_peak_is_what_was_taken_since_the_reset():
    ((planted, nothing, again, held, _),) = run_ranks(1, peaks)
    if planted is None:
        pytest.skip("this system does not let a process reset its peak (/proc/self/clear_refs)")
    assert 0.95 < planted / (64 * MIB) < 1.3
    assert nothing < 4 * MIB, "the peak before the reset must not count"
    assert 0.8 < again / (32 * MIB) < 1.3, "memory kept for reuse must not hide what a case takes"
    assert 0.95 < held / (48 * MIB) < 1.3, "what is held counts, what was forgotten does not"


def test_before_a_reset_the_peak_is_unknown():
    assert CpuDevice(0).peak_memory() is None


def test_memory_in_use_follows_an_allocation():
    device = CpuDevice(0)
    before = device.memory_in_use()
    kept = torch.ones(64 * MIB, dtype=torch.uint8)
    assert 0.9 < (device.memory_in_use() - before) / kept.numel() < 1.5


def test_the_clock_counts_seconds():
    device = CpuDevice(0)
    start, began = device.mark(), time.perf_counter()
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


def test_it_describes_itself():
    facts = CpuDevice.describe()
    assert facts["name"]
    assert facts["memory_bytes"] > 2**28
    assert CpuDevice.count() >= 1


def test_an_unknown_device_is_no_device():
    assert devices.load("cpu") is CpuDevice
    with pytest.raises(KeyError):
        devices.load("tpu")
