"""Held against the real torch_npu: what is only imagined about it would show here.

No NPU and no CANN take part, so nothing is computed: schemas, Meta outputs, and the API that the NPU code calls.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fiabench.devices.exhaustion import tells_of_memory
from fiabench.npu_operator.schema import FIA, FIA_V2, FUSION, PROMPT_FLASH, SCHEMAS
from tests.parity.grid import asks
from tests.parity.uses import uses
from tests.parity.wheel import FOLDER, VERSION, NotToBeHad, environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def real(figures: dict[str, Any]) -> dict[str, str]:
    """The environment of a process with the real torch_npu. Where that is not to be had, the tests say why; in CI,
    where it should be, they fail."""
    try:
        return environment()
    except NotToBeHad as reason:
        figures["not_run"] = str(reason)
        message = f"NOT RUN, nothing was held against the real torch_npu: {reason}"
        if os.environ.get("CI") and not reason.excused:
            pytest.fail(message)
        pytest.skip(message)


OUT_OF_MEMORY = {"24", "200000", "207001", "207005", "207018"}
"""CANN's error codes that say so, and HCCL's."""


def ask(code: list[str], variables: dict[str, str], given: Any = None) -> Any:
    done = subprocess.run(
        [sys.executable, *code],
        env=variables,
        cwd=ROOT,
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def both(real: dict[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The answers of torch_npu's operators and of fiabench's, the latter on a box with torch_npu too."""
    provided = dict(os.environ) | {"TORCH_DEVICE_BACKEND_AUTOLOAD": "0"}
    provided.pop("PYTHONPATH", None)
    without = "import sys; sys.modules['torch_npu'] = None; from tests.parity.answers import main; main()"
    return ask(["-m", "tests.parity.answers"], real), ask(["-c", without], provided)


def test_the_real_operator_is_used_where_it_is_there(both: tuple[dict[str, Any], dict[str, Any]]) -> None:
    theirs, ours = both
    assert theirs["described"] == {"provided_by": f"torch_npu {VERSION}", "reason": None}
    assert ours["described"]["provided_by"] == "fiabench (emulated)"


def test_the_schemas_are_the_real_ones(both: tuple[dict[str, Any], dict[str, Any]], figures: dict[str, Any]) -> None:
    theirs, ours = both
    assert theirs["schemas"].keys() == SCHEMAS.keys()
    assert ours["schemas"] == theirs["schemas"]
    assert ours["overloads"] == theirs["overloads"]
    figures["schemas"] = len(theirs["schemas"])


def test_what_has_a_meta_kernel_there_has_one_here(both: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """The `.out` overloads and the workspaces have none in torch_npu either."""
    theirs, ours = both
    assert ours["with a Meta kernel"] == theirs["with a Meta kernel"]


def test_meta_outputs_are_the_real_ones(both: tuple[dict[str, Any], dict[str, Any]], figures: dict[str, Any]) -> None:
    """Shapes, strides and dtypes; and of what is refused the exception and its first line."""
    theirs, ours = both
    calls = asks()
    assert len(calls) == len(theirs["meta"]) == len(ours["meta"])
    differing = [(call, own, found) for call, own, found in zip(calls, ours["meta"], theirs["meta"]) if own != found]
    assert not differing, f"{len(differing)} differ; first: {differing[0]}"
    counts = Counter(call.operator for call in calls)
    answered = Counter(call.operator for call, found in zip(calls, theirs["meta"]) if not isinstance(found, str))
    assert set(counts) == set(theirs["with a Meta kernel"])
    assert all(count > 2000 for count in counts.values())
    assert all(answered[name] > 0.6 * count for name, count in counts.items())
    figures["meta_calls"] = dict(counts)


TENSOR = {"shape": [1, 4, 8, 16], "stride": [512, 128, 16, 1], "dtype": "torch.float16"}
WRONG_USES = {
    "there_is_no_such_thing": ("here", "torch.npu.there_is_no_such_thing", None, []),
    "no_such_argument": ("here", "torch.npu.Event", 0, ["no_such_argument"]),
}
WRONG_CALLS = {
    "npu_no_such_operator": ("here", "npu_no_such_operator", [TENSOR] * 3, {}, None),
    "scale_value": ("here", FIA, [TENSOR] * 3, {"num_heads": 4, "scale_value": 0.5}, None),
    "head_num": ("here", FUSION, [TENSOR] * 3, {"input_layout": "BNSD"}, None),
    "bfloat16": ("here", PROMPT_FLASH, [TENSOR] * 3, {}, {**TENSOR, "dtype": "torch.bfloat16"}),
}
"""What must be complained of, by a word of the complaint."""


@pytest.fixture(scope="module")
def complaints(real: dict[str, str], both: tuple[dict[str, Any], dict[str, Any]]) -> tuple[list[str], list[str]]:
    """What the real torch_npu does not take of the package's uses and calls, and of the wrong ones after them."""
    given = [*uses(), *WRONG_USES.values()], [*both[1]["calls"], *WRONG_CALLS.values()]
    of_uses, of_calls = ask(["-m", "tests.parity.verdicts"], real, given)
    return of_uses, of_calls


def test_the_package_uses_what_torch_npu_has(complaints: tuple[list[str], list[str]], figures: dict[str, Any]) -> None:
    """Attributes of its Python API, and where they are called the signature."""
    found = uses()
    known = {"torch.npu.Event", "torch.npu.set_device", "torch.npu.mem_get_info", "torch_npu._C._get_cann_version"}
    known |= {"torch.npu.NPUGraph", "torch.npu.graph", "torch.npu.graph_pool_handle", "torch.npu._sleep"}
    known |= {"torch_npu._C._npu_endAllocateToPool", "torch.npu.memory_allocated"}
    known |= {"torch_npu.profiler.profile", "torch_npu.profiler.tensorboard_trace_handler"}
    known |= {"torch_npu.profiler._ExperimentalConfig", "torch_npu.profiler.ProfilerLevel.Level1"}
    assert known <= {use.name for use in found}
    assert not [use for use in found if "**" in use.keywords], "keywords that cannot be read out of the source"
    assert_only(complaints[0], WRONG_USES)
    figures["api_uses"] = len(found)


def test_its_words_for_memory_that_ran_out_are_known(real: dict[str, str]) -> None:
    """The allocator's in its library, CANN's error codes in its headers; and the size of the cache has this name."""
    package = FOLDER / "site" / "torch_npu"
    library = (package / "lib" / "libtorch_npu.so").read_bytes()
    headers = (package / "include/torch_npu/csrc/core/npu/NPUErrorCodes.h").read_text()
    texts = [b"NPU out of memory. Tried to allocate ", b"NPU out of memory. NPUWorkspaceAllocator tried to allocate "]
    assert all(text in library for text in [*texts, b"L2_cache_size"])
    codes = dict(re.findall(r'\{(\d+),\s*"(.*?)"', headers, re.DOTALL))
    assert {code for code, text in codes.items() if tells_of_memory("npu", RuntimeError(text))} == OUT_OF_MEMORY
    assert all(tells_of_memory("npu", RuntimeError(text.decode())) for text in texts)


def test_torch_npu_takes_the_calls_that_the_operators_under_test_make(
    complaints: tuple[list[str], list[str]], both: tuple[dict[str, Any], dict[str, Any]], figures: dict[str, Any]
) -> None:
    """Recorded on Meta tensors in every layout, mask and cache; its own operators give the same outputs."""
    counts = Counter(operator for _, operator, *_ in both[1]["calls"])
    assert set(counts) == {FIA, FIA_V2, PROMPT_FLASH, FUSION}
    assert_only(complaints[1], WRONG_CALLS)
    figures["operator_calls"] = dict(counts)


def assert_only(found: list[str], wrong: dict[str, Any]) -> None:
    """The complaints are those of what is known to be wrong, which comes last."""
    assert len(found) >= len(wrong), "something wrong was taken"
    assert not found[: -len(wrong)]
    assert all(word in complaint for word, complaint in zip(wrong, found))


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
