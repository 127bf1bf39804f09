"""Every sparse mode against masks written out element by element, through the stripes too."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import fiabench.npu_operator
from fiabench.npu_operator import kernels
from fiabench.npu_operator.kernels import attention_cpu
from fiabench.npu_operator.masking import Masking, masking
from fiabench.npu_operator.schema import TOKENS_MAX
from fiabench.npu_operator.stripes import distance_bias
from tests.npu_operator.reference import attention, hidden
from tests.npu_operator.test_values import compressed_mask, fia

pytestmark = pytest.mark.skipif(not fiabench.npu_operator.provided(), reason="torch_npu provides the operator here")

LENGTHS = st.integers(1, 24)
TOKENS = st.one_of(st.none(), st.integers(-30, 30))


def or_no_limit(tokens: int | None) -> int:
    return TOKENS_MAX if tokens is None else tokens


def seen_in_full(mask: Masking, seq_q: int, seq_kv: int) -> torch.Tensor:
    """What `masking` means, by its own fields."""
    distance = torch.arange(seq_kv) - torch.arange(seq_q)[:, None]
    seen = torch.ones(seq_q, seq_kv, dtype=torch.bool)
    if mask.before is not None:
        seen &= distance >= -mask.before
    if mask.after is not None:
        seen &= distance <= mask.after
    if mask.hidden is not None:
        seen &= ~mask.hidden[0, 0]
    return seen


@settings(max_examples=300, deadline=None)
@given(mode=st.integers(0, 4), seq_q=LENGTHS, seq_kv=LENGTHS, pre=TOKENS, following=TOKENS, masked=st.booleans())
def test_a_masking_means_what_the_mode_says(mode, seq_q, seq_kv, pre, following, masked):
    mask = torch.rand(seq_q, seq_kv) < 0.3 if masked or mode == 1 else None
    given_mask = None if mask is None else mask[None, None]
    made = masking(given_mask, mode, seq_q, seq_kv, or_no_limit(pre), or_no_limit(following))
    expected = ~hidden(mode, seq_q, seq_kv, pre, following, mask)
    assert torch.equal(seen_in_full(made, seq_q, seq_kv), expected)


@settings(max_examples=300, deadline=None)
@given(seq_q=LENGTHS, seq_kv=LENGTHS, before=TOKENS, after=TOKENS, data=st.data())
def test_rows_and_keys_of_a_window_are_those_that_see_and_are_seen(seq_q, seq_kv, before, after, data):
    mask = Masking(before, after)
    seen = seen_in_full(mask, seq_q, seq_kv)
    first, end = mask.rows(seq_q, seq_kv)
    assert seen.any(1).tolist() == [first <= row < end for row in range(seq_q)]
    assume(first < end)
    top = data.draw(st.integers(first, end - 1))
    bottom = data.draw(st.integers(top + 1, end))
    start, stop = mask.keys(top, bottom, seq_kv)
    columns = seen[top:bottom].any(0).nonzero().flatten().tolist()
    assert (start, stop) == (columns[0], columns[-1] + 1)
    inner = mask.within((top, bottom), (start, stop))
    assert torch.equal(seen_in_full(inner, bottom - top, stop - start), seen[top:bottom, start:stop])
    if inner.plain:
        assert seen[top:bottom, start:stop].all() or inner.after == 0


@given(seq_q=LENGTHS, seq_kv=LENGTHS, before=TOKENS, after=TOKENS)
def test_the_bias_by_distance_is_the_window_upside_down(seq_q, seq_kv, before, after):
    mask = Masking(before, after)
    bias = distance_bias(mask, seq_q, seq_kv, torch.float32, torch.device("cpu"))
    assert torch.equal(bias[0, 0].flip(0) == 0, seen_in_full(mask, seq_q, seq_kv))
    assert bias.untyped_storage().nbytes() == 4 * (seq_q + seq_kv - 1)


@pytest.mark.slow
@settings(max_examples=120, deadline=None)
@given(
    mode=st.integers(0, 4),
    seq_q=st.integers(2, 40),
    seq_kv=st.integers(1, 40),
    pre=TOKENS,
    following=TOKENS,
    masked=st.booleans(),
    group=st.integers(1, 2),
    rows=st.integers(1, 50),
    seed=st.integers(0, 2**31),
)
def test_every_mode_through_stripes_of_any_height(mode, seq_q, seq_kv, pre, following, masked, group, rows, seed):
    """Heights that the real sizes would take are put in for small ones."""
    torch.manual_seed(seed)
    query = torch.randn(2, 2 * group, seq_q, 16)
    key, value = torch.randn(2, 2, 2, seq_kv, 16)
    mask = torch.rand(seq_q, seq_kv) < 0.6 if masked or mode == 1 else None
    given_mask = None if mask is None else mask[None, None]
    made = masking(given_mask, mode, seq_q, seq_kv, or_no_limit(pre), or_no_limit(following))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "_WINDOW_ROWS", rows)
        patch.setattr(kernels, "_MASK_ELEMENTS", 0)
        patch.setattr(kernels, "_MASK_STRIPES", 1 + rows % 7)
        output, lse = attention_cpu(query, key, value, made, 0.25, True)
    expected, expected_lse = attention(query, key, value, hidden(mode, seq_q, seq_kv, pre, following, mask), 0.25)
    torch.testing.assert_close(output.double(), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(lse.double(), expected_lse, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("seq_q", "seq_kv"), [(1500, 1500), (700, 1900), (1900, 700)])
@pytest.mark.parametrize(("mode", "pre", "following"), [(2, None, None), (3, None, None), (4, 40, -3), (4, -600, 650)])
def test_long_sequences_span_the_kernels_blocks(seq_q, seq_kv, mode, pre, following):
    """Whole blocks of the kernel are hidden from rows that see later ones: a naive running maximum gives NaN there."""
    torch.manual_seed(0)
    query = torch.randn(1, 2, seq_q, 32).half()
    key, value = torch.randn(2, 1, 1, seq_kv, 32).half()
    tokens = {} if pre is None else {"pre_tokens": pre, "next_tokens": following}
    output, _ = fia(query, key, value, "BNSD", atten_mask=compressed_mask(), sparse_mode=mode, scale=0.2, **tokens)
    distance = torch.arange(seq_kv) - torch.arange(seq_q)[:, None] - (0 if mode == 2 else seq_kv - seq_q)
    beyond = distance > (following or 0)
    if pre is not None:
        beyond |= distance < -pre
    expected, _ = attention(query, key, value, beyond, 0.2)
    torch.testing.assert_close(output.double(), expected, atol=3e-3, rtol=0)


def test_a_mask_with_a_head_axis():
    """The siblings pass such masks; this operator's documentation has none."""
    query = torch.randn(2, 4, 30, 16)
    mask = torch.rand(2, 4, 30, 30) < 0.5
    output, lse = attention_cpu(query, query, query, Masking(hidden=mask), 0.25, True)
    expected, expected_lse = attention(query, query, query, mask, 0.25)
    torch.testing.assert_close(output.double(), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(lse.double(), expected_lse, atol=1e-4, rtol=1e-4)
