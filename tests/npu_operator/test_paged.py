"""Paged keys and values: the same attention as of the tokens laid end to end, from the blocks in the table alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import fiabench.npu_operator
from fiabench.npu_operator.paged import gather
from tests.npu_operator.reference import attention, hidden
from tests.npu_operator.test_values import compressed_mask

pytestmark = pytest.mark.skipif(not fiabench.npu_operator.provided(), reason="torch_npu provides the operator here")

BLOCK = 128


def paged(tensor: torch.Tensor, table: torch.Tensor, cache_layout: str, block_size: int = BLOCK) -> torch.Tensor:
    """A cache of [B, N, S, D]; blocks and tokens that nobody owns hold NaN."""
    batch, heads, tokens, dim = tensor.shape
    shapes = {
        "BBH": (block_size, heads * dim),
        "BNBD": (heads, block_size, dim),
        "NZ": (heads, dim // 16, block_size, 16),
    }
    cache = torch.full((int(table.max()) + 2, *shapes[cache_layout]), torch.nan, dtype=tensor.dtype)
    for entry in range(batch):
        for index, start in enumerate(range(0, tokens, block_size)):
            rows = tensor[entry, :, start : start + block_size]
            block = cache[int(table[entry, index])]
            if cache_layout == "BBH":
                block[: rows.size(1)] = rows.transpose(0, 1).flatten(1)
            elif cache_layout == "BNBD":
                block[:, : rows.size(1)] = rows
            else:
                block[:, :, : rows.size(1)] = rows.unflatten(2, (-1, 16)).transpose(1, 2)
    return cache


@pytest.mark.parametrize("cache_layout", ["BBH", "BNBD", "NZ"])
def test_an_entry_is_gathered_from_the_blocks_that_it_needs(cache_layout):
    tokens = torch.randn(2, 3, 10, 32)
    table = torch.tensor([[4, 1, 0], [2, 5, 3]], dtype=torch.int32)
    cache = paged(tokens, table, cache_layout, block_size=4)
    for entry in range(2):
        for length in (1, 4, 5, 10):
            found = gather(cache, table[entry], length, 4, 3, cache_layout)
            assert torch.equal(found, tokens[entry, :, :length])
    unused = torch.tensor([4, 99, -1], dtype=torch.int32)
    assert torch.equal(gather(cache, unused, 4, 4, 3, cache_layout), tokens[0, :, :4])
    with pytest.raises(RuntimeError, match="fiabench: block_table names blocks that the cache of 7 does not have"):
        gather(cache, unused, 5, 4, 3, cache_layout)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 2 * BLOCK), min_size=1, max_size=3),
    form=st.sampled_from(
        [("BSH", "BBH"), ("BSND", "BBH"), ("BNSD", "BBH"), ("BNSD", "BNBD"), ("TND", "BBH"), ("TND", "BNBD")]
    ),
    seq_q=st.sampled_from([1, 1, 5]),
    group=st.sampled_from([1, 4]),
    causal=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_paged_attention_is_that_of_the_tokens_end_to_end(lengths, form, seq_q, group, causal, seed):
    torch.manual_seed(seed)
    layout, cache_layout = form
    batch, heads = len(lengths), 2 * group
    query = torch.randn(batch, heads, seq_q, 64).half()
    key, value = torch.randn(2, batch, 2, 2 * BLOCK, 64).half()
    table = torch.randperm(2 * batch + 3)[: 2 * batch].reshape(batch, 2).int()
    causal = causal and (seq_q > 1 or layout == "TND")  # else the host reads any mask in mode 0
    arguments = {"atten_mask": compressed_mask(), "sparse_mode": 3} if causal else {}
    tokens_first = query.transpose(1, 2)
    shapes = {
        "BNSD": query,
        "BSND": tokens_first.contiguous(),
        "BSH": tokens_first.flatten(2),
        "TND": tokens_first.flatten(0, 1),
    }
    if layout == "TND":
        arguments["actual_seq_lengths"] = [seq_q * (entry + 1) for entry in range(batch)]
    output, _ = torch.ops.npu.npu_fused_infer_attention_score(
        shapes[layout],
        paged(key, table, cache_layout),
        paged(value, table, cache_layout),
        num_heads=heads,
        num_key_value_heads=2,
        input_layout=layout,
        scale=0.2,
        block_table=table,
        block_size=BLOCK,
        actual_seq_lengths_kv=lengths,
        **arguments,
    )
    found = output if layout == "BNSD" else output.reshape(batch, seq_q, heads, 64).transpose(1, 2)
    for entry, keys in enumerate(lengths):
        mask = hidden(3, seq_q, keys) if causal else None
        whole = (query[entry, None], key[entry, None, :, :keys], value[entry, None, :, :keys])
        torch.testing.assert_close(found[entry].double(), attention(*whole, mask, 0.2)[0][0], atol=3e-3, rtol=0)
