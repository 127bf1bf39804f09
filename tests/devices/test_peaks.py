"""The hardware's peaks by the name that torch reports: a wrong row would give every MFU a wrong denominator."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fiabench.devices.peaks import find_peak
from fiabench.results.links import link_bandwidth


@pytest.mark.parametrize(
    ("name", "tflops", "gigabytes", "to_one", "to_seven"),
    [
        ("Ascend910B1", 353.9, 1759, 28, 196),
        ("Ascend910B3", 294.9, 1759, 28, 196),
        ("Ascend910B4", 245.8, 880, 28, 196),
        ("NVIDIA H100 80GB HBM3", 989, 3350, 450, 450),
        ("NVIDIA H200", 989, 4800, 450, 450),
        ("NVIDIA A100-SXM4-80GB", 312, 2039, 300, 300),
    ],
)
def test_known_devices(name, tflops, gigabytes, to_one, to_seven):
    peak = find_peak(name)
    assert peak is not None
    assert peak["flops"]["bf16"] == pytest.approx(tflops * 1e12)
    assert peak["memory_bandwidth"] == pytest.approx(gigabytes * 1e9)
    assert peak["source"]
    assert link_bandwidth({"peak": peak}, 2) == pytest.approx(to_one * 1e9)
    assert link_bandwidth({"peak": peak}, 8) == pytest.approx(to_seven * 1e9)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Intel(R) Xeon(R) Processor",
        "NVIDIA H100 PCIe",
        "NVIDIA H200 NVL",
        "NVIDIA GH200 480GB",
        "NVIDIA A100-SXM4-40GB",
        "NVIDIA A1000 Laptop GPU",
        "Ascend310P3",
    ],
)
def test_what_only_looks_alike_has_no_peak(name):
    """A part of the same family with other clocks or another memory is another device."""
    assert find_peak(name) is None


def test_finding_a_peak_imports_no_torch():
    script = "import sys, fiabench.devices.peaks as p; p.find_peak('Ascend910B3'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
