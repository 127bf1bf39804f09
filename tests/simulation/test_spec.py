"""Devices from YAML: what is shipped, what a user writes, what is wrong with it."""

from __future__ import annotations

import pytest
import yaml

from fiabench.cases.errors import InputError
from fiabench.devices.peaks import find_peak
from fiabench.simulation.spec import load_spec, names
from tests.simulation.simulated import ROUND


def test_the_shipped_devices():
    assert names() == ["910b3", "a3-die", "h100"]


@pytest.mark.parametrize("name", names())
def test_every_number_has_its_source(name):
    def parts(value):
        for part in value.values():
            if isinstance(part, dict) and part.keys() - {"bf16", "fp16", "fp32"}:
                yield part
                yield from parts(part)

    spec = load_spec(f"sim:{name}")
    found = list(parts(spec.model_dump()))
    assert len(found) >= 6
    assert all(part["source"] for part in found)
    assert spec.ranks >= 64


@pytest.mark.parametrize(("name", "reported"), [("910b3", "Ascend910B3"), ("h100", "NVIDIA H100 80GB HBM3")])
def test_peaks_are_those_of_the_real_device(name, reported):
    known, simulated = find_peak(reported), load_spec(f"sim:{name}").peaks
    assert {key: simulated[key] for key in ("flops", "memory_bandwidth", "link")} == {
        key: known[key] for key in ("flops", "memory_bandwidth", "link")
    }


def test_a_device_of_ones_own(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(ROUND))
    assert load_spec(f"sim:{path}").ranks == 64


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"kernel": None}, "kernel: found nothing"),
        (
            {"peak": {"tflops": {"bf16": -1}, "source": "x"}},
            "peak.tflops.bf16: found -1; allowed: input should be greater",
        ),
        ({"speed": 3}, "speed: found 3; allowed: extra inputs"),
        ({"launch": {"microseconds": 1.0}}, "launch.source: allowed: field required"),
        ({"kind": "tpu"}, "kind: found 'tpu' (a string); allowed: input should be 'npu' or 'cuda'"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_by_key(tmp_path, change, found):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(ROUND | change))
    with pytest.raises(InputError) as refused:
        load_spec(f"sim:{path}")
    assert found in str(refused.value)
    assert str(path) in str(refused.value)


def test_unknown_devices_and_files_that_are_none(tmp_path):
    with pytest.raises(InputError, match=r"allowed: sim:910b3, sim:a3-die, sim:h100, sim:PATH.yaml"):
        load_spec("sim:910b9")
    with pytest.raises(InputError, match="cannot be read"):
        load_spec(f"sim:{tmp_path}/none.yaml")
    (tmp_path / "list.yaml").write_text("[1, 2]")
    with pytest.raises(InputError, match="a list of 2"):
        load_spec(f"sim:{tmp_path}/list.yaml")
