"""The second version and `.out`: the same results under other names and in the caller's tensors."""

from __future__ import annotations

import pytest
import torch

import fiabench.npu_operator
from fiabench.npu_operator import has
from fiabench.npu_operator.schema import SCHEMAS

pytestmark = pytest.mark.skipif(not fiabench.npu_operator.provided(), reason="torch_npu provides the operator here")

COMPRESSED = torch.ones(2048, 2048, dtype=torch.bool).triu_(1)

npu = torch.ops.npu


def test_all_are_provided_together():
    """And with them their overloads; what is not among them is said to be missing."""
    assert all(map(has, SCHEMAS))
    assert not has("npu_incre_flash_attention")
    assert not has("npu_prompt_flash_attention.out")


CALLS = {
    "plain": ((2, 4, 8, 16), (2, 2, 10, 16), {"input_layout": "BNSD"}),
    "causal": ((2, 4, 8, 16), (2, 2, 10, 16), {"input_layout": "BNSD", "sparse_mode": 3, "atten_mask": COMPRESSED}),
    "band": (
        (2, 8, 4, 16),
        (2, 10, 2, 16),
        {"input_layout": "BSND", "sparse_mode": 4, "atten_mask": COMPRESSED, "pre_tokens": 3, "next_tokens": 1},
    ),
    "other output": ((2, 4, 8, 16), (2, 2, 10, 16), {"input_layout": "BNSD_BSND", "inner_precise": 1}),
    "packed": (
        (9, 4, 64),
        (12, 2, 64),
        {"input_layout": "TND", "actual_seq_lengths": [4, 9], "actual_seq_lengths_kv": [5, 12]},
    ),
    "paged": (
        (2, 4, 1, 64),
        (3, 2, 128, 64),
        {
            "input_layout": "BNSD",
            "actual_seq_lengths_kv": [100, 130],
            "block_table": torch.tensor([[2, 0], [1, 0]], dtype=torch.int32),
            "block_size": 128,
        },
    ),
}
"""Shapes of the query and of the keys, and the first version's arguments."""

SECOND = {
    "num_heads": "num_query_heads",
    "scale": "softmax_scale",
    "actual_seq_lengths": "actual_seq_qlen",
    "actual_seq_lengths_kv": "actual_seq_kvlen",
    "softmax_lse_flag": "return_softmax_lse",
}


def make(name, with_lse):
    shape, shape_kv, arguments = CALLS[name]
    generator = torch.Generator().manual_seed(3)
    tensors = [torch.randn(some, generator=generator).half() for some in (shape, shape_kv, shape_kv)]
    common = {"num_heads": 4, "num_key_value_heads": 2, "scale": 0.3, "softmax_lse_flag": with_lse}
    return tensors, {**arguments, **common}


def renamed(arguments):
    return {SECOND.get(name, name): value for name, value in arguments.items()}


@pytest.mark.parametrize("with_lse", [True, False])
@pytest.mark.parametrize("name", CALLS)
def test_the_second_version_is_the_first_under_other_names(name, with_lse):
    tensors, arguments = make(name, with_lse)
    first = npu.npu_fused_infer_attention_score(*tensors, **arguments)
    second = npu.npu_fused_infer_attention_score_v2(*tensors, **renamed(arguments))
    assert first[0].any()
    for one, other in zip(first, second):
        assert torch.equal(one, other)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("with_lse", [True, False])
@pytest.mark.parametrize("name", CALLS)
def test_out_fills_and_returns_the_given_tensors(name, with_lse, version):
    """With the workspace that the operator asks for, which is none."""
    tensors, arguments = make(name, with_lse)
    operator, workspace = npu.npu_fused_infer_attention_score, npu._npu_fused_infer_attention_score_get_max_workspace
    if version == 2:
        operator = npu.npu_fused_infer_attention_score_v2
        workspace = npu._npu_fused_infer_attention_score_v2_get_max_workspace
        arguments = renamed(arguments)
    expected = operator(*tensors, **arguments)
    room = workspace(*tensors, **arguments)
    assert (tuple(room.shape), room.dtype) == ((0,), torch.float16)
    given = [torch.full_like(tensor, 7) for tensor in expected]
    returned = operator.out(*tensors, **arguments, workspace=room, out=given)
    for tensor, filled, wanted in zip(returned, given, expected):
        assert tensor is filled
        assert torch.equal(filled, wanted)


def test_out_keeps_the_strides_of_the_given_tensor():
    tensors, arguments = make("plain", False)
    store = torch.full((2, 8, 4, 16), 7.0).half()
    npu.npu_fused_infer_attention_score.out(*tensors, **arguments, out=[store.transpose(1, 2), torch.empty(0)])
    expected, _ = npu.npu_fused_infer_attention_score(*tensors, **arguments)
    assert torch.equal(store.transpose(1, 2), expected)


def test_out_leaves_the_log_sum_exp_alone_that_nobody_asked_for():
    """Callers pass one element of any dtype there, as sglang and vllm-ascend do."""
    tensors, arguments = make("plain", False)
    unread = torch.full((1,), 7.0).bfloat16()
    npu.npu_fused_infer_attention_score.out(*tensors, **arguments, out=[torch.empty_like(tensors[0]), unread])
    assert unread.item() == 7


def attention_out(shape=(2, 4, 8, 16), dtype=torch.float16):
    return torch.empty(shape, dtype=dtype)


def softmax_lse(shape=(2, 4, 8, 1), dtype=torch.float32):
    return torch.empty(shape, dtype=dtype)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            [attention_out((2, 8, 4, 16)), softmax_lse()],
            "[CheckAttenOut] attention_out layout is BNSD, shape [2, 8, 4, 16] should be equal to [2, 4, 8, 16].",
        ),
        (
            [attention_out(), softmax_lse((2, 4, 8, 8))],
            "[CheckSoftmaxLseShape] softmax_lse layout is BNS11, shape [2, 4, 8, 8] should be equal to [2, 4, 8, 1].",
        ),
        (
            [attention_out(), softmax_lse(dtype=torch.float16)],
            "only support dtype FLOAT32, but got DT_FLOAT16[FUNC:CheckSoftmaxLseDType]",
        ),
        ([attention_out(dtype=torch.float32), softmax_lse()], "fiabench: attention_out's dtype is torch.float32"),
        ([attention_out()], "fiabench: out must hold two tensors, attention_out and softmax_lse, but holds 1"),
    ],
)
def test_out_refuses_other_tensors(given, text):
    tensors, arguments = make("plain", True)
    with pytest.raises(RuntimeError) as error:
        npu.npu_fused_infer_attention_score.out(*tensors, **arguments, out=given)
    assert text in str(error.value)


@pytest.mark.parametrize(
    ("operator", "names", "first_line"),
    [
        (
            npu.npu_fused_infer_attention_score.out,
            {"num_heads": 8, "out": [attention_out(), softmax_lse()]},
            "npu_fused_infer_attention_score_out_symint:",
        ),
        (npu.npu_fused_infer_attention_score_v2, {"num_query_heads": 8}, "npu_fused_infer_attention_score_v2_symint:"),
        (
            npu.npu_fused_infer_attention_score_v2.out,
            {"num_query_heads": 8, "out": [attention_out(), softmax_lse()]},
            "npu_fused_infer_attention_score_v2_out_symint:",
        ),
    ],
)
def test_a_refusal_names_the_function_that_was_called(operator, names, first_line):
    query = torch.zeros(2, 4, 8, 16, dtype=torch.float16)
    with pytest.raises(RuntimeError) as error:
        operator(query, query, query, input_layout="BNSD", **names)
    text = str(error.value)
    assert text.startswith(first_line)
    assert ("aclnnFusedInferAttentionScoreV4" in text) == ("_v2" in first_line)
    assert "[CheckQShape] query layout is BNSD, shape [2, 4, 8, 16] should be equal to [2, 8, 8, 16]" in text


@pytest.mark.parametrize("name", ["query_quant_mode", "key_quant_mode", "value_quant_mode"])
def test_the_second_version_refuses_quantised_modes_by_name(name):
    tensors, arguments = make("plain", False)
    arguments = renamed(arguments)
    npu.npu_fused_infer_attention_score_v2(*tensors, **arguments, **{name: 0})
    with pytest.raises(RuntimeError, match=f"^fiabench: {name} 1 is not emulated; leave it at 0"):
        npu.npu_fused_infer_attention_score_v2(*tensors, **arguments, **{name: 1})


TENSORS = (
    "query_rope key_rope pse_shift dequant_scale_query dequant_scale_key dequant_offset_key dequant_scale_value "
    "dequant_offset_value dequant_scale_key_rope quant_scale_out quant_offset_out quant_scale_p learnable_sink"
)
DTYPES = (
    "query_dtype key_dtype value_dtype query_rope_dtype key_rope_dtype key_shared_prefix_dtype "
    "value_shared_prefix_dtype dequant_scale_query_dtype dequant_scale_key_dtype dequant_scale_value_dtype "
    "dequant_scale_key_rope_dtype out_dtype"
)


@pytest.mark.parametrize("name", [*TENSORS.split(), *DTYPES.split()])
def test_the_second_version_refuses_what_is_not_emulated_by_name(name):
    tensors, arguments = make("plain", False)
    given = torch.zeros(1) if name in TENSORS.split() else 0
    with pytest.raises(RuntimeError, match=f"^fiabench: {name} is not emulated"):
        npu.npu_fused_infer_attention_score_v2(*tensors, **renamed(arguments), **{name: given})


def test_every_argument_of_the_second_version_is_taken_or_refused():
    """None is passed over."""
    taken = {"query", "key", "value", *SECOND.values(), "num_key_value_heads", "atten_mask", "block_table"}
    taken |= {"block_size", "pre_tokens", "next_tokens", "input_layout", "sparse_mode", "inner_precise"}
    modes = {"query_quant_mode", "key_quant_mode", "value_quant_mode"}
    declared = npu.npu_fused_infer_attention_score_v2.default._schema.arguments
    assert {argument.name for argument in declared} == taken | modes | {*TENSORS.split(), *DTYPES.split()}
