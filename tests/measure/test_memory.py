"""The estimate by which cases are left out for want of memory, held against what cases really take, check included."""

from __future__ import annotations

from typing import Any

import pytest

from fiabench.cases import costs
from fiabench.cases.case import Case
from fiabench.measure.build import build
from fiabench.measure.check import check_attention
from tests.ulysses.points import make_case
from tests.ulysses.ranks import run_ranks

GENEROUS = 2.5
"""Times what is really taken: the estimate counts every buffer of a case as alive at once."""
MIB = 2**20

SHAPES: dict[str, dict[str, Any]] = {
    "decode": {"layout": "BSH", "seq_len_q": 1, "seq_len_kv": 65536, "batch": 2, "heads": 16, "kv_heads": 2},
    "full mask": {"seq_len_q": 8192, "heads": 4, "mask": "causal_full"},
    "one head": {"layout": "BSND", "seq_len_q": 49152, "seq_len_kv": 512, "heads": 1, "batch": 2},
}


def peak(groups: Any, device: Any, case: Case) -> int | None:
    device.reset_peak_memory()
    pipeline = build(case, 0, groups, device, {})
    pipeline.run()
    assert check_attention(case, pipeline.attention(), 0)["passed"]
    found: int | None = device.peak_memory()
    return found


@pytest.mark.parametrize("name", SHAPES)
def test_what_a_kernel_takes_is_bounded_from_both_sides(name: str) -> None:
    case = make_case(measure="kernel", op="fia", dtype="bf16", ulysses=1, head_dim=128, threads=2, **SHAPES[name])
    (found,) = run_ranks(1, peak, case)
    if found is None:
        pytest.skip("this system does not let a process reset its peak (/proc/self/clear_refs)")
    estimate = costs.memory_bytes(case)
    print(f"{name}: {found / MIB:.0f} MiB taken, {estimate / MIB:.0f} estimated")
    assert found <= estimate + 32 * MIB, "a case would run out of memory"
    assert estimate <= GENEROUS * (found + 32 * MIB), "a case that fits would be left out"
