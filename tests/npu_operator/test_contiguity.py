"""Inputs that are not contiguous are copied and counted; in strict mode they are refused."""

from __future__ import annotations

import pytest
import torch

import fiabench.npu_operator
from fiabench.npu_operator import contiguity
from tests.npu_operator.reference import attention

pytestmark = pytest.mark.skipif(not fiabench.npu_operator.provided(), reason="torch_npu provides the operator here")


@pytest.fixture
def strided():
    """As sglang hands them: [B, S, N, D] transposed to BNSD without a copy."""
    return torch.randn(1, 7, 3, 16).half().transpose(1, 2)


def call(tensor: torch.Tensor, layout: str = "BNSD", **arguments):
    heads = 3
    return torch.ops.npu.npu_fused_infer_attention_score(
        tensor, tensor, tensor, num_heads=heads, input_layout=layout, scale=0.25, **arguments
    )


def test_strided_inputs_are_copied_counted_and_right(strided):
    contiguity.reset()
    output, _ = call(strided)
    assert output.is_contiguous()
    torch.testing.assert_close(output.double(), attention(strided, strided, strided, None, 0.25)[0], atol=3e-3, rtol=0)
    assert contiguity.copies() == (3, 3 * 7 * 3 * 16 * 2)
    contiguity.reset()
    assert contiguity.copies() == (0, 0)


def test_a_strided_mask_counts_too():
    contiguity.reset()
    mask = torch.zeros(7, 7, dtype=torch.bool).expand(1, 1, 7, 7)
    call(torch.randn(1, 3, 7, 16).half(), atten_mask=mask.transpose(2, 3))
    assert contiguity.copies() == (1, 49)


@pytest.mark.parametrize("layout", ["BNSD", "BSND", "BSH", "BNSD_BSND"])
def test_contiguous_inputs_reach_the_kernel_without_a_copy(layout, monkeypatch):
    """Views of what was passed, in every layout: the same memory arrives."""
    from fiabench.npu_operator import implementation

    arrived = []

    def kernel(query, key, value, mask, scale, with_lse):
        arrived.extend([query, key, value])
        return torch.zeros(query.shape, dtype=query.dtype), None

    shape = {"BNSD": (2, 3, 7, 16), "BNSD_BSND": (2, 3, 7, 16), "BSND": (2, 7, 3, 16), "BSH": (2, 7, 48)}[layout]
    tensors = torch.randn(3, *shape).half().unbind()
    contiguity.reset()
    operator = implementation.implementation(kernel)
    operator(*tensors, num_heads=3, input_layout=layout)
    assert [tensor.data_ptr() for tensor in arrived] == [tensor.data_ptr() for tensor in tensors]
    assert contiguity.copies() == (0, 0)


def test_strict_mode_refuses_what_is_not_contiguous_and_no_more(strided, monkeypatch):
    with contiguity.strict():
        call(strided.contiguous())
        with pytest.raises(RuntimeError, match=r"^fiabench: query is not contiguous .* strict mode refuses it"):
            call(strided)
    call(strided)
    monkeypatch.setenv("FIABENCH_STRICT_CONTIGUITY", "1")
    with pytest.raises(RuntimeError, match=r"^fiabench: query is not contiguous"):
        call(strided)
