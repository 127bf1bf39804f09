"""Words: what a reason comes down to."""

from __future__ import annotations

import pytest
import torch

from fiabench import npu_operator
from fiabench.results.words import essence


def test_of_a_cann_report_it_is_what_the_host_found():
    assert npu_operator.provided()
    query, key = torch.empty(1, 5, 32, 128, dtype=torch.bfloat16), torch.empty(1, 20, 32, 128, dtype=torch.bfloat16)
    with pytest.raises(RuntimeError) as raised:
        torch.ops.npu.npu_fused_infer_attention_score(query, key, key, num_heads=20, input_layout="BNSD")
    wanted = "[CheckQShape] query layout is BNSD, shape [1, 5, 32, 128] should be equal to [1, 20, 32, 128]."
    assert essence(f"rank 0: RuntimeError: {raised.value}") == wanted


@pytest.mark.parametrize(
    ("reason", "wanted"),
    [
        ("rank 1 was killed by SIGKILL", "rank 1 was killed by SIGKILL"),
        ("ValueError: first line\nsecond line", "ValueError: first line"),
        ("EZ9999: Inner Error!\nEZ9999[PID: 1] now (EZ9999):  found wrong", "found wrong"),
        ("", ""),
    ],
)
def test_else_it_is_the_first_line(reason, wanted):
    assert essence(reason) == wanted
