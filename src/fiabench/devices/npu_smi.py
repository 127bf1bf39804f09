"""What `npu-smi` says of an NPU: which chips there are, and one chip's clock, temperature and power. Imports no torch.

Its output differs between drivers: the chip's number stands before its values, after them or, on Ascend 950, nowhere;
the management controller's values follow the chip's under the same names; what a chip cannot tell is `-` or `NA`.
"""

from __future__ import annotations

import math
import os
import re
import subprocess
from typing import NamedTuple

from fiabench.devices.sensing import Readings, SensorsMissing

VISIBLE = "ASCEND_RT_VISIBLE_DEVICES"
TIMEOUT_SECONDS = 5.0
"""A call takes tens of milliseconds; a broken driver can keep it for good."""

_BUS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f]", re.IGNORECASE)
_BUS_LENGTH = len("0000:c1:00.0")
"""As Linux writes it; some tools write the domain with eight digits."""
_UNKNOWN_BUS = ("NA", "-")
_LABELS = ("chipid", "chipname")
_HEADERS = ("npuid", "chipcount")

_NAMES = {
    "clock_mhz": ("aicorecurfreq(mhz)",),
    "temperature_c": ("temperature(c)", "nputemperature(c)"),
    "power_w": ("npureal-timepower(w)",),
}
_KINDS = ("common", "temp", "power")
"""`-t common` tells all three on most drivers; the others are asked only for what it leaves out."""
_SOURCES = {"clock_mhz": "common", "temperature_c": "temp", "power_w": "power"}


class Chip(NamedTuple):
    """One chip, which is one device to torch: an A3 card has two."""

    npu: int
    chip: int
    bus: str
    """Its PCI address in lower case; empty where the table has none."""


def ask(*arguments: str) -> str:
    """What ``npu-smi`` writes. Raises SensorsMissing where it is not there, fails or hangs."""
    command = ["npu-smi", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        raise SensorsMissing(f"`{' '.join(command)}` gave no answer within {TIMEOUT_SECONDS:g} s") from None
    except OSError as error:
        raise SensorsMissing(f"`npu-smi` could not be run: {error.strerror}") from None
    if done.returncode:
        words = (done.stdout + done.stderr).strip().splitlines() or ["no message"]
        raise SensorsMissing(f"`{' '.join(command)}` ended with exit code {done.returncode}: {words[-1]}")
    return done.stdout


def chips(table: str) -> list[Chip]:
    """The chips in `npu-smi info`'s table, in its order, which is that of torch's devices.

    A chip has two rows: the card's number and name, then the chip's number and PCI address.
    """
    found = []
    npu = None
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        number = re.match(r"\d+\b", cells[0])
        if len(cells) != 3 or number is None:
            continue
        if _BUS.fullmatch(cells[1]) or cells[1] in _UNKNOWN_BUS:
            if npu is not None:
                bus = "" if cells[1] in _UNKNOWN_BUS else cells[1].lower()[-_BUS_LENGTH:]
                found.append(Chip(npu, int(number[0]), bus))
            npu = None
        else:
            npu = int(number[0])
    return found


def chip_of(index: int, table: str, visible: str) -> Chip:
    """The chip that is torch's device ``index`` where :data:`VISIBLE` says ``visible``. Raises SensorsMissing."""
    there = chips(table)
    place = index
    if visible.strip():
        named = [part.strip() for part in visible.split(",")]
        if index >= len(named) or not (named[index].isascii() and named[index].isdigit()):
            raise SensorsMissing(f"{VISIBLE}: found {visible!r}; it names no device {index} by its number")
        place = int(named[index])
    if place >= len(there):
        raise SensorsMissing(f"`npu-smi info` lists {len(there)} chips, and none is device {place}")
    return there[place]


def fields(text: str, chip: int) -> dict[str, str]:
    """What ``npu-smi info -t KIND`` says of one chip: names in lower case without spaces, values as written.

    Where no chip is named at all, what is said is chip 0's.
    """
    parts: list[tuple[str | None, dict[str, str]]] = []
    for block in re.split(r"\n\s*\n", text):
        parts += _parts([pair for line in block.splitlines() if (pair := _pair(line))])
    unlabelled = all(label is None for label, _ in parts)
    wanted = None if unlabelled and chip == 0 else str(chip)
    return {name: value for label, values in parts if label == wanted for name, value in values.items()}


def _pair(line: str) -> tuple[str, str] | None:
    name, colon, value = line.partition(":")
    name = re.sub(r"\s", "", name).lower()
    return (name, value.strip()) if colon and name not in _HEADERS else None


def _parts(pairs: list[tuple[str, str]]) -> list[tuple[str | None, dict[str, str]]]:
    """One block's values by the chip that they are of. A label that comes first opens a part, another closes it."""
    opens = bool(pairs) and pairs[0][0] in _LABELS
    parts: list[tuple[str | None, dict[str, str]]] = []
    label, values = None, dict[str, str]()
    for name, value in pairs:
        if name not in _LABELS:
            values[name] = value
        elif opens:
            parts.append((label, values))
            label, values = value, {}
        else:
            parts.append((value, values))
            values = {}
    return [(of, those) for of, those in [*parts, (label, values)] if those]


def readings(text: str, chip: int) -> Readings:
    """The sensors in one output of ``npu-smi info -t``, of one chip; what is not told or no number is left out."""
    told = fields(text, chip)
    found = {}
    for sensor, names in _NAMES.items():
        for name in names:
            value = _number(told.get(name, ""))
            if value is not None:
                found[sensor] = value
    return found


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


class NpuSmi:
    """The sensors of torch's device ``index``. A reading is one to three calls of `npu-smi`."""

    def __init__(self, index: int) -> None:
        self._index = index
        self._chip: Chip | None = None

    def __call__(self) -> Readings:
        """Raises SensorsMissing where nothing can be read."""
        if self._chip is None:
            self._chip = chip_of(self._index, ask("info"), os.environ.get(VISIBLE, ""))
        npu, chip, _ = self._chip
        found: Readings = {}
        for kind in _KINDS:
            if kind == _KINDS[0] or any(of == kind and name not in found for name, of in _SOURCES.items()):
                found = readings(ask("info", "-i", str(npu), "-t", kind), chip) | found
        if not found:
            raise SensorsMissing(f"`npu-smi info -i {npu}` tells no clock, temperature or power of chip {chip}")
        return found
