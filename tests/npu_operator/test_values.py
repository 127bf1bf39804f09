"""The provided operator against float64 attention: a wrong scale, head group, mask or layout fails here."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import fiabench.npu_operator
from tests.npu_operator.reference import TOLERANCE, attention, causal, from_layout, to_layout

pytestmark = pytest.mark.skipif(not fiabench.npu_operator.provided(), reason="torch_npu provides the operator here")

MASKS = ["none", "2d", "3d", "3d shared", "4d", "4d shared", "larger", "mode 2", "mode 3"]


def fia(query, key, value, layout, **arguments):
    """The operator on [B, N, S, D] tensors, through ``layout`` and back."""
    heads, kv_heads = query.size(1), key.size(1)
    output, lse = torch.ops.npu.npu_fused_infer_attention_score(
        *(to_layout(tensor, layout) for tensor in (query, key, value)),
        num_heads=heads,
        num_key_value_heads=kv_heads,
        input_layout=layout,
        **arguments,
    )
    assert output.is_contiguous()
    return from_layout(output, layout), lse


def compressed_mask(dtype: torch.dtype = torch.bool) -> torch.Tensor:
    return torch.ones(2048, 2048, dtype=torch.bool).triu_(1).to(dtype)


def make_mask(kind: str, dtype: torch.dtype, batch: int, seq_q: int, seq_kv: int):
    """Arguments for the operator and the [.., Sq, Skv] mask that they mean."""
    if kind == "none":
        return {}, None
    if kind.startswith("mode"):
        mode = int(kind[-1])
        return {"atten_mask": compressed_mask(dtype), "sparse_mode": mode}, causal(seq_q, seq_kv, mode == 3)
    shape = {
        "2d": (seq_q, seq_kv),
        "3d": (batch, seq_q, seq_kv),
        "3d shared": (1, seq_q, seq_kv),
        "4d": (batch, 1, seq_q, seq_kv),
        "4d shared": (1, 1, seq_q, seq_kv),
        "larger": (seq_q + 3, seq_kv + 16),
    }[kind]
    mask = torch.rand(shape) < 0.4
    meant = mask[..., :seq_q, :seq_kv]
    if mask.dim() == 3:
        meant = meant[:, None]
    return {"atten_mask": mask.to(dtype)}, meant


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    batch=st.integers(1, 3),
    kv_heads=st.integers(1, 3),
    group=st.integers(1, 4),
    seq_q=st.integers(2, 70),
    seq_kv=st.integers(1, 70),
    head_dim=st.sampled_from([16, 64, 80, 128]),
    dtype=st.sampled_from([torch.bfloat16, torch.float16]),
    layout=st.sampled_from(["BNSD", "BSND"]),
    mask=st.sampled_from(MASKS),
    mask_dtype=st.sampled_from([torch.bool, torch.int8, torch.uint8]),
    with_lse=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_output_and_lse_match_float64(
    batch, kv_heads, group, seq_q, seq_kv, head_dim, dtype, layout, mask, mask_dtype, with_lse, seed
):
    torch.manual_seed(seed)
    query = torch.randn(batch, kv_heads * group, seq_q, head_dim).to(dtype)
    key, value = torch.randn(2, batch, kv_heads, seq_kv, head_dim).to(dtype)
    arguments, hidden = make_mask(mask, mask_dtype, batch, seq_q, seq_kv)
    scale = head_dim**-0.5
    output, lse = fia(query, key, value, layout, scale=scale, softmax_lse_flag=with_lse, **arguments)
    expected, expected_lse = attention(query, key, value, hidden, scale)
    torch.testing.assert_close(output.double(), expected, atol=TOLERANCE[dtype], rtol=0)
    assert output.dtype == dtype
    assert lse.dtype == torch.float32
    if with_lse:
        assert lse.is_contiguous()
        torch.testing.assert_close(lse.double(), expected_lse.unsqueeze(-1), atol=1e-3, rtol=1e-3)
    else:
        assert lse.shape == (0,)


def test_grouped_heads_take_their_own_kv_head():
    """Heads 0 and 1 belong to kv head 0, 2 and 3 to kv head 1: not interleaved."""
    query = torch.randn(1, 4, 8, 16).half()
    key = torch.randn(1, 2, 8, 16).half()
    value = torch.stack([torch.zeros(8, 16), torch.ones(8, 16)])[None].half()
    output, _ = fia(query, key, value, "BNSD", scale=0.25)
    assert [round(float(output[0, head].mean()), 3) for head in range(4)] == [0.0, 0.0, 1.0, 1.0]


def test_scale_defaults_to_one_and_layout_counts():
    """The schema's default scale is 1, not 1/sqrt(D): a caller that forgets it gets what the NPU gives."""
    query = torch.randn(1, 2, 8, 16).half()
    output, _ = fia(query, query, query, "BSND")
    torch.testing.assert_close(output.double(), attention(query, query, query, None, 1.0)[0], atol=3e-3, rtol=0)


def test_rows_without_keys_are_zero():
    query = torch.randn(1, 2, 5, 16).half()
    hidden = torch.zeros(5, 5, dtype=torch.bool)
    hidden[2] = True
    output, lse = fia(query, query, query, "BNSD", atten_mask=hidden, softmax_lse_flag=True)
    assert output[:, :, 2].abs().max() == 0
    assert (lse[:, :, 2] == torch.inf).all()
    assert not output.isnan().any()


@pytest.mark.parametrize("layout", ["BNSD", "BSND"])
def test_one_query_token_ignores_mode_and_tokens_and_reads_the_mask_by_batch(layout):
    """Decode: the host overwrites sparse_mode and the token limits, and a 2-D mask is [B, Skv]."""
    query = torch.randn(2, 4, 1, 72).half()
    key, value = torch.randn(2, 2, 2, 9, 72).half()
    hidden = torch.rand(2, 9) < 0.4
    output, _ = fia(query, key, value, layout, atten_mask=hidden, sparse_mode=3, pre_tokens=0, next_tokens=0)
    expected, _ = attention(query, key, value, hidden[:, None, None], 1.0)
    torch.testing.assert_close(output.double(), expected, atol=5e-3, rtol=0)


def test_mode_0_without_a_mask_attends_to_all_whatever_the_token_limits():
    query = torch.randn(1, 1, 6, 16).half()
    limited, _ = fia(query, query, query, "BNSD", pre_tokens=0, next_tokens=0)
    free, _ = fia(query, query, query, "BNSD")
    assert torch.equal(limited, free)


def test_modes_2_and_3_ignore_the_token_limits():
    query = torch.randn(1, 1, 6, 16).half()
    mask = compressed_mask()
    limited, _ = fia(query, query, query, "BNSD", atten_mask=mask, sparse_mode=3, pre_tokens=-5, next_tokens=-7)
    free, _ = fia(query, query, query, "BNSD", atten_mask=mask, sparse_mode=3)
    assert torch.equal(limited, free)


def test_strided_inputs_are_accepted_and_the_output_is_contiguous():
    """As sglang hands them: [B, S, N, D] transposed to BNSD without a copy."""
    query = torch.randn(1, 7, 3, 16).half().transpose(1, 2)
    output, _ = torch.ops.npu.npu_fused_infer_attention_score(
        query, query, query, num_heads=3, input_layout="BNSD", scale=0.25
    )
    assert output.is_contiguous()
    torch.testing.assert_close(output.double(), attention(query, query, query, None, 0.25)[0], atol=3e-3, rtol=0)
