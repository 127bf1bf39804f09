"""``python -m fiabench.workers.probe DEVICE`` says on standard output, as JSON, what this box measures on.

A process of its own, because the coordinator imports no torch.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib import metadata, util
from typing import Any

import torch

from fiabench import devices, npu_operator
from fiabench.devices.base import Device
from fiabench.devices.cpu import cpu_model


def main() -> None:
    try:
        facts = probe(sys.argv[1])
    except DeviceMissing as error:
        facts = {"missing": str(error)}
    json.dump(facts, sys.stdout)


class DeviceMissing(Exception):
    """The device that was asked for is not there; the message says why."""


def probe(wanted: str) -> dict[str, Any]:
    """Facts about the device ``wanted``, or for `auto` the first of devices.NAMES that is there."""
    for name in devices.NAMES if wanted == "auto" else (wanted,):
        try:
            device = _find(name)
        except DeviceMissing:
            if wanted != "auto":
                raise
            continue
        return {"device": name, "count": device.count(), **device.describe(), **_software()}
    raise AssertionError("the CPU is always there")


def _find(name: str) -> type[Device]:
    if name == "npu":
        facts = npu_operator.describe()
        if npu_operator.provided():
            raise DeviceMissing(facts.get("reason") or "torch_npu is not installed in this Python")
    device = devices.load(name)
    if not device.count():
        raise DeviceMissing(f"torch {torch.__version__} sees no {name} device")
    return device


def _software() -> dict[str, Any]:
    packages = ("torch", "torch_npu", "numpy")
    return {
        "versions": {name: metadata.version(name) for name in packages if util.find_spec(name)},
        "operator": npu_operator.describe(),
        "python": platform.python_version(),
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
    }


if __name__ == "__main__":
    main()
