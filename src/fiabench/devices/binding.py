"""Which cores a rank may use: those near its device, shared evenly with the ranks whose devices hang there too.

A rank that wanders between NUMA nodes launches more slowly and less evenly. Imports no torch: threads inherit the
binding, so it is to be made before any are started.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from fiabench.devices import NAMES, npu_smi
from fiabench.devices.cores import by_neighbour, near
from fiabench.devices.sensing import SensorsMissing

NVIDIA_GPUS = Path("/proc/driver/nvidia/gpus")
NVIDIA_FILES = Path("/dev")
TORCH_NPU_BINDS = "CPU_AFFINITY_CONF"
"""Where it is set, torch_npu binds its threads itself, and better knows which does what."""

_UUID = re.compile(r"^GPU UUID:\s*(\S+)", re.MULTILINE)
_MINOR = re.compile(r"^Device Minor:\s*(\d+)", re.MULTILINE)


def bind(device_name: str, local_rank: int, local_count: int, threads: int) -> list[int] | None:
    """Binds this process to the cores that :func:`share` gives it, and returns them, for the record.

    Those that a launcher has bound it to stay. None where nothing is bound: a simulated device, torch_npu that does it
    itself, ranks on the CPU whose ``threads`` are more than the cores, a system without such a call.
    """
    if device_name not in NAMES or not hasattr(os, "sched_setaffinity"):
        return None
    if device_name == "npu" and os.environ.get(TORCH_NPU_BINDS):
        return None
    allowed = os.sched_getaffinity(0)
    if allowed != os.sched_getaffinity(os.getppid()):
        return sorted(allowed)
    if device_name == "cpu" and local_count * threads > len(allowed):
        return None
    buses = device_buses(device_name, local_count)
    cores = share(local_rank, [near(bus) for bus in buses], by_neighbour(allowed))
    apply(cores)
    return cores


def share(rank: int, nodes: Sequence[Sequence[int]], cores: Sequence[int]) -> list[int]:
    """The cores of ``rank`` among len(nodes) ranks, ascending, never none.

    ``nodes`` gives the cores near each rank's device, ``cores`` those that there are, in the order in which they are to
    be cut. Ranks with the same node divide it; where of any rank no near core may be used, all divide all the cores.
    Only where ranks are more than cores do two get the same one.
    """
    usable = [frozenset(node) & frozenset(cores) for node in nodes]
    if not all(usable):
        usable = [frozenset(cores)] * len(nodes)
    mine = [core for core in cores if core in usable[rank]]
    sharers = [other for other, node in enumerate(usable) if node == usable[rank]]
    place, count = sharers.index(rank), len(sharers)
    start, end = len(mine) * place // count, len(mine) * (place + 1) // count
    return sorted(mine[start : max(end, start + 1)])


def apply(cores: Sequence[int]) -> None:
    """Binds every thread of this process, and with them those that they will start."""
    for thread in Path("/proc/self/task").iterdir():
        with suppress(ProcessLookupError):  # ended meanwhile
            os.sched_setaffinity(int(thread.name), cores)


def device_buses(device_name: str, count: int) -> list[str]:
    """The PCI addresses of torch's devices 0 to ``count`` - 1, in lower case; empty ones where they are not known."""
    if device_name == "cuda":
        return nvidia_buses(os.environ.get("CUDA_VISIBLE_DEVICES"), count)
    if device_name == "npu":
        return npu_buses(os.environ.get(npu_smi.VISIBLE, ""), count)
    return [""] * count


def nvidia_buses(visible: str | None, count: int, gpus: Path = NVIDIA_GPUS, files: Path = NVIDIA_FILES) -> list[str]:
    """As :func:`device_buses`; ``visible`` names devices by number or by the beginning of their UUID.

    Numbers are those of the PCI order, which is CUDA's own where all GPUs of a box are alike. Those without a file in
    ``files`` are not this container's.
    """
    told = {folder.name.lower(): _told(folder) for folder in gpus.iterdir()} if gpus.is_dir() else {}
    there = sorted(bus for bus, words in told.items() if _is_ours(words, files))
    chosen = there if visible is None else [_named(part.strip(), there, told) for part in visible.split(",")]
    return (chosen + [""] * count)[:count]


def _told(folder: Path) -> str:
    """What the driver says of one GPU; empty where it does not let."""
    with suppress(OSError):
        return (folder / "information").read_text(encoding="ascii", errors="replace")
    return ""


def _is_ours(told: str, files: Path) -> bool:
    minor = _MINOR.search(told)
    return minor is None or (files / f"nvidia{minor[1]}").exists()


def _named(name: str, there: list[str], told: dict[str, str]) -> str:
    """The PCI address of the device called ``name``; empty where there is none."""
    if name.isascii() and name.isdigit():
        return there[int(name)] if int(name) < len(there) else ""
    uuids = {bus: found[1] for bus in there if (found := _UUID.search(told[bus]))}
    return next((bus for bus, uuid in uuids.items() if name.startswith("GPU-") and uuid.startswith(name)), "")


def npu_buses(visible: str, count: int) -> list[str]:
    """As :func:`device_buses`, by `npu-smi`."""
    try:
        table = npu_smi.ask("info")
        return [npu_smi.chip_of(index, table, visible).bus for index in range(count)]
    except SensorsMissing:
        return [""] * count
