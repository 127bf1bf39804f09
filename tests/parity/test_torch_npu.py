"""Held against the real torch_npu: what is only imagined about it would show here.

No NPU and no CANN take part, so nothing is computed: schemas, Meta outputs, and the API that the NPU code calls.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.parity import answers
from tests.parity.wheel import VERSION, NotToBeHad, environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

SOURCE = Path(__file__).resolve().parents[2] / "src" / "fiabench"


@pytest.fixture(scope="module")
def real() -> dict[str, str]:
    """The environment of a process with the real torch_npu. Where that is not to be had, the tests say why."""
    try:
        return environment()
    except NotToBeHad as reason:
        pytest.skip(f"NOT RUN, nothing was held against the real torch_npu: {reason}")


def ask(code: list[str], variables: dict[str, str]) -> Any:
    done = subprocess.run([sys.executable, *code], env=variables, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def both(real: dict[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The answers of torch_npu's operator and of fiabench's."""
    provided = dict(os.environ) | {"TORCH_DEVICE_BACKEND_AUTOLOAD": "0"}
    provided.pop("PYTHONPATH", None)
    return ask([answers.__file__], real), ask([answers.__file__], provided)


def test_the_real_operator_is_used_where_it_is_there(both: tuple[dict[str, Any], dict[str, Any]]) -> None:
    theirs, ours = both
    assert theirs["described"] == {"provided_by": f"torch_npu {VERSION}", "reason": None}
    assert ours["described"]["provided_by"] == "fiabench (emulated)"


def test_the_schema_is_the_real_one(both: tuple[dict[str, Any], dict[str, Any]]) -> None:
    theirs, ours = both
    assert ours["schema"] == theirs["schema"]


def test_meta_outputs_are_the_real_ones(both: tuple[dict[str, Any], dict[str, Any]]) -> None:
    theirs, ours = both
    differing = {
        name: (ours["meta"][name], found) for name, found in theirs["meta"].items() if ours["meta"][name] != found
    }
    assert not differing
    assert len(theirs["meta"]) > 1000
    assert sum(isinstance(found, list) for found in theirs["meta"].values()) > 200


def calls_of_the_npu_code() -> list[tuple[str, int, list[str]]]:
    """What devices/npu.py and what it shares with CUDA call: dotted name, positional arguments, keywords."""
    found = []
    for name in ("npu.py", "accelerator.py"):
        for node in ast.walk(ast.parse((SOURCE / "devices" / name).read_text())):
            if not isinstance(node, ast.Call):
                continue
            dotted = ast.unparse(node.func)
            for prefix in ("self.api.", "cls.api."):
                dotted = dotted.replace(prefix, "torch.npu.")
            if dotted.startswith(("torch.npu.", "torch_npu.")):
                found.append((dotted, len(node.args), [keyword.arg or "" for keyword in node.keywords]))
    return found


def test_the_npu_code_calls_what_torch_npu_has(real: dict[str, str]) -> None:
    calls = calls_of_the_npu_code()
    assert {"torch.npu.Event", "torch.npu.set_device", "torch_npu._C._get_cann_version"} <= {name for name, *_ in calls}
    code = (
        "import inspect, json, sys\n"
        "import fiabench.devices.npu\n"
        "import torch, torch_npu\n"
        "problems = []\n"
        "for name, count, keywords in json.loads(sys.argv[1]):\n"
        "    try:\n"
        "        function = eval(name)\n"
        "        if not inspect.isbuiltin(function):\n"
        "            inspect.signature(function).bind(*[0] * count, **dict.fromkeys(keywords))\n"
        "    except (AttributeError, TypeError) as error:\n"
        "        problems.append(f'{name}: {error}')\n"
        "print(json.dumps(problems))"
    )
    assert ask(["-c", code, json.dumps(calls)], real) == []


def test_ours_first_then_torch_npu_is_an_error_and_no_abort(real: dict[str, str]) -> None:
    """Without CANN's stand-ins the real wheel cannot be imported, ours is defined, and a later import is refused."""
    code = (
        "import json\n"
        "import fiabench.npu_operator as npu_operator\n"
        "try:\n"
        "    import torch_npu\n"
        "except ImportError as error:\n"
        "    print(json.dumps([npu_operator.describe(), str(error)]))"
    )
    described, refusal = ask(["-c", code], real | {"LD_LIBRARY_PATH": ""})
    assert described["provided_by"] == "fiabench (emulated)"
    assert "could not be imported" in described["reason"]
    assert "torch_npu" in refusal


def test_a_box_without_cann_says_so_and_measures_on_the_cpu(real: dict[str, str]) -> None:
    code = ["-m", "fiabench.workers.probe"]
    without = real | {"LD_LIBRARY_PATH": ""}
    assert "could not be imported" in ask([*code, "npu"], without)["missing"]
    facts = ask([*code, "auto"], without)
    assert facts["device"] == "cpu"
    assert facts["operator"]["provided_by"] == "fiabench (emulated)"
