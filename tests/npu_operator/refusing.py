"""Calls that the operator refuses, as tables: name -> ((query, other arguments), text)."""

from __future__ import annotations

import pytest
import torch

import fiabench.npu_operator

Case = tuple[tuple[torch.Tensor, dict], str]

provided = pytest.mark.skipif(not fiabench.npu_operator.provided(), reason="torch_npu provides the operator here")


def half(*shape: int) -> torch.Tensor:
    return torch.empty(*shape, dtype=torch.float16)


def mask(*shape: int) -> torch.Tensor:
    return torch.zeros(*shape, dtype=torch.bool)


def refusal(query, key=None, value=None, **arguments) -> str:
    """What the operator says; key and value are the query where they are not given."""
    arguments = {"input_layout": "BNSD", "num_heads": 4, **arguments}
    key = query if key is None else key
    with pytest.raises(RuntimeError) as error:
        torch.ops.npu.npu_fused_infer_attention_score(query, key, key if value is None else value, **arguments)
    return str(error.value)


def cases(*tables: dict[str, Case]) -> list:
    return [pytest.param(*call, text, id=name) for table in tables for name, (call, text) in table.items()]
