"""Devices: one to a file, each with a clock, memory, and a description of itself.

Importing this package imports no torch; loading a device does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fiabench.devices.base import Device

NAMES = ("npu", "cuda", "cpu")
"""In the order in which `auto` prefers them."""


def load(name: str) -> type[Device]:
    """The device's class; KeyError for a name that is not in NAMES."""
    if name not in NAMES:
        raise KeyError(name)
    module = import_module(f"fiabench.devices.{name}")
    device: type[Device] = module.DEVICE
    return device
