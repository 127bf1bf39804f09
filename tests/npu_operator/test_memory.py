"""Peak memory of a call: no S x S temporary for compressed masks, no more than a copy of a full one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.npu_operator.peak_memory import OUTPUT, TOKENS

ROOT = Path(__file__).resolve().parents[2]
FULL = TOKENS * TOKENS

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="only Linux says by how much a process peaked during a call"
)


@pytest.fixture(scope="module")
def growths() -> dict[str, int]:
    command = [sys.executable, "-m", "tests.npu_operator.peak_memory"]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150, check=False)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


@pytest.mark.slow
def test_the_measure_sees_what_torch_itself_takes(growths):
    """Else every limit below would hold for nothing."""
    assert OUTPUT <= growths["is_causal"] < FULL / 4
    assert growths["full mask"] > OUTPUT


@pytest.mark.slow
@pytest.mark.parametrize(
    "call",
    [
        "mode 2",
        "mode 3",
        "mode 3, fewer queries",
        "mode 3, BNSD_BSND",
        "mode 3, log-sum-exp",
        "band",
        "wide band",
    ],
)
def test_compressed_masks_take_no_more_than_output_and_is_causal(growths, call):
    assert growths[call] <= OUTPUT + growths["is_causal"]


@pytest.mark.slow
@pytest.mark.parametrize("call", ["full mask", "full mask of int8", "full mask and tokens"])
def test_a_full_mask_takes_no_more_than_one_more_of_it(growths, call):
    assert growths[call] <= FULL
