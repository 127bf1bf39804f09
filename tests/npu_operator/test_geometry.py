"""Calls that every check lets pass, and what the checks read in them."""

from __future__ import annotations

import pytest
import torch

from fiabench.npu_operator.checks import check_host
from fiabench.npu_operator.schema import LAYOUTS, TOKENS_MAX
from tests.npu_operator.refusing import half, mask, provided

DEFAULTS = {
    "num_heads": 4,
    "num_key_value_heads": 0,
    "input_layout": "BNSD",
    "sparse_mode": 0,
    "pre_tokens": TOKENS_MAX,
    "next_tokens": TOKENS_MAX,
    "inner_precise": 0,
    "actual_seq_lengths": None,
    "actual_seq_lengths_kv": None,
    "block_table": None,
    "block_size": 0,
    "softmax_lse_flag": False,
}


def geometry(query, key=None, value=None, atten_mask=None, **arguments):
    key = query if key is None else key
    return check_host(query, key, key if value is None else value, atten_mask, **{**DEFAULTS, **arguments})


def tensor(axes: str, **sizes: int) -> torch.Tensor:
    sizes["H"] = sizes["N"] * sizes["D"]
    return half(*(sizes[axis] for axis in axes))


# The host takes these with rope alone, and rope is not emulated.
WITH_ROPE = ("BSH_NBSD", "BSND_NBSD", "TND_NTD")


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name not in (*WITH_ROPE, "NSD")])
def test_every_layout_is_read(layout):
    axes = LAYOUTS[layout].query
    lists = {}
    if "T" in axes:
        lists = {"actual_seq_lengths": [3, 5, 12], "actual_seq_lengths_kv": [4, 4, 20]}
    read = geometry(
        tensor(axes, B=3, N=4, S=7, D=64, T=12),
        tensor(axes, B=3, N=2, S=16, D=64, T=20),
        input_layout=layout,
        num_key_value_heads=2,
        **lists,
    )
    assert (read.layout, read.batch, read.heads, read.kv_heads) == (layout, 3, 4, 2)
    assert (read.head_dim, read.value_dim, read.seq_q, read.seq_kv) == (64, 64, 7, 16)
    expected = ((3, 2, 7), (4, 0, 16)) if "T" in axes else (None, None)
    assert (read.lengths_q, read.lengths_kv) == expected
    assert (read.block_size, read.cache_layout) == (0, "")


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name not in (*WITH_ROPE, "NSD")])
def test_a_value_head_dim_of_128_goes_with_192(layout):
    axes = LAYOUTS[layout].query
    lists = {"actual_seq_lengths": [12], "actual_seq_lengths_kv": [12]} if "T" in axes else {}
    query, value = (tensor(axes, B=1, N=4, S=12, D=dim, T=12) for dim in (192, 128))
    read = geometry(query, value=value, input_layout=layout, **lists)
    assert (read.head_dim, read.value_dim) == (192, 128)


def test_bsh_with_a_wrong_but_divisible_head_count_passes_every_check():
    """BSH has no head axis: 4 heads of 32 read as 8 of 16 are regrouped in silence, here as on an NPU.

    Only a comparison with the right result can tell.
    """
    query = half(2, 6, 128)
    right, wrong = (geometry(query, input_layout="BSH", num_heads=heads) for heads in (4, 8))
    assert (right.heads, right.head_dim) == (4, 32)
    assert (wrong.heads, wrong.head_dim) == (8, 16)


@provided
def test_bsh_with_a_wrong_but_divisible_head_count_gives_another_result():
    query = torch.randn(1, 6, 128, generator=torch.Generator().manual_seed(0)).half()
    operator = torch.ops.npu.npu_fused_infer_attention_score
    results = [operator(query, query, query, input_layout="BSH", num_heads=heads)[0] for heads in (4, 8)]
    assert results[0].shape == results[1].shape
    assert (results[0] - results[1]).abs().max() > 0.1


@pytest.mark.parametrize(("layout", "shape"), [("BSH", (2, 1, 64)), ("BSND", (2, 1, 4, 16)), ("BNSD", (2, 4, 1, 16))])
def test_decode_overrides_the_mode_the_tokens_and_the_query_lengths(layout, shape):
    """Even a mode without its mask and lengths out of range pass: the host looks at neither with one query token."""
    query = half(*shape)
    read = geometry(
        query, input_layout=layout, sparse_mode=3, pre_tokens=-5, next_tokens=-5, actual_seq_lengths=[7, 7, 7]
    )
    assert (read.sparse_mode, read.pre_tokens, read.next_tokens) == (0, TOKENS_MAX, TOKENS_MAX)
    assert read.lengths_q is None


def test_decode_with_its_mask():
    read = geometry(half(2, 4, 1, 16), half(2, 4, 9, 16), atten_mask=mask(2, 9), sparse_mode=1)
    assert read.sparse_mode == 0


def test_decode_takes_any_head_dim():
    assert geometry(half(2, 4, 1, 72)).head_dim == 72


def test_one_token_in_another_layout_is_no_decode():
    read = geometry(half(2, 4, 1, 16), atten_mask=mask(2048, 2048), input_layout="BNSD_BSND", sparse_mode=3)
    assert read.sparse_mode == 3


@pytest.mark.parametrize(
    ("mode", "masked", "passed", "in_force"),
    [
        (0, False, (3, 4), (TOKENS_MAX, TOKENS_MAX)),
        (0, True, (3, 4), (3, 4)),
        (0, True, (2**40, -(2**40)), None),
        (0, True, (2**40, 4), (TOKENS_MAX, 4)),
        (1, True, (3, 4), (TOKENS_MAX, TOKENS_MAX)),
        (2, True, (3, 4), (TOKENS_MAX, 0)),
        (3, True, (-3, -4), (TOKENS_MAX, 0)),
        (4, True, (3, 4), (3, 4)),
        (4, True, (-2, 4), (-2, 4)),
    ],
)
def test_the_tokens_in_force(mode, masked, passed, in_force):
    shape = (8, 8) if mode < 2 else (2048, 2048)
    arguments = {"sparse_mode": mode, "pre_tokens": passed[0], "next_tokens": passed[1]}
    call = {"atten_mask": mask(*shape) if masked else None, **arguments}
    if in_force is None:  # clamped to the same size, they still leave one token
        in_force = (TOKENS_MAX, -TOKENS_MAX)
    read = geometry(half(2, 4, 8, 16), **call)
    assert (read.pre_tokens, read.next_tokens) == in_force


@pytest.mark.parametrize("shape", [(8, 8), (9, 20), (1, 8, 8), (2, 8, 8), (1, 1, 8, 8), (2, 1, 8, 9)])
@pytest.mark.parametrize("mode", [0, 1])
def test_full_masks_of_every_rank_and_larger_ones_pass(shape, mode):
    assert geometry(half(2, 4, 8, 16), atten_mask=mask(*shape), sparse_mode=mode).sparse_mode == mode


@pytest.mark.parametrize("shape", [(2048, 2048), (1, 2048, 2048), (1, 1, 2048, 2048)])
@pytest.mark.parametrize("mode", [2, 3, 4])
@pytest.mark.parametrize("dtype", [torch.bool, torch.int8, torch.uint8])
def test_compressed_masks_pass(shape, mode, dtype):
    compressed = torch.empty(shape, dtype=dtype)
    assert geometry(half(2, 4, 8, 16), atten_mask=compressed, sparse_mode=mode).sparse_mode == mode


def test_a_single_length_stands_for_all_and_further_ones_are_not_read():
    query = half(3, 4, 8, 16)
    assert geometry(query, actual_seq_lengths=[5], actual_seq_lengths_kv=[6]).lengths_q == (5, 5, 5)
    read = geometry(query, actual_seq_lengths=[5, 6, 7, 99], actual_seq_lengths_kv=[1, 0, 8, 99])
    assert (read.lengths_q, read.lengths_kv) == ((5, 6, 7), (1, 0, 8))


def test_empty_lists_are_none_at_all():
    read = geometry(half(3, 4, 8, 16), actual_seq_lengths=[], actual_seq_lengths_kv=[])
    assert (read.lengths_q, read.lengths_kv) == (None, None)


CACHES = {
    "BBH": lambda blocks, size: half(blocks, size, 2 * 64),
    "BNBD": lambda blocks, size: half(blocks, 2, size, 64),
    "NZ": lambda blocks, size: half(blocks, 2, 4, size, 16),
}


@pytest.mark.parametrize("cache_layout", CACHES)
@pytest.mark.parametrize("layout", ["BSH", "BSND", "BNSD", "BNSD_BSND", "TND", "NTD_TND"])
@pytest.mark.parametrize("tokens", [1, 5])
def test_paged_caches_are_read(cache_layout, layout, tokens):
    """In a packed layout too the lengths of paged keys are each entry's own, not cumulative."""
    axes = LAYOUTS[layout].query
    lists = {"actual_seq_lengths": [tokens, 2 * tokens]} if "T" in axes else {}
    read = geometry(
        tensor(axes, B=2, N=4, S=tokens, D=64, T=2 * tokens),
        CACHES[cache_layout](7, 48),
        input_layout=layout,
        num_key_value_heads=2,
        block_table=torch.zeros(2, 3, dtype=torch.int32),
        block_size=48,
        actual_seq_lengths_kv=[100, 30],
        **lists,
    )
    assert (read.cache_layout, read.block_size, read.seq_kv) == (cache_layout, 48, 144)
    assert (read.lengths_kv, read.kv_heads, read.seq_q, read.batch) == ((100, 30), 2, tokens, 2)


def test_a_block_size_without_a_block_table_means_nothing():
    assert geometry(half(2, 4, 8, 16), block_size=7).block_size == 0


@pytest.mark.parametrize("precise", [0, 1, 2, 3])
def test_every_inner_precise_passes(precise):
    geometry(half(2, 4, 8, 16), inner_precise=precise)
