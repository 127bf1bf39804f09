"""Sensors through NVML. No GPU takes part: its library is stood in for, and its names are held against the real one."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from fiabench.devices.cuda import _bus, _uuid
from fiabench.devices.nvml import Nvml, read
from fiabench.devices.sensing import SensorsMissing


class NVMLError(Exception):
    pass


def library(**refused):
    """pynvml with one H100; functions named in ``refused`` raise."""

    def answer(name, value):
        def call(*_arguments):
            if name in refused:
                raise NVMLError(refused[name])
            return value

        return call

    values = {
        "nvmlInit": None,
        "nvmlDeviceGetHandleByUUID": "by uuid",
        "nvmlDeviceGetHandleByPciBusId": "by bus",
        "nvmlDeviceGetClockInfo": 1755,
        "nvmlDeviceGetTemperature": 54,
        "nvmlDeviceGetPowerUsage": 412_345,
    }
    functions = {name: answer(name, value) for name, value in values.items()}
    return SimpleNamespace(NVMLError=NVMLError, NVML_CLOCK_SM=1, NVML_TEMPERATURE_GPU=0, **functions)


def test_units_are_megahertz_degrees_and_watts():
    expected = {"clock_mhz": 1755.0, "temperature_c": 54.0, "power_w": pytest.approx(412.345)}
    assert read(library(), "handle") == expected


def test_a_sensor_that_is_refused_is_left_out():
    refusing = library(nvmlDeviceGetPowerUsage="Not Supported")
    assert read(refusing, "handle").keys() == {"clock_mhz", "temperature_c"}


def test_a_gpu_without_any_is_missing(monkeypatch):
    refusing = library(
        **{f"nvmlDeviceGet{name}": "Not Supported" for name in ("ClockInfo", "Temperature", "PowerUsage")}
    )
    monkeypatch.setitem(sys.modules, "pynvml", refusing)
    with pytest.raises(SensorsMissing, match="NVML: Not Supported"):
        Nvml("GPU-1", "")()


@pytest.mark.parametrize(("uuid", "bus", "function"), [("GPU-1", "b", "ByUUID"), ("", "0000:c1:00.0", "ByPciBusId")])
def test_it_is_found_by_its_uuid_or_else_by_its_address(monkeypatch, uuid, bus, function):
    name = f"nvmlDeviceGetHandle{function}"
    monkeypatch.setitem(sys.modules, "pynvml", library(**{name: "asked"}))
    with pytest.raises(SensorsMissing, match="NVML: asked"):
        Nvml(uuid, bus)()


def test_an_old_torch_names_no_device(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", library())
    with pytest.raises(SensorsMissing, match="neither the UUID nor the PCI address"):
        Nvml("", "")()


def test_without_the_package_it_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(SensorsMissing, match="nvidia-ml-py is not installed"):
        Nvml("GPU-1", "")()


def test_the_real_library_has_these_names():
    real = pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")
    assert all(hasattr(real, name) for name in vars(library()))
    assert issubclass(real.NVMLError, Exception)


def test_a_device_is_named_as_nvml_does():
    properties = SimpleNamespace(uuid="8f1c", pci_domain_id=0, pci_bus_id=0xC1, pci_device_id=0)
    assert (_uuid(properties), _bus(properties)) == ("GPU-8f1c", "00000000:c1:00.0")
    assert (_uuid(SimpleNamespace()), _bus(SimpleNamespace())) == ("", "")
