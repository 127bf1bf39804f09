"""Refusals of length lists and of paged caches, with their texts."""

from __future__ import annotations

import re

import pytest
import torch

from tests.npu_operator.refusing import cases, half, mask, provided, refusal

pytestmark = provided

TND = half(8, 4, 64)
NTD = half(4, 8, 64)
PADDED = half(2, 4, 8, 16)
QUERIES = "the query's actual sequence lengths"
KEYS = "the key/value's actual sequence lengths"


def packed(lengths, lengths_kv, layout="TND", **arguments):
    query = TND if layout.startswith("TND") else NTD
    lists = {"actual_seq_lengths": lengths, "actual_seq_lengths_kv": lengths_kv}
    return query, {"input_layout": layout, **lists, **arguments}


PACKED = {
    "no lengths": (
        packed(None, [8]),
        "Parameter actualSeqLengths of FusedInferAttentionScore is invalid. Reason: When inputLayout is TND, "
        "actualSeqLengths cannot be empty.",
    ),
    "empty lengths": (packed([], [8], "NTD_TND"), "Reason: When inputLayout is NTD, actualSeqLengths cannot be empty."),
    "no kv lengths": (packed([8], None), f"when key's layout is TND, {KEYS} should not be null."),
    "decreasing": (
        packed([5, 3, 8], [2, 4, 8]),
        f"when query's layout is TND, {QUERIES}[1](3) should not be less than {QUERIES}[0](5).",
    ),
    "negative": (
        packed([-1, 8], [4, 8]),
        f"when query's layout is TND, {QUERIES}[0] should not be a negative number, but got -1.",
    ),
    "kv decreasing": (
        packed([2, 4, 8], [5, 3, 8]),
        f"when kv's layout is TND, {KEYS}[1](3) should not be less than {KEYS}[0](5).",
    ),
    "kv negative": (
        packed([4, 8], [-1, 8]),
        f"when kv's layout is TND, {KEYS}[0] should not be a negative number, but got -1.",
    ),
    "last is not T": (
        packed([3, 7], [4, 8]),
        f"when query's layout is TND, T(8) should be equal to the last element of {QUERIES}(7).",
    ),
    "kv last is not T": (
        packed([3, 8], [4, 9]),
        f"when kv's layout is TND, T(8) should be equal to the last element of {KEYS}(9).",
    ),
    "last is not T, NTD": (
        packed([3, 7], [4, 8], "NTD_TND"),
        "Parameter actual_seq_lengths last element of operator FusedInferAttentionScore has incorrect value 7. Reason: "
        "The last element of actual_seq_lengths(7) must be equal to the T of query(8) when the layout of query is NTD.",
    ),
    "kv last is not T, NTD": (
        packed([3, 8], [4, 7], "NTD"),
        "The last element of actual_seq_lengths_kv(7) must be equal to the T of key and value(8) when the layout of "
        "key and value is NTD.",
    ),
    "other number of kv lengths": (
        packed([3, 8], [2, 4, 8]),
        f"when key/value's layout is TND, {KEYS} shape size is 3, it should be equal to {QUERIES} shape size(2).",
    ),
    "other number of kv lengths, NTD": (
        packed([3, 8], [2, 4, 8], "NTD_TND"),
        "The element nums of actual_seq_lengths_kv(3) must be equal to the batchSize of key and value(2) when the "
        "layout of key and value is TND or NTD.",
    ),
    "key of rank 4": (
        packed([8], [8], key=half(1, 8, 4, 64), value=TND),
        "[CheckKVShapeForBatchContinuous] key shape dimension is 4, expected shape dimension is 3, layout(TND) axes "
        "size is 3, they should be equal.",
    ),
    "wrong head count": (
        packed([8], [8], num_heads=20),
        "[CheckQShape] query layout is TND, shape [8, 4, 64] should be equal to [8, 20, 64].",
    ),
    "wrong head count, NTD": (
        packed([8], [8], "NTD_TND", num_heads=20),
        "[CheckQShape] query layout is NTD, shape [4, 8, 64] should be equal to [20, 8, 64].",
    ),
    "mask shorter than the longest": (
        packed([3, 8], [2, 8], atten_mask=mask(1, 5, 5)),
        "[CheckAttentionMask] atten_mask layout is 1S1S2, shape is [1, 5, 5], expected shape is [1, 5, 6], axis S2(5) "
        "should be >= expected 6.",
    ),
    "too many lengths": (
        (
            half(65537, 1, 64),
            {
                "input_layout": "TND",
                "num_heads": 1,
                "actual_seq_lengths": list(range(1, 65538)),
                "actual_seq_lengths_kv": list(range(1, 65538)),
            },
        ),
        "In NO_QUANT situation, actual sequence length q should be smaller or equal to 64K, but got 65537",
    ),
}

LENGTHS = {
    "too long": (
        (PADDED, {"actual_seq_lengths": [8, 9]}),
        f"{QUERIES}[1] computed is 9, it should be in range [0, Q_S(8)].",
    ),
    "below 0": (
        (PADDED, {"actual_seq_lengths": [-1, 8]}),
        f"{QUERIES}[0] computed is -1, it should be in range [0, Q_S(8)].",
    ),
    "kv too long": (
        (PADDED, {"actual_seq_lengths_kv": [9]}),
        f"{KEYS}(0) is 9, it should be in range [0, KV_S(8)].",
    ),
    "too few": (
        (half(3, 4, 8, 16), {"actual_seq_lengths": [8, 8]}),
        f"{QUERIES} shape size is 2, it should be bigger or equal to batch size(3) or equal to 1.",
    ),
    "kv too few": (
        (half(3, 4, 8, 16), {"actual_seq_lengths_kv": [8, 8]}),
        f"{KEYS} shape size is 2, it should be bigger or equal to batch size(3) or equal to 1.",
    ),
    "kv too few, decode": (
        (half(3, 4, 1, 16), {"actual_seq_lengths_kv": [1, 1]}),
        f"{KEYS} shape size is 2, it should be bigger or equal to batch size(3) or equal to 1.",
    ),
}


def paged(key, *, query=None, **arguments):
    """Two entries of up to 32 tokens in blocks of 16, 2 kv heads of 64; what differs is given."""
    arguments = {
        "key": key,
        "num_key_value_heads": 2,
        "block_table": torch.zeros(2, 2, dtype=torch.int32),
        "block_size": 16,
        "actual_seq_lengths_kv": [20, 32],
        **arguments,
    }
    return half(2, 4, 3, 64) if query is None else query, arguments


CACHE = half(6, 2, 16, 64)
CACHE_BBH = half(6, 16, 128)
CACHE_NZ = half(6, 2, 4, 16, 16)
OTHER_DIM = half(2, 4, 3, 80)

PAGED = {
    "rank of the cache": (
        paged(half(6, 64)),
        "Parameter key in the 1st tensor of operator FusedInferAttentionScore has incorrect shape dim 2. Reason: The "
        "shape dim of key in the 1st tensor must be within the range {3, 4, 5} when page attention is enabled.",
    ),
    "value of another rank": (
        paged(CACHE, value=CACHE_BBH),
        "[GetValueHeadDim] The shape dim of value must be equal to the axes size of layout(BnNBsD): 4.",
    ),
    "no block size": (
        paged(CACHE, block_size=0),
        "Parameter block_size of operator FusedInferAttentionScore has incorrect value 0. The correct one should be "
        "greater than 0.",
    ),
    "rank of the table": (
        paged(CACHE, block_table=torch.zeros(2, 2, 1, dtype=torch.int32)),
        "Parameter block_table of operator FusedInferAttentionScore has incorrect shape dim 3. The correct one should "
        "be 2.",
    ),
    "unaligned block size": (
        paged(CACHE, block_size=24),
        "In NO_QUANT situation, block_size should be aligned to 16, but got 24.",
    ),
    "block size above 1024": (
        paged(CACHE, block_size=1040),
        "In NO_QUANT situation, block_size should be less than or equal to 1024, but got 1040.",
    ),
    "block size of other head dims": (
        paged(half(6, 2, 64, 80), query=OTHER_DIM, block_size=64),
        "Parameter block_size of operator FusedInferAttentionScore has incorrect value 64. The correct one should be a "
        "multiple of 128 in range of [128, 1024].",
    ),
    "block size of other head dims, decode": (
        paged(half(6, 2, 1024, 80), query=half(2, 4, 1, 80), block_size=1024),
        "has incorrect value 1024. The correct one should be a multiple of 16 in range of [16, 512].",
    ),
    "no lengths": (paged(CACHE, actual_seq_lengths_kv=None), f"In page attention scene, {KEYS} should not be null."),
    "no lengths, TND": (
        paged(CACHE, query=TND, input_layout="TND", actual_seq_lengths=[3, 8], actual_seq_lengths_kv=None),
        f"when key's layout is BnNBsD, {KEYS} should not be null.",
    ),
    "longer than the table": (
        paged(CACHE, actual_seq_lengths_kv=[20, 33]),
        f"{KEYS}(1) is 33, it should be in range [0, KV_S(32)].",
    ),
    "number of lengths, TND": (
        paged(CACHE, query=TND, input_layout="TND", actual_seq_lengths=[3, 8], actual_seq_lengths_kv=[3]),
        "The element nums of actual_seq_lengths_kv(1) must be equal to the batchSize of key and value(2) when the "
        "layout of key and value is TND or NTD.",
    ),
    "table of int64": (
        paged(CACHE, block_table=torch.zeros(2, 2, dtype=torch.int64)),
        "When page attention enable, blockTable dtype only support INT32.",
    ),
    "empty table": (
        paged(CACHE, block_table=torch.zeros(0, 2, dtype=torch.int32)),
        "block_table shape size is zero.",
    ),
    "rows of the table, TND": (
        paged(
            CACHE,
            query=TND,
            input_layout="TND",
            actual_seq_lengths=[3, 8],
            block_table=torch.zeros(3, 2, dtype=torch.int32),
        ),
        "when query's layout is TND, block_table's first dimension(3) should be equal to batch size(2)",
    ),
    "rows of the table": (
        paged(CACHE, block_table=torch.zeros(1, 2, dtype=torch.int32)),
        "Parameter block_table of operator FusedInferAttentionScore has incorrect shape [1, 2]. Reason: When page "
        "attention enable, block_table shape must be [batch_size(2), >=max_block_num_per_batch(2)].",
    ),
    "kv heads": (
        paged(CACHE, num_key_value_heads=4),
        "[CheckKVShapeForPageAttention] key layout is BnNBsD, shape [6, 2, 16, 64] should be equal to [6, 4, 16, 64].",
    ),
    "tokens in a block": (
        paged(CACHE_BBH, block_size=32),
        "[CheckKVShapeForPageAttention] key layout is BnBsH, shape [6, 16, 128] should be equal to [6, 32, 128].",
    ),
    "value of fewer blocks": (
        paged(CACHE_NZ, value=half(5, 2, 4, 16, 16)),
        "[CheckKVShapeForPageAttention] value layout is NZ, shape [5, 2, 4, 16, 16] should be equal to "
        "[6, 2, 4, 16, 16].",
    ),
    "NZ in pieces of 32": (
        paged(half(6, 2, 2, 16, 32)),
        "[CheckKVShapeForPageAttention] key layout is NZ, shape [6, 2, 2, 16, 32] should be equal to "
        "[6, 2, 4, 16, 16].",
    ),
    "NZ of another head dim": (
        paged(half(6, 2, 5, 128, 16), query=OTHER_DIM, block_size=128),
        "The headDim of query|key|value should be 64 | 128, but got valueHeadDim:80, queryHeadDim and keyHeadDim:80",
    ),
    "mask shorter than the blocks": (
        paged(CACHE, atten_mask=mask(1, 3, 31)),
        "[CheckAttentionMask] atten_mask layout is 1S1S2, shape is [1, 3, 31], expected shape is [1, 3, 32], axis "
        "S2(31) should be >= expected 32.",
    ),
}


@pytest.mark.parametrize(("query", "arguments", "text"), cases(PACKED, LENGTHS, PAGED))
def test_refusals(query, arguments, text):
    message = refusal(query, **arguments)
    assert text in message
    assert "error code is 561002" in message
    assert re.search(r"\[FUNC:\w+\]\[FILE:\w+\.cpp\]", message)
