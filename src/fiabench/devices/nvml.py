"""Clock, temperature and power of an NVIDIA GPU through NVML. Imports no torch, and pynvml only when asked to read.

The device is found by its UUID, or else its PCI address, because NVML numbers devices without regard to
CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from fiabench.devices.sensing import Readings, SensorsMissing

_WATTS = 1e-3
"""NVML tells milliwatts."""


class Nvml:
    """The sensors of one GPU, by its ``uuid`` as NVML writes it, `GPU-...`, or its PCI address ``bus``.

    Either may be empty.
    """

    def __init__(self, uuid: str, bus: str) -> None:
        self._uuid = uuid
        self._bus = bus
        self._handle: Any = None

    def __call__(self) -> Readings:
        """Raises SensorsMissing where nothing can be read; a sensor that the GPU lacks is left out."""
        try:
            pynvml = import_module("pynvml")
        except ImportError:
            raise SensorsMissing("nvidia-ml-py is not installed") from None
        try:
            if self._handle is None:
                pynvml.nvmlInit()
                self._handle = self._find(pynvml)
            return read(pynvml, self._handle)
        except pynvml.NVMLError as error:
            raise SensorsMissing(f"NVML: {error}") from None

    def _find(self, library: Any) -> Any:
        if self._uuid:
            return library.nvmlDeviceGetHandleByUUID(self._uuid)
        if self._bus:
            return library.nvmlDeviceGetHandleByPciBusId(self._bus)
        raise SensorsMissing("this torch tells neither the UUID nor the PCI address of a device")


def read(library: Any, handle: Any) -> Readings:
    """What ``library``, pynvml, tells of the device ``handle``. Raises its NVMLError where that is nothing."""
    asked = {
        "clock_mhz": (library.nvmlDeviceGetClockInfo, library.NVML_CLOCK_SM, 1.0),
        "temperature_c": (library.nvmlDeviceGetTemperature, library.NVML_TEMPERATURE_GPU, 1.0),
        "power_w": (library.nvmlDeviceGetPowerUsage, None, _WATTS),
    }
    found: Readings = {}
    refusals = []
    for sensor, (function, which, unit) in asked.items():
        try:
            found[sensor] = unit * (function(handle) if which is None else function(handle, which))
        except library.NVMLError as error:
            refusals.append(error)
    if not found:
        raise refusals[0]
    return found
