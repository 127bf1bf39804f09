"""Claims about the device's clock and its queue."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from statistics import median, quantiles

import torch

from fiabench.devices.base import Device
from fiabench.selftest.claim import Claim, Finding, Skipped, milliseconds, share
from fiabench.selftest.load import Load

CLOCK_ERROR = 0.02
MARKS = 20
SUM_ERROR = 0.01
HOLD_SECONDS = 0.05
HOLD_FACTOR = 2.0
NAP_SECONDS = 0.01
"""What the host sleeps between two launches: short of what the device is held."""
CAPTURED = 8
CAPTURE_ERROR = 0.05
FLUSH_SLOWNESS = 0.8
_READ_BYTES = {"host": 8 * 2**20, "event": 32 * 2**20}
"""By how the device is timed: a part of its last-level cache."""
_UNTOUCHED_BYTES = 512 * 2**20
"""More than twice any last-level cache that one core or one device fills."""
_READS = 25
_LONG = 0.5
_SHORT = 0.002
_REPEATS = 7


def clock(device: Device) -> Finding:
    load = Load(device)
    times = load.times(_LONG)
    device.synchronize()
    begun = time.perf_counter()
    start = device.mark()
    load(times)
    end = device.mark()
    device.synchronize()
    host = time.perf_counter() - begun
    own = device.seconds(start, end)
    found = f"marks {milliseconds(own)}, host {milliseconds(host)}: {share(own / host - 1)} apart"
    return Finding(abs(own / host - 1) <= CLOCK_ERROR, f"within {share(CLOCK_ERROR)}", found)


def marks(device: Device) -> Finding:
    load = Load(device)
    times = load.times(_SHORT)
    made = [device.mark()]
    for _ in range(MARKS):
        load(times)
        made.append(device.mark())
    device.synchronize()
    parts = [device.seconds(*pair) for pair in itertools.pairwise(made)]
    whole = device.seconds(made[0], made[-1])
    apart = abs(sum(parts) / whole - 1) if whole > 0 else float("inf")
    found = f"the shortest {milliseconds(min(parts))}, their sum {share(apart)} from the whole"
    return Finding(
        min(parts) > 0 and apart <= SUM_ERROR,
        f"{MARKS} spans above 0 whose sum is the whole within {share(SUM_ERROR)}",
        found,
    )


def _needs_queue(device: Device) -> None:
    if device.timing_method != "event":
        raise Skipped(f"a {device.name} has no queue: its calls are synchronous")


def hold(device: Device) -> Finding:
    _needs_queue(device)
    device.hold(HOLD_SECONDS)  # the first call finds out how much work lasts how long
    device.synchronize()
    held = _timed(device, lambda: device.hold(HOLD_SECONDS))
    return Finding(
        HOLD_SECONDS / HOLD_FACTOR <= held <= HOLD_SECONDS * HOLD_FACTOR,
        f"{milliseconds(HOLD_SECONDS)}, within a factor of {HOLD_FACTOR:g}",
        milliseconds(held),
    )


def behind_hold(device: Device) -> Finding:
    _needs_queue(device)
    load = Load(device)
    load.times(_SHORT)
    device.hold(HOLD_SECONDS)
    device.synchronize()

    def launches() -> None:
        load()
        time.sleep(NAP_SECONDS)
        load()

    bare = _timed(device, launches)
    device.hold(HOLD_SECONDS)
    behind = _timed(device, launches)
    return Finding(
        bare >= NAP_SECONDS and behind <= NAP_SECONDS / 2,
        f"at most {milliseconds(NAP_SECONDS / 2)} behind a hold, {milliseconds(NAP_SECONDS)} and more without",
        f"{milliseconds(behind)} behind it, {milliseconds(bare)} without",
    )


def capture(device: Device) -> Finding:
    load = Load(device)
    times = load.times(_SHORT)
    device.synchronize()
    expected = load.product.clone()
    replay = device.capture(lambda: load(times), CAPTURED)
    if replay is None:
        raise Skipped(device.capture_refused)
    load.product.zero_()
    replay()
    device.synchronize()
    same = bool(torch.equal(load.product, expected))
    pairs = [
        (_timed(device, replay) / CAPTURED, _timed(device, lambda: load(times * CAPTURED)) / CAPTURED)
        for _ in range(_REPEATS)
    ]
    replayed, batched = (median(seconds) for seconds in zip(*pairs))
    return Finding(
        same and abs(replayed / batched - 1) <= CAPTURE_ERROR,
        f"the same result, in the time of batched launches within {share(CAPTURE_ERROR)}",
        f"{'the same' if same else 'ANOTHER'} result, {milliseconds(replayed)} against {milliseconds(batched)}",
    )


def flush(device: Device) -> Finding:
    """Reads one buffer after a flush, and each of many that are together more than any cache, in turn."""
    size = _READ_BYTES[device.timing_method]
    total = torch.zeros((), device=device.torch_device)

    def read(buffer: torch.Tensor) -> float:
        device.hold(_SHORT)  # launching a read takes longer than reading
        return _timed(device, lambda: torch.sum(buffer, dim=0, out=total))

    buffers = [torch.ones(size // 4, device=device.torch_device) for _ in range(_UNTOUCHED_BYTES // size)]
    device.synchronize()
    untouched = [read(buffer) for buffer in buffers]
    hot, flushed = list[float](), list[float]()
    for _ in range(_READS):
        device.flush_cache()
        flushed.append(read(buffers[0]))
        hot.append(read(buffers[0]))
    # The lower quartile: whatever else the box does only adds.
    after, long_ago, before = (quantiles(seconds, n=4)[0] for seconds in (flushed, untouched, hot))
    return Finding(
        after >= FLUSH_SLOWNESS * long_ago,
        f"at least {share(FLUSH_SLOWNESS)} of {milliseconds(long_ago)}, reading what was not touched for long",
        f"{milliseconds(after)} after it, {milliseconds(before)} hot",
    )


def _timed(device: Device, work: Callable[[], None]) -> float:
    """Seconds between two marks around ``work``, begun with an empty queue or behind what was just queued."""
    start = device.mark()
    work()
    end = device.mark()
    device.synchronize()
    return device.seconds(start, end)


CLAIMS = (
    Claim("clock", "a pair of marks around long work agrees with the host's clock", clock),
    Claim("marks", "marks follow each other, and spans between them add up", marks),
    Claim("hold", "hold() keeps the device busy for about as long as asked", hold),
    Claim("behind_hold", "a pair of marks behind hold() excludes what launching takes", behind_hold),
    Claim("capture", "capture() replays the work: same result, same time", capture),
    Claim("flush_cache", "after flush_cache() a read is as slow as one of memory that was not touched for long", flush),
)
