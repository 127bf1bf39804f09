"""What the CUDA implementation asks of torch's kernels, with stand-ins for those on the CPU.

The stand-ins go by torch's schemas and refuse what the CUDA kernels refuse: a negative window, head dims not in steps
of 8, grouped heads under a bias, a bias whose rows are not aligned. They show that the right thing is asked, not that
a GPU answers it.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fiabench.npu_operator import kernels
from fiabench.npu_operator.kernels import attention_cuda
from fiabench.npu_operator.masking import Masking
from tests.npu_operator.reference import attention

LENGTHS = st.integers(1, 20)
TOKENS = st.one_of(st.none(), st.integers(-12, 24))


def flash(query, key, value, cum_q, cum_k, max_q, max_k, dropout, is_causal, debug, *, scale=None, **window):
    """[B, S, N, D]; the window counts from the bottom right, -1 is no limit."""
    left, right = window["window_size_left"], window["window_size_right"]
    seq_q, seq_kv, head_dim = query.size(1), key.size(1), query.size(3)
    assert head_dim == value.size(3)
    assert head_dim % 8 == 0
    assert head_dim <= 256
    assert left >= -1
    assert right >= -1
    assert not is_causal
    distance = torch.arange(seq_kv) - torch.arange(seq_q)[:, None] - (seq_kv - seq_q)
    outside = torch.zeros(seq_q, seq_kv, dtype=torch.bool)
    if left >= 0:
        outside |= distance < -left
    if right >= 0:
        outside |= distance > right
    output, lse = attention(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), outside, scale)
    empty = query.new_empty(0)
    return output.transpose(1, 2).to(query.dtype), lse.float(), empty, empty.clone(), empty.clone()


def efficient(query, key, value, bias, with_lse, dropout=0.0, is_causal=False, *, scale=None):
    """A row without keys is NaN; the log-sum-exp has rows up to a multiple of 32."""
    batch, heads, seq_q, head_dim = query.shape
    assert key.size(1) == heads
    assert head_dim % 8 == 0
    assert bias.shape == (batch, heads, seq_q, key.size(2))
    assert bias.stride(2) % 16 == 0
    assert bias.stride(3) == 1
    assert not is_causal
    output, lse = attention(query, key, value, bias == -torch.inf, scale)
    output[lse == torch.inf] = torch.nan
    rows = torch.full((batch, heads, -(-seq_q // 32) * 32), torch.inf)
    rows[:, :, :seq_q] = lse
    return output.to(query.dtype), rows, torch.zeros((), dtype=torch.int64), torch.zeros((), dtype=torch.int64)


@pytest.fixture(scope="module", autouse=True)
def stand_ins():
    with torch.library._scoped_library("aten", "IMPL") as library:
        library.impl("_flash_attention_forward", flash, "CPU")
        library.impl("_scaled_dot_product_efficient_attention", efficient, "CPU")
        yield


@settings(max_examples=150, deadline=None)
@given(
    seq_q=LENGTHS,
    seq_kv=LENGTHS,
    before=TOKENS,
    after=TOKENS,
    masked=st.sampled_from([None, torch.bool, torch.int8]),
    group=st.integers(1, 3),
    dims=st.sampled_from([(16, 16), (20, 20), (24, 16), (272, 272)]),
    with_lse=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_windows_masks_and_groups_reach_the_kernels_rightly(
    seq_q, seq_kv, before, after, masked, group, dims, with_lse, seed
):
    torch.manual_seed(seed)
    query = torch.randn(2, 2 * group, seq_q, dims[0])
    key, value = torch.randn(2, 2, seq_kv, dims[0]), torch.randn(2, 2, seq_kv, dims[1])
    distance = torch.arange(seq_kv) - torch.arange(seq_q)[:, None]
    outside = torch.zeros(2, 1, seq_q, seq_kv, dtype=torch.bool)
    if before is not None:
        outside |= distance < -before
    if after is not None:
        outside |= distance > after
    hidden = None
    if masked is not None:
        random = torch.rand(2, 1, seq_q, seq_kv) < 0.5
        outside |= random
        hidden = random.to(masked)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "_WINDOW_ROWS", 7)
        patch.setattr(kernels, "_MASK_ELEMENTS", 64)
        output, lse = attention_cuda(query, key, value, Masking(before, after, hidden), 0.2, with_lse)
    expected, expected_lse = attention(query, key, value, outside, 0.2)
    torch.testing.assert_close(output.double(), expected, atol=1e-5, rtol=0)
    if with_lse:
        torch.testing.assert_close(lse.double(), expected_lse, atol=1e-4, rtol=1e-4)
