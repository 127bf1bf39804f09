"""A cross-check by a profiler: which kernels really ran, how long each took, and whether that adds up to the samples.

The profilers are others' work and look from another side: torch.profiler on the CPU and on CUDA, torch_npu's profiler
or MSPTI on an NPU. They slow down what they watch, so nothing they see becomes a sample. torch_npu's profiler and MSPTI
are written against their real interfaces and were never run on an NPU.
"""

from __future__ import annotations

import csv
import os
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from decimal import Decimal
from importlib import import_module, util
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile, record_function

from fiabench.devices.base import Device
from fiabench.measure.pipeline import Pipeline
from fiabench.measure.timing import Timer, Together

METHODS = ("profiler", "mspti")
ITERATIONS = 5
LONG_ITERATION = 2.0
"""Seconds from which on one iteration is long: one is then enough."""
WARM_UPS = 1
"""Profiled iterations that are left out: a profiler's first one makes its buffers."""
SLOW_COLLECTIVE = "hcom_alltoallv_"
"""What an all-to-all of equal parts can become on HCCL."""

_ITERATION = "fiabench iteration"
"""Stands in the profile around each, so that the ranks' meeting between two is told apart."""
_COLLECTIVES = ("nccl", "gloo:", "hcom", "hccl")
_ANNOTATION = "nccl:"
"""What torch writes beside NCCL's kernels, over the same time; the kernels are `ncclDevKernel_...`."""
_CALL_NUMBER = re.compile(r"_\d+_\d+_\d+$")
"""HCCL numbers its calls: `hcom_alltoallv__721_0_1`."""
_KERNEL_TABLE = "*/ASCEND_PROFILER_OUTPUT/kernel_details.csv"
_SUCCESS = "MSPTI_SUCCESS"


class Ran(NamedTuple):
    """One kernel that ran. Seconds on the profiler's clock."""

    name: str
    start: float
    end: float
    own: float
    """Without what it called: on an accelerator the whole."""


Profiler = Callable[[Callable[[], None]], list[Ran]]
"""Does the work under the profiler, and tells what ran meanwhile."""


def cross_check(pipeline: Pipeline, device: Device, groups: Together, method: str = "profiler") -> dict[str, Any]:
    """Profiles a few iterations of ``pipeline`` on this rank; JSON-able.

    Every rank calls this, after its last sample. ``method`` is one of :data:`METHODS`.

    - `kernels`: of each its `name`, how often it ran `per_iteration`, and the median `seconds` in one, longest first;
      on the CPU these are operators, with the time that is their own;
    - `collectives`: those names that move data between ranks;
    - `covered_seconds`: the median of an iteration's time during which at least one of them ran;
    - `measured_seconds`: the median of what the engine's own clock gave on this rank; `ratio`: covered to measured.
      On the CPU it is that of the profiled iterations, so that whatever else the box does disturbs both alike. On an
      accelerator it is that of as many without the profiler, which makes launching slower and kernels not;
    - `flags`: doubts, in words.

    Where the profiler cannot be had, or sees nothing, on any rank: `missing` says why, and nothing else is there.
    """
    profiler, missing = _profiler(method, device.name)
    if not groups.gather(torch.tensor([not missing])).all():
        return {"method": method, "missing": missing or "another rank cannot profile"}
    timer = Timer(pipeline, device, groups, cold=False)
    first = groups.gather(torch.tensor([timer.once()[0]], dtype=torch.float64)).max()
    iterations = 1 if first >= LONG_ITERATION else ITERATIONS
    profiled = WARM_UPS + iterations
    spans: list[tuple[Any, Any]] = []
    if device.timing_method == "event":
        if iterations > 1:
            timer.choose()
        measured = [timer.once()[0] for _ in range(iterations)]

    def work() -> None:
        for _ in range(profiled):
            groups.barrier()
            start = device.mark()
            with record_function(_ITERATION):
                pipeline.run()
            spans.append((start, device.mark()))
            device.synchronize()

    ran = profiler(work)
    if not ran:
        return {"method": method, "missing": f"the {method} saw no kernel on {device.name}"}
    if device.timing_method != "event":
        measured = [device.seconds(*span) for span in spans[WARM_UPS:]]
    return {"method": method, "iterations": iterations, **summary(ran, profiled, median(measured))}


def summary(ran: list[Ran], profiled: int, measured: float) -> dict[str, Any]:
    """What :func:`cross_check` tells of the kernels of ``profiled`` like iterations, the first WARM_UPS left out."""
    iterations = by_iteration(ran, profiled)[WARM_UPS:]
    counts = Counter(kernel.name for iteration in iterations for kernel in iteration)
    own: dict[str, list[float]] = {name: [0.0] * len(iterations) for name in counts}
    for index, iteration in enumerate(iterations):
        for kernel in iteration:
            own[kernel.name][index] += kernel.own
    kernels: list[dict[str, Any]] = [
        {"name": name, "per_iteration": counts[name] / len(iterations), "seconds": median(seconds)}
        for name, seconds in own.items()
    ]
    kernels.sort(key=lambda kernel: -kernel["seconds"])
    covered = median(cover(iteration) for iteration in iterations)
    collectives = sorted(name for name in counts if name.lower().startswith(_COLLECTIVES))
    flags = [
        f"the all-to-all ran as {name}, which is much slower than one of equal parts"
        for name in collectives
        if name.startswith(SLOW_COLLECTIVE)
    ]
    return {
        "kernels": kernels,
        "collectives": collectives,
        "covered_seconds": covered,
        "measured_seconds": measured,
        "ratio": covered / measured,
        "flags": flags,
    }


def by_iteration(ran: Iterable[Ran], iterations: int) -> list[list[Ran]]:
    """The kernels of each of ``iterations`` that all do the same: of each name, in order, every one gets its share."""
    named: dict[str, list[Ran]] = defaultdict(list)
    for kernel in sorted(ran, key=lambda kernel: kernel.start):
        named[kernel.name].append(kernel)
    parted: list[list[Ran]] = [[] for _ in range(iterations)]
    for kernels in named.values():
        for place, kernel in enumerate(kernels):
            parted[place * iterations // len(kernels)].append(kernel)
    return parted


def cover(ran: Iterable[Ran]) -> float:
    """Seconds during which at least one of them ran: what overlaps counts once."""
    covered, until = 0.0, float("-inf")
    for kernel in sorted(ran, key=lambda kernel: kernel.start):
        covered += max(0.0, kernel.end - max(kernel.start, until))
        until = max(until, kernel.end)
    return covered


def _profiler(method: str, device: str) -> tuple[Profiler, str]:
    """The profiler, and why it cannot be had here; empty where it can."""
    if method == "mspti":
        return _mspti, _mspti_missing(device)
    if method != "profiler":
        raise ValueError(f"found method {method!r}; allowed: {', '.join(METHODS)}")
    return {"npu": _npu, "cuda": _cuda, "cpu": _cpu}[device], ""


def _cpu(work: Callable[[], None]) -> list[Ran]:
    """The operators that torch and Gloo run in the iterations.

    Gloo's collectives run on threads of their own, beside the operators that started them: nobody's children.
    """
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        work()
    events = profiled.events()
    iterations = [event.time_range for event in events if event.name == _ITERATION]
    return [
        _ran(event, event.time_range.elapsed_us() if event.is_async else event.self_cpu_time_total)
        for event in events
        if (event.is_async or not getattr(event, "is_user_annotation", False))
        and event.name != _ITERATION
        and any(iteration.start <= event.time_range.start < iteration.end for iteration in iterations)
    ]


def _cuda(work: Callable[[], None]) -> list[Ran]:
    """Kernels, copies and fillings on the GPU."""
    # Kernels are told only of launches that are seen too, in some releases.
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiled:
        work()
    return [
        _ran(event, event.time_range.elapsed_us())
        for event in profiled.events()
        if event.device_type == DeviceType.CUDA
        and not getattr(event, "is_user_annotation", False)
        and not event.name.startswith(_ANNOTATION)
    ]


def _ran(event: Any, own: float) -> Ran:
    """``own`` in microseconds, as all of torch's profiler."""
    return Ran(event.name, event.time_range.start * 1e-6, event.time_range.end * 1e-6, own * 1e-6)


def _npu(work: Callable[[], None]) -> list[Ran]:
    """Kernels on the NPU, by their type, from the table that the profiler writes into a folder that goes again.

    torch_npu is there already: where the device is an NPU, its module has imported it.
    """
    import torch_npu

    level = torch_npu.profiler._ExperimentalConfig(
        profiler_level=torch_npu.profiler.ProfilerLevel.Level1,  # below it HCCL is not told in full
        aic_metrics=torch_npu.profiler.AiCMetrics.AiCoreNone,
    )
    with tempfile.TemporaryDirectory() as folder:
        with torch_npu.profiler.profile(
            activities=[torch_npu.profiler.ProfilerActivity.CPU, torch_npu.profiler.ProfilerActivity.NPU],
            on_trace_ready=torch_npu.profiler.tensorboard_trace_handler(folder),
            experimental_config=level,
        ):
            work()
        return [kernel for table in Path(folder).glob(_KERNEL_TABLE) for kernel in read_kernel_table(table)]


def read_kernel_table(path: Path) -> list[Ran]:
    """The rows of a `kernel_details.csv`; those without a type, markers, are left out."""
    with path.open(newline="", encoding="utf-8-sig") as table:
        rows = [row for row in csv.DictReader(table) if row["Type"].strip() not in ("", "N/A")]
    return _timed(
        [(row["Type"].strip(), _nanoseconds(row["Start Time(us)"]), _nanoseconds(row["Duration(us)"])) for row in rows]
    )


def _nanoseconds(microseconds: str) -> int:
    return int(Decimal(microseconds.strip()) * 1000)


def _timed(told: list[tuple[str, int, int]]) -> list[Ran]:
    """Of name, start and duration in ns. Times since the first: a date in ns is more than a float can hold."""
    first = min((start for _, start, _ in told), default=0)
    return [
        Ran(name, (start - first) * 1e-9, (start - first + duration) * 1e-9, duration * 1e-9)
        for name, start, duration in told
    ]


def _mspti_missing(device: str) -> str:
    if device != "npu":
        return f"MSPTI watches Ascend NPUs; this device is {device}"
    if util.find_spec("mspti") is None:
        return "MSPTI's Python package is not installed; CANN brings it, under tools/mspti"
    if "libmspti.so" not in os.environ.get("LD_PRELOAD", ""):
        return "libmspti.so is not in LD_PRELOAD, and must be when the ranks start"
    return ""


def _mspti(work: Callable[[], None]) -> list[Ran]:
    """Kernels and HCCL's collectives, as MSPTI tells them, in memory."""
    mspti = import_module("mspti")

    seen: list[Any] = []
    started: list[Any] = []
    try:
        for monitor in (mspti.KernelMonitor(), mspti.HcclMonitor()):
            _succeed(monitor.start(seen.append))
            started.append(monitor)
        work()
    finally:
        stopped = [monitor.stop() for monitor in reversed(started)]  # hands over what is left, too
    for result in stopped:
        _succeed(result)
    return mspti_kernels(seen)


def _succeed(result: Any) -> None:
    if result.name != _SUCCESS:
        raise RuntimeError(f"MSPTI: {result.name}")


def mspti_kernels(seen: Iterable[Any]) -> list[Ran]:
    """What records of MSPTI tell, nanoseconds there; those without a start could not be timed and are left out."""
    return _timed(
        [
            (_CALL_NUMBER.sub("", record.name), record.start, record.end - record.start)
            for record in seen
            if record.start
        ]
    )
