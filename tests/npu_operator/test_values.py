"""The provided operator against float64 attention: a wrong scale, head group, mask or layout fails here."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import fiabench.npu_operator
from fiabench.npu_operator.attend import DECODE_EMPTY_LSE
from fiabench.npu_operator.schema import LAYOUTS
from tests.npu_operator.reference import TOLERANCE, attention, from_layout, hidden, to_layout

pytestmark = pytest.mark.skipif(not fiabench.npu_operator.provided(), reason="torch_npu provides the operator here")

PADDED = ["BNSD", "BSND", "BSH", "BNSD_BSND", "BNSD_NBSD", "BSH_BNSD", "BSND_BNSD"]
MASKS = ["none", "2d", "3d", "3d shared", "4d", "4d shared", "larger", "mode 1", "mode 2", "mode 3", "mode 4"]


def fia(query, key, value, layout, **arguments):
    """The operator on [B, N, S, D] tensors, through ``layout`` and back."""
    heads, kv_heads = query.size(1), key.size(1)
    axes = LAYOUTS[layout]
    output, lse = torch.ops.npu.npu_fused_infer_attention_score(
        *(to_layout(tensor, axes.query) for tensor in (query, key, value)),
        num_heads=heads,
        num_key_value_heads=kv_heads,
        input_layout=layout,
        **arguments,
    )
    assert output.is_contiguous()
    return from_layout(output, axes.output, heads), lse


def compressed_mask(dtype: torch.dtype = torch.bool) -> torch.Tensor:
    return torch.ones(2048, 2048, dtype=torch.bool).triu_(1).to(dtype)


def make_mask(kind: str, dtype: torch.dtype, batch: int, seq_q: int, seq_kv: int):
    """Arguments for the operator and the [.., Sq, Skv] mask that they mean."""
    if kind == "none":
        return {}, None
    if kind in ("mode 2", "mode 3", "mode 4"):
        mode, tokens = int(kind[-1]), {}
        if mode == 4:
            tokens = {"pre_tokens": 3 + seq_kv // 4, "next_tokens": -1}
        return {"atten_mask": compressed_mask(dtype), "sparse_mode": mode, **tokens}, hidden(
            mode, seq_q, seq_kv, *tokens.values()
        )
    shape = {
        "2d": (seq_q, seq_kv),
        "3d": (batch, seq_q, seq_kv),
        "3d shared": (1, seq_q, seq_kv),
        "4d": (batch, 1, seq_q, seq_kv),
        "4d shared": (1, 1, seq_q, seq_kv),
        "larger": (seq_q + 3, seq_kv + 16),
        "mode 1": (1, 1, seq_q, seq_kv),
    }[kind]
    mask = torch.rand(shape) < 0.4
    meant = mask[..., :seq_q, :seq_kv]
    if mask.dim() == 3:
        meant = meant[:, None]
    return {"atten_mask": mask.to(dtype), "sparse_mode": int(kind == "mode 1")}, meant


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
    layout=st.sampled_from(PADDED),
    mask=st.sampled_from(MASKS),
    mask_dtype=st.sampled_from([torch.bool, torch.int8, torch.uint8]),
    with_lse=st.booleans(),
    inner_precise=st.integers(0, 3),
    seed=st.integers(0, 2**31),
)
def test_output_and_lse_match_float64(
    batch,
    kv_heads,
    group,
    seq_q,
    seq_kv,
    head_dim,
    dtype,
    layout,
    mask,
    mask_dtype,
    with_lse,
    inner_precise,
    seed,
):
    if layout in ("BSH_BNSD", "BSND_BNSD"):
        assume(head_dim in (64, 128) and mask not in ("2d", "larger"))  # the host refuses others there
    torch.manual_seed(seed)
    query = torch.randn(batch, kv_heads * group, seq_q, head_dim).to(dtype)
    key, value = torch.randn(2, batch, kv_heads, seq_kv, head_dim).to(dtype)
    arguments, meant = make_mask(mask, mask_dtype, batch, seq_q, seq_kv)
    scale = head_dim**-0.5
    arguments |= {"scale": scale, "softmax_lse_flag": with_lse, "inner_precise": inner_precise}
    output, lse = fia(query, key, value, layout, **arguments)
    expected, expected_lse = attention(query, key, value, meant, scale)
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


def test_rows_without_keys_are_zero_and_their_lse_is_infinite():
    query = torch.randn(1, 2, 5, 16).half()
    mask = torch.zeros(5, 5, dtype=torch.bool)
    mask[2] = True
    output, lse = fia(query, query, query, "BNSD", atten_mask=mask, softmax_lse_flag=True)
    assert output[:, :, 2].abs().max() == 0
    assert (lse[:, :, 2] == torch.inf).all()
    assert lse[:, :, :2].isfinite().all()
    assert not output.isnan().any()


def test_a_value_head_dim_of_128_beside_192():
    query, key = torch.randn(1, 4, 9, 192).half(), torch.randn(1, 2, 11, 192).half()
    value = torch.randn(1, 2, 11, 128).half()
    output, lse = fia(query, key, value, "BSND", scale=0.07, softmax_lse_flag=True)
    expected, expected_lse = attention(query, key, value, None, 0.07)
    torch.testing.assert_close(output.double(), expected, atol=3e-3, rtol=0)
    torch.testing.assert_close(lse.double(), expected_lse.unsqueeze(-1), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("layout", ["BNSD", "BSND", "BSH"])
def test_one_query_token_ignores_mode_and_tokens_and_reads_the_mask_by_batch(layout):
    """Decode: the host overwrites sparse_mode and the token limits, and a 2-D mask is [B, Skv]."""
    query = torch.randn(2, 4, 1, 80).half()
    key, value = torch.randn(2, 2, 2, 9, 80).half()
    mask = torch.rand(2, 9) < 0.4
    output, _ = fia(query, key, value, layout, atten_mask=mask, sparse_mode=3, pre_tokens=0, next_tokens=0)
    expected, _ = attention(query, key, value, mask[:, None, None], 1.0)
    torch.testing.assert_close(output.double(), expected, atol=5e-3, rtol=0)


def test_one_query_token_without_keys_has_the_decoding_paths_lse():
    query = torch.randn(2, 2, 1, 64).half()
    key = torch.randn(2, 2, 7, 64).half()
    output, lse = fia(query, key, key, "BSND", actual_seq_lengths_kv=[0, 7], softmax_lse_flag=True)
    assert output[0].abs().max() == 0
    assert (lse[0] == torch.tensor(DECODE_EMPTY_LSE)).all()
    assert (lse[1].abs() < 1e3).all()


def test_mode_0_without_a_mask_attends_to_all_whatever_the_token_limits():
    query = torch.randn(1, 1, 6, 16).half()
    limited, _ = fia(query, query, query, "BNSD", pre_tokens=0, next_tokens=0)
    free, _ = fia(query, query, query, "BNSD")
    assert torch.equal(limited, free)


def test_modes_1_to_3_ignore_the_token_limits():
    query = torch.randn(1, 1, 6, 16).half()
    for mode, mask in ((1, torch.rand(6, 6) < 0.4), (2, compressed_mask()), (3, compressed_mask())):
        limited, _ = fia(query, query, query, "BNSD", atten_mask=mask, sparse_mode=mode, pre_tokens=-5, next_tokens=-7)
        free, _ = fia(query, query, query, "BNSD", atten_mask=mask, sparse_mode=mode)
        assert torch.equal(limited, free)
