"""In BSH nothing but the correctness check stands between a wrong head count and a wrong number.

There is no head axis: a count that divides N x D passes every check of the operator and regroups the heads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fiabench import npu_operator, ops
from fiabench.measure.one import measure
from fiabench.measure.sampling import Stopping
from tests.ulysses.points import make_case
from tests.ulysses.ranks import run_ranks

STOPPING = Stopping(half_width=0.5, min_samples=3, max_samples=3, max_seconds=5.0, warmup_max_seconds=0.0)

CACHED_HEADS = """
import torch
import fiabench.npu_operator
ABOUT = "Head counts as a constructor was told them, not as the tensors have them."
def unsupported(case, device): return None
def emulated(device): return fiabench.npu_operator.provided()
def prepare(case, query, key, value):
    def launch():
        return torch.ops.npu.npu_fused_infer_attention_score(
            query, key, value, num_heads=HEADS, num_key_value_heads=HEADS, scale=case.head_dim**-0.5,
            input_layout="BSH")[0]
    return launch
"""


def outcomes(groups: Any, device: Any, folder: str, cases: list[Any]) -> list[tuple[str, str]]:
    """Status and reason of each case on this rank, with the operators of ``folder`` beside fiabench's own."""
    ops.__path__.append(folder)
    measured = [measure(case, device, groups, STOPPING, {}) for case in cases]
    return [(outcome.status, outcome.reason) for outcome in measured]


@pytest.mark.skipif(not npu_operator.provided(), reason="torch_npu provides the operator here")
def test_a_wrong_but_divisible_head_count_is_wrong(tmp_path: Path) -> None:
    """Each rank has 4 of 8 heads. The model's count is the seed's bug, the others are as plausible to the operator."""
    for heads in (1, 2, 4, 8):
        (tmp_path / f"told_{heads}_heads.py").write_text(CACHED_HEADS.replace("HEADS", str(heads)))
    shape = {"layout": "BSH", "dtype": "fp16", "head_dim": 32}
    cases = [make_case(op=f"told_{heads}_heads", **shape) for heads in (1, 2, 4, 8)]
    for rank in run_ranks(2, outcomes, str(tmp_path), cases):
        statuses = [status for status, _ in rank]
        assert statuses[:2] == ["wrong", "wrong"]
        assert statuses[2] in ("ok", "unsettled"), rank[2]
        assert statuses[3] == "wrong"
        assert all("of the rows' root mean square" in rank[index][1] for index in (0, 1, 3))


@pytest.mark.skipif(not npu_operator.provided(), reason="torch_npu provides the operator here")
def test_where_there_is_a_head_axis_the_operator_itself_refuses(tmp_path: Path) -> None:
    """So that the test above is about BSH alone."""
    text = CACHED_HEADS.replace("HEADS", "8").replace("BSH", "BSND")
    (tmp_path / "told_8_heads.py").write_text(text)
    case = make_case(op="told_8_heads", layout="BSND", dtype="fp16", head_dim=32)
    assert all("[CheckQShape]" in said for said in run_ranks(2, refusals, str(tmp_path), case))


def refusals(groups: Any, device: Any, folder: str, case: Any) -> str:
    ops.__path__.append(folder)
    try:
        measure(case, device, groups, STOPPING, {})
    except RuntimeError as error:
        return str(error)
    return ""
