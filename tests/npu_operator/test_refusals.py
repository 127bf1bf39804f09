"""Each refusal, with its text: what dies on an NPU dies here in the same words, and before anything is computed."""

from __future__ import annotations

import os
import re

import pytest
import torch

from tests.npu_operator.refusing import cases, half, mask, provided, refusal

pytestmark = provided


def test_the_seeds_crash_word_for_word():
    """sglang #23572: 5 local heads of the model's 20. No kernel could run here: 25,200 tokens take seconds."""
    text = refusal(torch.empty(1, 5, 25200, 128, dtype=torch.bfloat16), num_heads=20, num_key_value_heads=20)
    lines = text.splitlines()
    assert lines[0] == (
        "npu_fused_infer_attention_score_symint:build/CMakeFiles/torch_npu.dir/compiler_depend.ts:208 "
        "NPU function error: call aclnnFusedInferAttentionScoreV3 failed, error code is 561002"
    )
    time = r"\d{4}-\d\d-\d\d-\d\d:\d\d:\d\d"
    stamp = rf"\[ERROR\] {time} \(PID:{os.getpid()}, Device:0, RankID:-1\)"
    assert re.fullmatch(stamp + r" ERR00100 PTA call acl api failed\.", lines[1])
    assert lines[2] == "EZ9999: Inner Error!"
    assert lines[3].endswith(
        "[CheckQShape] query layout is BNSD, shape [1, 5, 25200, 128] should be equal to [1, 20, 25200, 128]."
        "[FUNC:CompareShape][FILE:fia_tiling_shape.cpp][LINE:351]"
    )
    assert "fiabench provides off the NPU" in lines[-1]
    assert "(emulated)" in lines[-1]


def test_the_stamp_names_the_rank(monkeypatch):
    monkeypatch.setenv("RANK", "6")
    monkeypatch.setenv("LOCAL_RANK", "2")
    assert "Device:2, RankID:6)" in refusal(half(1, 5, 8, 16))
    monkeypatch.delenv("LOCAL_RANK")
    assert "Device:6, RankID:6)" in refusal(half(1, 5, 8, 16))


BNSD, BSND = "BNSD", "BSND"
QUERY = half(2, 4, 8, 16)

SHAPES = {
    "wrong head count, BSND": (
        (half(1, 8, 5, 16), {"num_heads": 20, "input_layout": BSND}),
        "[CheckQShape] query layout is BSND, shape [1, 8, 5, 16] should be equal to [1, 8, 20, 16].",
    ),
    "wrong kv head count": (
        (QUERY, {"num_key_value_heads": 2}),
        "[CheckKVShapeForBatchContinuous] key layout is BNSD, shape [2, 4, 8, 16] should be equal to [2, 2, 8, 16].",
    ),
    "key of another batch": (
        (QUERY, {"key": half(1, 4, 8, 16)}),
        "[CheckKVShapeForBatchContinuous] key layout is BNSD, shape [1, 4, 8, 16] should be equal to [2, 4, 8, 16].",
    ),
    "value shorter than key": (
        (QUERY, {"key": QUERY, "value": half(2, 4, 7, 16)}),
        "[CheckKVShapeForBatchContinuous] value layout is BNSD, shape [2, 4, 7, 16] should be equal to [2, 4, 8, 16].",
    ),
    "key head dim": (
        (QUERY, {"key": half(2, 4, 8, 32), "value": QUERY}),
        "[CheckKVShapeForBatchContinuous] key layout is BNSD, shape [2, 4, 8, 32] should be equal to [2, 4, 8, 16].",
    ),
    "key rank": (
        (QUERY, {"key": half(2, 8, 64), "value": QUERY}),
        "Parameter key of operator FusedInferAttentionScore has incorrect shape dim 3. Reason: "
        "[GetS2SizeForBatchContinuous] The shape dim of key must be equal to the axes size of layout(BNSD): 4.",
    ),
    "value head dim above the query's": (
        (QUERY, {"key": QUERY, "value": half(2, 4, 8, 32)}),
        "Parameters query and value of operator FusedInferAttentionScore have incorrect shapes [2, 4, 8, 16] and "
        "[2, 4, 8, 32]. Reason: D of query must be greater than or equal to axis D of value.",
    ),
    "value head dim below the query's": (
        (half(2, 4, 8, 32), {"key": half(2, 4, 8, 32), "value": QUERY}),
        "In NO_QUANT rope not exist situation, when input_layout is BSH, BSND, BNSD, BNSD_BSND, TND, NTD, BSH_BNSD, "
        "BSND_BNSD, NTD_TND, and the headDim shared by query and key is not equal to that of value, only query|key "
        "headDim = 192, value headDim = 128 are supported, but got query|key headDim: 32, value headDim: 16",
    ),
    "heads not divisible": (
        (QUERY, {"num_key_value_heads": 3}),
        "Parameter num_heads of operator FusedInferAttentionScore has incorrect value 4. Reason: "
        "The value of num_heads must be a multiple of num_key_value_heads(3).",
    ),
    "negative kv heads": (
        (QUERY, {"num_key_value_heads": -1}),
        "Parameter num_key_value_heads of operator FusedInferAttentionScore has incorrect value -1. Reason: "
        "The value of num_key_value_heads must be greater than or equal to 0.",
    ),
    "head dim no multiple of 16": (
        (half(1, 4, 8, 72), {}),
        "In NO_QUANT rope not exist situation, when Qs>1 and input_layout is BNSD, headDim of query|key|value should "
        "be align to 16.",
    ),
    "head dim no multiple of 16, BNSD_BSND": (
        (half(1, 4, 1, 72), {"input_layout": "BNSD_BSND"}),
        "In NO_QUANT rope not exist situation, when Qs>1 and input_layout is BNSD_BSND, headDim of query|key|value "
        "should be align to 16.",
    ),
    "head dim of BSH": (
        (half(2, 8, 66), {"input_layout": "BSH"}),
        "[GetQkHeadDim] query's H(66) should be an integer multiple of N(4).",
    ),
    "value head dim of BSH": (
        (half(2, 8, 64), {"input_layout": "BSH", "key": half(2, 8, 64), "value": half(2, 8, 66)}),
        "[GetValueHeadDim] value's H(66) should be an integer multiple of N(4).",
    ),
    "kv head count of BSH": (
        (half(2, 8, 128), {"input_layout": "BSH", "num_key_value_heads": 2, "value": half(2, 8, 64)}),
        "[CheckKVShapeForBatchContinuous] key layout is BSH, shape [2, 8, 128] should be equal to [2, 8, 64].",
    ),
    "layouts with rope alone": (
        (half(2, 8, 4, 64), {"input_layout": "BSND_NBSD"}),
        "In NO_QUANT rope not exist situation, layout only supports BSH, BSND, BNSD, BNSD_BSND, TND, NTD, BSH_BNSD, "
        "BSND_BNSD, NTD_TND, but got BSND_NBSD.",
    ),
    "head dim of TND": (
        (half(8, 4, 80), {"input_layout": "TND", "actual_seq_lengths": [8], "actual_seq_lengths_kv": [8]}),
        "In NO_QUANT rope not exist situation, when input_layout is TND, only query|key|value headDim = 64/128/192 "
        "are supported, but got 80",
    ),
    "head dim of BSND_BNSD": (
        (half(2, 8, 4, 192), {"input_layout": "BSND_BNSD"}),
        "In NO_QUANT rope not exist situation, when input_layout is NTD, BSH_BNSD, BSND_BNSD, NTD_TND, only "
        "query|key|value headDim = 64/128 are supported, but got 192",
    ),
    "head dim above 512": (
        (half(1, 4, 8, 528), {}),
        "In NO_QUANT situation, headDim of value should be smaller or equal to 512, but got 528",
    ),
}

DTYPES = {
    "float32": (
        (torch.empty(2, 4, 8, 16), {}),
        "Tensor query only supports dtype DT_FLOAT16, DT_BFLOAT16, DT_INT8, but got DT_FLOAT",
    ),
    "float32 key": (
        (QUERY, {"key": torch.empty(2, 4, 8, 16)}),
        "Tensor key only supports dtype DT_FLOAT16, DT_BFLOAT16, DT_INT8, DT_INT4, but got DT_FLOAT",
    ),
    "fp16 query, bf16 key": (
        (QUERY, {"key": QUERY.bfloat16()}),
        "In NO_QUANT situation, only supports [query_dtype, kv_dtype] as [DT_FLOAT16, DT_FLOAT16], [DT_BFLOAT16, "
        "DT_BFLOAT16], [DT_FLOAT16, DT_INT8], [DT_BFLOAT16, DT_INT8], [DT_FLOAT16, DT_INT4], [DT_BFLOAT16, DT_INT4], "
        "[DT_INT8, DT_INT8], but got [DT_FLOAT16, DT_BFLOAT16]",
    ),
    "bf16 value": (
        (QUERY, {"key": QUERY, "value": QUERY.bfloat16()}),
        "value's dtype is DT_BFLOAT16, it should be DT_FLOAT16.",
    ),
    "float mask": (
        (QUERY, {"atten_mask": half(8, 8)}),
        "Tensor atten_mask only supports dtype DT_BOOL, DT_INT8, DT_UINT8, but got DT_FLOAT16",
    ),
}


MASKS = {
    "compressed mask of another size": (
        (QUERY, {"atten_mask": mask(8, 8), "sparse_mode": 3}),
        "[CheckAttentionMask] atten_mask layout is S1S2, shape [8, 8] should be equal to [2048, 2048].",
    ),
    "compressed mask per batch": (
        (QUERY, {"atten_mask": mask(2, 2048, 2048), "sparse_mode": 2}),
        "[CheckAttentionMask] atten_mask layout is 1S1S2, shape [2, 2048, 2048] should be equal to [1, 2048, 2048].",
    ),
    "compressed mask of rank 1": (
        (QUERY, {"atten_mask": mask(2048), "sparse_mode": 2}),
        "atten_mask dim num only support 2, but got 1",
    ),
    "mask too small": (
        (QUERY, {"atten_mask": mask(8, 7)}),
        "[CheckAttentionMask] atten_mask layout is S1S2, shape is [8, 7], expected shape is [8, 8], axis S2(7) "
        "should be >= expected 8.",
    ),
    "mask with a head axis": (
        (QUERY, {"atten_mask": mask(2, 4, 8, 8)}),
        "[CheckAttentionMask] atten_mask layout is B1S1S2, shape is [2, 4, 8, 8], expected shape is [2, 1, 8, 8], "
        "axis CONST(4) should be == expected 1.",
    ),
    "mask of another batch": (
        (QUERY, {"atten_mask": mask(3, 8, 8)}),
        "[CheckAttentionMask] atten_mask layout is BS1S2, shape is [3, 8, 8], expected shape is [2, 8, 8], axis B(3) "
        "should be == expected 2.",
    ),
    "mask of rank 5": (
        (QUERY, {"atten_mask": mask(1, 1, 1, 8, 8)}),
        "atten_mask dim num only support 2, 3, 4, but got 5",
    ),
    "mask of a decode step": (
        (half(2, 4, 1, 16), {"key": QUERY, "atten_mask": mask(2048, 2048), "sparse_mode": 3}),
        "[CheckAttentionMask] atten_mask layout is BS2, shape is [2048, 2048], expected shape is [2, 8], axis B(2048) "
        "should be == expected 2.",
    ),
    "mask of rank 1": (
        (QUERY, {"atten_mask": mask(8)}),
        "atten_mask dim num only support 2, 3, 4, but got 1",
    ),
    "mask without batch axis, TND": (
        (
            half(8, 4, 64),
            {
                "input_layout": "TND",
                "actual_seq_lengths": [3, 8],
                "actual_seq_lengths_kv": [3, 8],
                "atten_mask": mask(8, 8),
            },
        ),
        "In NO_QUANT situation, rope does not exist and qkHeadDim = vHeadDim, when sparseMode = 0 or 1, two dim mask "
        "only support for layout BSH,BSND,BNSD,BNSD_BSND, but got TND",
    ),
    "mask without batch axis, head dims 192 and 128": (
        (half(1, 4, 8, 192), {"value": half(1, 4, 8, 128), "sparse_mode": 1, "atten_mask": mask(8, 8)}),
        "In NO_QUANT situation, rope exists or qkHeadDim != vHeadDim, when sparseMode = 0 or 1, two dim mask is not "
        "supported.",
    ),
    "mode without mask": (
        (QUERY, {"sparse_mode": 3}),
        "when sparse_mode is 3 (not 0), atten_mask should not be null.",
    ),
    "unknown mode": (
        (QUERY, {"sparse_mode": 7}),
        "sparse_mode attr value only supports 0, 1, 2, 3, 4, 9, but got 7",
    ),
    "tree mode without rope": (
        (QUERY, {"sparse_mode": 9, "atten_mask": mask(2, 8, 8)}),
        "In NO_QUANT situation, when query_rope and key_rope not exist, sparse_mode does not support sparse(9).",
    ),
    "inner_precise": (
        (QUERY, {"inner_precise": 4}),
        "inner_precise attr value only supports 0, 1, 2, 3, but got 4",
    ),
    "negative token limits": (
        (QUERY, {"atten_mask": mask(8, 8), "pre_tokens": -2, "next_tokens": -1}),
        "preTokens(-2) and nextTokens(-1) cannot be negative numbers.",
    ),
    "token limits that cross": (
        (QUERY, {"atten_mask": mask(8, 8), "pre_tokens": 2, "next_tokens": -3}),
        "nextToken line(-3) should be higher than preToken line(2).",
    ),
}

PLUGIN = {
    "no heads": ((QUERY, {"num_heads": 0}), "num_heads should be greater than 0, but the actual value is0"),
    "unknown layout": (
        (QUERY, {"input_layout": "SBH"}),
        "layout only support BSH, BSND, TND, NTD, BNSD_BSND, BSH_BNSD, BSND_BNSD, NTD_TND, BSH_NBSD, BSND_NBSD, "
        "BNSD_NBSD, TND_NTD, but got BSH",
    ),
    "query rank": ((half(2, 8, 64), {}), "query's dim should be consistent with that of Layout"),
    "value rank": (
        (QUERY, {"key": QUERY, "value": half(2, 8, 64)}),
        "when Page Attention not enabled, value'dim should equal to query's dim!",
    ),
}


@pytest.mark.parametrize(("query", "arguments", "text"), cases(SHAPES, DTYPES, MASKS))
def test_host_refusals(query, arguments, text):
    message = refusal(query, **arguments)
    assert text in message
    assert "error code is 561002" in message
    assert re.search(r"\[FUNC:\w+\]\[FILE:\w+\.cpp\]", message)


@pytest.mark.parametrize(("query", "arguments", "text"), cases(PLUGIN))
def test_refusals_of_torch_npu_itself(query, arguments, text):
    message = refusal(query, **arguments)
    assert message.startswith(text)
    assert "ERR01003 OPS invalid value" in message
    assert "561002" not in message


def test_order_a_mode_without_mask_is_found_before_the_head_count():
    """The host checks features before it compares shapes."""
    assert "atten_mask should not be null" in refusal(half(1, 5, 8, 16), num_heads=20, sparse_mode=3)


def test_order_dtype_before_shape():
    assert "only supports dtype" in refusal(torch.empty(1, 5, 8, 16), num_heads=20)


def test_order_lengths_before_the_mask_and_the_mask_before_the_head_dim():
    packed = {"input_layout": "TND", "sparse_mode": 3, "actual_seq_lengths": [8]}
    assert "should not be null" in (message := refusal(half(8, 4, 80), **packed))
    assert "actual sequence lengths" in message
    assert "atten_mask should not be null" in refusal(half(8, 4, 80), **packed, actual_seq_lengths_kv=[8])


def test_order_list_sizes_before_shapes():
    text = refusal(half(2, 5, 8, 16), num_heads=20, actual_seq_lengths_kv=[])
    assert "[CheckQShape]" in text
    text = refusal(half(3, 5, 8, 16), num_heads=20, actual_seq_lengths_kv=[8, 8])
    assert "it should be bigger or equal to batch size(3)" in text


def test_nothing_is_refused_by_an_assertion_when_a_key_has_a_strange_rank():
    """Every rank of key and value meets a refusal in words, paged or not."""
    for rank in (1, 2, 3, 4, 5, 6):
        strange = half(*[1] * rank)
        for arguments in ({}, {"block_table": torch.zeros(2, 1, dtype=torch.int32), "block_size": 16}):
            refusal(QUERY, key=strange, value=QUERY, **arguments)
            refusal(QUERY, key=QUERY, value=strange, **arguments)
