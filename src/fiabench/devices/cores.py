"""The host's cores as Linux describes them: neighbours, caches, nearness to a device. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path

SYSFS = Path("/sys")

_SIZE = re.compile(r"(\d+)([KMG]?)")
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
_LIST_PART = re.compile(r"(\d+)(?:-(\d+))?")


def parse_list(text: str) -> list[int]:
    """`0-2,8` is [0, 1, 2, 8]; [] where it is no list of cores."""
    cores: list[int] = []
    for part in text.strip().split(","):
        found = _LIST_PART.fullmatch(part.strip())
        if not found:
            return []
        cores += range(int(found[1]), int(found[2] or found[1]) + 1)
    return cores


def near(bus: str, sysfs: Path = SYSFS) -> list[int]:
    """The cores of the NUMA node that a PCI device hangs on, `0000:c1:00.0`; [] where the kernel does not say."""
    return parse_list(_read(sysfs / "bus" / "pci" / "devices" / bus / "local_cpulist"))


def by_neighbour(cores: Iterable[int], sysfs: Path = SYSFS) -> list[int]:
    """``cores`` in an order in which the threads of one physical core follow each other."""

    def place(core: int) -> tuple[int, int]:
        siblings = parse_list(_read(sysfs / "devices/system/cpu" / f"cpu{core}" / "topology/thread_siblings_list"))
        return min(siblings, default=core), core

    return sorted(cores, key=place)


def last_level_bytes(cores: Collection[int], sysfs: Path = SYSFS) -> int:
    """The last-level caches that ``cores`` use, together; 0 where the kernel does not say."""
    sizes: dict[str, int] = {}
    for core in cores:
        levels = []
        for index in (sysfs / "devices/system/cpu" / f"cpu{core}" / "cache").glob("index*"):
            size, level = _SIZE.fullmatch(_read(index / "size")), _read(index / "level")
            if size and level.isdigit():
                levels.append((int(level), _read(index / "shared_cpu_list"), int(size[1]) * _UNITS[size[2]]))
        if levels:
            _, shared_by, bytes_ = max(levels)
            sizes[shared_by] = bytes_
    return sum(sizes.values())


def _read(path: Path) -> str:
    """The file's text; empty where there is none, or none that may be read."""
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
