"""What asv's numbers were measured on is said beside them, as it shows it nowhere itself."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from fiabench.asv_plugin.notice import measured_on

CPU = {"device": "cpu", "cpu": "a CPU", "cores": 2, "emulated": ["the operator"]}
NPU = {"device": "npu", "device_count": 8, "device_name": "Ascend910B3", "emulated": []}


def write(runs: Path, machine: str, commit: str, environment: dict[str, Any] | None) -> Path:
    path = runs / machine / commit / "1" / "run.json"
    path.parent.mkdir(parents=True)
    path.write_text("{" if environment is None else json.dumps({"environment": environment}))
    return path


def test_each_kind_of_box_is_told_once_and_what_cannot_be_read_passed_over(tmp_path: Path) -> None:
    old = write(tmp_path, "box", "a", CPU)
    write(tmp_path, "box", "b", CPU)
    write(tmp_path, "npu-box", "a", NPU)
    write(tmp_path, "npu-box", "b", None)
    write(tmp_path, "npu-box", "c", {})
    emulated = "box: measured on CPU (a CPU, 2 cores): emulated operator, not NPU figures"
    measured = "npu-box: measured on NPU (8 x Ascend910B3)"
    assert measured_on(tmp_path.glob("*/*")) == [emulated, measured]
    os.utime(old, (1, 1))
    assert measured_on([tmp_path / "box" / "a"], since=2) == []
