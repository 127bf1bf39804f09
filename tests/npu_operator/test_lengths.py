"""Batch entries of their own lengths, padded or packed, against float64 attention of each entry alone."""

from __future__ import annotations

from itertools import accumulate

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import fiabench.npu_operator
from tests.npu_operator.reference import TOLERANCE, attention, hidden
from tests.npu_operator.test_values import compressed_mask, fia

pytestmark = pytest.mark.skipif(not fiabench.npu_operator.provided(), reason="torch_npu provides the operator here")

MODES = st.sampled_from([None, 0, 1, 2, 3, 4])
BAND = {"pre_tokens": 7, "next_tokens": 2}


def arguments_of(mode: int | None, seq_q: int, seq_kv: int) -> tuple[dict, torch.Tensor | None]:
    """Arguments for a mode (None: no mask) and the mask [seq_q, seq_kv] that modes 0 and 1 take."""
    if mode is None:
        return {}, None
    if mode in (0, 1):
        mask = torch.rand(seq_q, seq_kv) < 0.3
        return {"atten_mask": mask[None, None], "sparse_mode": mode, **BAND}, mask
    return {"atten_mask": compressed_mask(), "sparse_mode": mode, **BAND}, None


def entry_hidden(mode: int | None, seq_q: int, seq_kv: int, mask: torch.Tensor | None) -> torch.Tensor | None:
    """What an entry of these lengths may not see: alignment follows the entry, a mask counts from its first token."""
    return None if mode is None else hidden(mode, seq_q, seq_kv, *BAND.values(), mask)


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(
    lengths=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=4),
    mode=MODES,
    layout=st.sampled_from(["BNSD", "BSND", "BSH", "BNSD_BSND"]),
    group=st.integers(1, 3),
    which=st.sampled_from(["both", "q", "kv"]),
    seed=st.integers(0, 2**31),
)
def test_padded_entries_end_at_their_length(lengths, mode, layout, group, which, seed):
    torch.manual_seed(seed)
    seq_q, seq_kv, batch = 12, 13, len(lengths)
    query = torch.randn(batch, 2 * group, seq_q, 64).half()
    key, value = torch.randn(2, batch, 2, seq_kv, 64).half()
    lengths_q = [seq_q if which == "kv" else length for length, _ in lengths]
    lengths_kv = [seq_kv if which == "q" else length for _, length in lengths]
    arguments, mask = arguments_of(mode, seq_q, seq_kv)
    if which != "kv":
        arguments["actual_seq_lengths"] = lengths_q
    if which != "q":
        arguments["actual_seq_lengths_kv"] = lengths_kv
    output, lse = fia(query, key, value, layout, scale=0.2, softmax_lse_flag=True, **arguments)
    assert lse.shape == (batch, 2 * group, seq_q, 1)
    for entry, (rows, keys) in enumerate(zip(lengths_q, lengths_kv)):
        assert output[entry, :, rows:].abs().sum() == 0
        assert (lse[entry, :, rows:] == torch.inf).all()
        whole = (query[entry, None, :, :rows], key[entry, None, :, :keys], value[entry, None, :, :keys])
        expected, expected_lse = attention(*whole, entry_hidden(mode, rows, keys, mask), 0.2)
        torch.testing.assert_close(output[entry, :, :rows].double(), expected[0], atol=3e-3, rtol=0)
        torch.testing.assert_close(lse[entry, :, :rows, 0].double(), expected_lse[0], atol=1e-3, rtol=1e-3)


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(
    lengths=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=5),
    mode=MODES,
    layout=st.sampled_from(["TND", "NTD_TND", "NTD"]),
    group=st.integers(1, 3),
    dtype=st.sampled_from([torch.float16, torch.bfloat16]),
    seed=st.integers(0, 2**31),
)
def test_packed_entries_are_each_an_attention_of_its_own(lengths, mode, layout, group, dtype, seed):
    torch.manual_seed(seed)
    lengths = [*lengths, (5, 6)]  # an empty query or key is refused
    tokens_q, tokens_kv = (list(accumulate(column)) for column in zip(*lengths))
    query = torch.randn(2 * group, tokens_q[-1], 64).to(dtype)
    key, value = torch.randn(2, 2, tokens_kv[-1], 64).to(dtype)
    arguments, mask = arguments_of(mode, max(rows for rows, _ in lengths), max(keys for _, keys in lengths))
    given_tensors = [query, key, value]
    if layout == "TND":
        given_tensors = [tensor.transpose(0, 1).contiguous() for tensor in given_tensors]
    output, lse = torch.ops.npu.npu_fused_infer_attention_score(
        *given_tensors,
        num_heads=2 * group,
        num_key_value_heads=2,
        input_layout=layout,
        scale=0.2,
        softmax_lse_flag=True,
        actual_seq_lengths=tokens_q,
        actual_seq_lengths_kv=tokens_kv,
        **arguments,
    )
    assert output.is_contiguous()
    found = output if layout == "NTD" else output.transpose(0, 1)
    assert lse.shape == (tokens_q[-1], 2 * group, 1)
    for end_q, end_kv, (rows, keys) in zip(tokens_q, tokens_kv, lengths):
        own_q, own_kv = slice(end_q - rows, end_q), slice(end_kv - keys, end_kv)
        whole = (query[None, :, own_q], key[None, :, own_kv], value[None, :, own_kv])
        expected, expected_lse = attention(*whole, entry_hidden(mode, rows, keys, mask), 0.2)
        torch.testing.assert_close(found[:, own_q].double(), expected[0], atol=TOLERANCE[dtype], rtol=0)
        torch.testing.assert_close(lse[own_q, :, 0].double().T, expected_lse[0], atol=1e-3, rtol=1e-3)


def test_lengths_of_a_decode_step():
    """One query token each, keys of different lengths; a length of the query itself has no effect there."""
    query = torch.randn(3, 8, 1, 128).half()
    key, value = torch.randn(2, 3, 2, 40, 128).half()
    lengths = [40, 17, 1]
    output, _ = fia(query, key, value, "BSH", scale=0.1, actual_seq_lengths=[1, 1, 1], actual_seq_lengths_kv=lengths)
    for entry, keys in enumerate(lengths):
        whole = (query[entry, None], key[entry, None, :, :keys], value[entry, None, :, :keys])
        torch.testing.assert_close(output[entry].double(), attention(*whole, None, 0.1)[0][0], atol=3e-3, rtol=0)


def test_equal_neighbours_share_a_kernel_call(monkeypatch):
    calls = []
    kernel = torch.nn.functional.scaled_dot_product_attention

    def counted(query, key, value, mask, scale, with_lse):
        calls.append((query.size(0), query.size(2), key.size(2)))
        return kernel(query, key, value, scale=scale), None

    from fiabench.npu_operator.implementation import implementation

    query = torch.randn(4, 2, 8, 64).half()
    operator = implementation(counted)
    operator(query, query, query, num_heads=2, input_layout="BNSD", actual_seq_lengths_kv=[8, 8, 3, 3])
    operator(query, query, query, num_heads=2, input_layout="BNSD", actual_seq_lengths_kv=[8])
    assert calls == [(2, 8, 8), (2, 8, 3), (4, 8, 8)]
