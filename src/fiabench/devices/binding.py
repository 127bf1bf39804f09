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
TORCH_NPU_BINDS = "CPU_AFFINITY_CONF"
"""Where it is set, torch_npu binds its threads itself, and better knows which does what."""

_UUID = re.compile(r"^GPU UUID:\s*(\S+)", re.MULTILINE)


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


def nvidia_buses(visible: str | None, count: int, gpus: Path = NVIDIA_GPUS) -> list[str]:
    """As :func:`device_buses`; ``visible`` names devices by number or by the beginning of their UUID.

    Numbers are those of the PCI order, which is CUDA's own where all GPUs of a box are alike.
    """
    there = sorted(folder.name.lower() for folder in gpus.iterdir()) if gpus.is_dir() else []
    if visible is None:
        chosen = there
    else:
        uuids = {bus: _uuid(gpus, bus) for bus in there} if "GPU-" in visible else {}
        chosen = [_named(part.strip(), there, uuids) for part in visible.split(",")]
    return (chosen + [""] * count)[:count]


def _uuid(gpus: Path, bus: str) -> str:
    with suppress(OSError):
        found = _UUID.search((gpus / bus / "information").read_text(encoding="ascii", errors="replace"))
        return found[1] if found else ""
    return ""


def _named(name: str, there: list[str], uuids: dict[str, str]) -> str:
    if name.isascii() and name.isdigit():
        return there[int(name)] if int(name) < len(there) else ""
    return next((bus for bus, uuid in uuids.items() if name.startswith("GPU-") and uuid.startswith(name)), "")


def npu_buses(visible: str, count: int) -> list[str]:
    """As :func:`device_buses`, by `npu-smi`."""
    try:
        table = npu_smi.ask("info")
        return [npu_smi.chip_of(index, table, visible).bus for index in range(count)]
    except SensorsMissing:
        return [""] * count
