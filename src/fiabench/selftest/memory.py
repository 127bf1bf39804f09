"""Claims about the device's memory and its sensors."""

from __future__ import annotations

import torch

from fiabench.devices.base import Device
from fiabench.selftest.claim import Claim, Finding, Skipped

ALLOCATED = 64 * 2**20
PEAK_ERROR = 2 * 2**20
_BEYOND_ADDRESSES = 2**50
"""Bytes: more than a process can address. Of less the system may promise what it has not."""
CLOCK_MHZ = (100.0, 6000.0)
TEMPERATURE_C = (5.0, 110.0)


def out_of_memory(device: Device) -> Finding:
    expected = "recognised by its words, another error not, and the device goes on"
    size = _BEYOND_ADDRESSES if device.timing_method == "host" else 2 * device.describe()["memory_bytes"]
    try:
        torch.empty(size, dtype=torch.uint8, device=device.torch_device)
    except (RuntimeError, MemoryError) as error:
        recognised, words = device.is_out_of_memory(error), str(error).strip().splitlines()[0]
    else:
        return Finding(False, expected, f"{size} bytes were granted")
    ones = torch.ones(4, device=device.torch_device)
    try:
        torch.mm(ones, ones)
    except RuntimeError as error:
        mistaken = device.is_out_of_memory(error)
    works = float((ones + ones).sum()) == 8.0
    found = [
        "recognised" if recognised else "NOT recognised",
        "another error mistaken for it" if mistaken else "another error not",
        "the device goes on" if works else "the device does NOT go on",
    ]
    return Finding(recognised and works and not mistaken, expected, f"{', '.join(found)}: {words}")


def peak(device: Device) -> Finding:
    device.reset_peak_memory()
    taken = torch.ones(ALLOCATED, dtype=torch.uint8, device=device.torch_device)
    device.synchronize()
    del taken
    found = device.peak_memory()
    if found is None:
        raise Skipped("the system does not tell the peak")
    return Finding(
        abs(found - ALLOCATED) <= PEAK_ERROR,
        f"{ALLOCATED / 2**20:g} MiB within {PEAK_ERROR / 2**20:g} MiB",
        f"{found / 2**20:.2f} MiB",
    )


def sensors(device: Device) -> Finding:
    readings = device.sensors()
    if device.sensors_missing:
        raise Skipped(device.sensors_missing)
    ranges = {"clock_mhz": CLOCK_MHZ, "temperature_c": TEMPERATURE_C}
    if device.timing_method == "host" and "temperature_c" not in readings:
        ranges.pop("temperature_c")  # a virtual machine's processor has no thermometer
    sane = all(low <= readings.get(name, float("nan")) <= high for name, (low, high) in ranges.items())
    told = {name: value for name, value in readings.items() if name != "memory_bytes"}
    return Finding(
        sane,
        ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in ranges.items()),
        ", ".join(f"{name} {value:.6g}" for name, value in told.items()) or "neither",
    )


CLAIMS = (
    Claim("out_of_memory", "memory that runs out is told apart, and the device works afterwards", out_of_memory),
    Claim("peak_memory", "peak_memory() counts a known allocation", peak),
    Claim("sensors", "the sensors tell a sane clock and temperature", sensors),
)
