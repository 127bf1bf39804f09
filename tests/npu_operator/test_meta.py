"""Shapes without computing, and the schema: what torch.compile, fake tensors and callers see."""

from __future__ import annotations

import pytest
import torch

import fiabench.npu_operator
from fiabench.npu_operator.schema import LAYOUTS

pytestmark = pytest.mark.skipif(not fiabench.npu_operator.provided(), reason="torch_npu provides the operator here")

# As read out of torch_npu's own library; torch prints the default of `scale` as `1.`.
SCHEMA = (
    "npu::npu_fused_infer_attention_score(Tensor query, Tensor key, Tensor value, *, Tensor? pse_shift=None, Tensor? "
    "atten_mask=None, SymInt[]? actual_seq_lengths=None, SymInt[]? actual_seq_lengths_kv=None, Tensor? "
    "dequant_scale1=None, Tensor? quant_scale1=None, Tensor? dequant_scale2=None, Tensor? quant_scale2=None, Tensor? "
    "quant_offset2=None, Tensor? antiquant_scale=None, Tensor? antiquant_offset=None, Tensor? "
    "key_antiquant_scale=None, Tensor? key_antiquant_offset=None, Tensor? value_antiquant_scale=None, Tensor? "
    "value_antiquant_offset=None, Tensor? block_table=None, Tensor? query_padding_size=None, Tensor? "
    "kv_padding_size=None, Tensor? key_shared_prefix=None, Tensor? value_shared_prefix=None, SymInt[]? "
    "actual_shared_prefix_len=None, Tensor? query_rope=None, Tensor? key_rope=None, Tensor? "
    "key_rope_antiquant_scale=None, int num_heads=1, float scale=1., int pre_tokens=2147483647, int "
    'next_tokens=2147483647, str input_layout="BSH", int num_key_value_heads=0, int sparse_mode=0, int '
    "inner_precise=0, int block_size=0, int antiquant_mode=0, int key_antiquant_mode=0, int value_antiquant_mode=0, "
    "bool softmax_lse_flag=False) -> (Tensor, Tensor)"
)

SIZES = {"B": 2, "N": 4, "S": 8, "D": 16, "T": 11, "H": 64}


def fia(*arguments, **named):
    return torch.ops.npu.npu_fused_infer_attention_score(*arguments, **named)


def test_schema_is_torch_npus():
    assert str(torch.ops.npu.npu_fused_infer_attention_score.default._schema) == SCHEMA


@pytest.mark.parametrize(
    ("layout", "output", "lse"),
    [
        ("BNSD", (2, 4, 8, 16), (2, 4, 8, 1)),
        ("BSND", (2, 8, 4, 16), (2, 4, 8, 1)),
        ("BSH", (2, 8, 64), (2, 4, 8, 1)),
        ("BNSD_BSND", (2, 8, 4, 16), (2, 4, 8, 1)),
        ("BNSD_NBSD", (4, 2, 8, 16), (2, 4, 8, 1)),
        ("BSH_BNSD", (2, 4, 8, 16), (2, 4, 8, 1)),
        ("TND", (11, 4, 16), (11, 4, 1)),
        ("NTD", (4, 11, 16), (11, 4, 1)),
        ("NTD_TND", (11, 4, 16), (11, 4, 1)),
        ("TND_NTD", (4, 11, 16), (11, 4, 1)),
        ("NSD", (4, 8, 16), (1, 4, 8, 1)),
    ],
)
def test_output_shapes(layout, output, lse):
    query = torch.empty([SIZES[axis] for axis in LAYOUTS[layout].query], dtype=torch.bfloat16, device="meta")
    result = fia(query, query, query, num_heads=4, input_layout=layout, softmax_lse_flag=True)
    assert [tuple(tensor.shape) for tensor in result] == [output, lse]
    assert [tensor.dtype for tensor in result] == [torch.bfloat16, torch.float32]
    assert all(tensor.is_meta for tensor in result)
    without = fia(query, query, query, num_heads=4, input_layout=layout)[1]
    assert (tuple(without.shape), without.dtype) == ((0,), torch.float32)


def test_value_head_dim_decides_the_output():
    query = torch.empty(2, 4, 8, 192, dtype=torch.float16, device="meta")
    value = torch.empty(2, 4, 8, 128, dtype=torch.float16, device="meta")
    assert fia(query, query, value, num_heads=4, input_layout="BNSD")[0].shape == (2, 4, 8, 128)
    wide, narrow = (torch.empty(2, 8, h, dtype=torch.float16, device="meta") for h in (64, 32))
    assert fia(wide, narrow, narrow, num_heads=4, num_key_value_heads=2, input_layout="BSH")[0].shape == (2, 8, 64)


def test_quantised_outputs_have_their_dtype():
    query = torch.empty(2, 4, 8, 16, dtype=torch.int8, device="meta")
    scale, rope = torch.empty(1, device="meta"), torch.empty(2, 4, 8, 64, dtype=torch.bfloat16, device="meta")
    arguments = {"num_heads": 4, "input_layout": "BNSD"}
    assert fia(query, query, query, **arguments)[0].dtype == torch.float16
    assert fia(query, query, query, query_rope=rope, **arguments)[0].dtype == torch.bfloat16
    assert fia(query, query, query, quant_scale2=scale, **arguments)[0].dtype == torch.int8


def test_meta_lets_a_wrong_head_count_pass():
    """As the real one does: shape propagation cannot stand in for the host's checks."""
    query = torch.empty(1, 5, 25200, 128, dtype=torch.bfloat16, device="meta")
    assert fia(query, query, query, num_heads=20, input_layout="BNSD")[0].shape == query.shape


@pytest.mark.parametrize(
    ("shape", "arguments", "text"),
    [
        ((2, 4, 8, 16), {"num_heads": 0}, "numHeads should be greater than 0, but got 0"),
        ((2, 4, 8, 16), {"input_layout": "SBH"}, "Layout SBH is not supported!"),
        ((2, 8, 64), {}, "Layout BNSD, queryDims(3) must be 4!"),
    ],
)
def test_meta_refusals(shape, arguments, text):
    query = torch.empty(shape, dtype=torch.float16, device="meta")
    with pytest.raises(RuntimeError) as error:
        fia(query, query, query, **{"num_heads": 4, "input_layout": "BNSD", **arguments})
    assert str(error.value).startswith(text)


def test_meta_refuses_a_value_of_another_rank():
    query, value = (torch.empty(shape, dtype=torch.float16, device="meta") for shape in ((2, 4, 8, 16), (2, 8, 64)))
    with pytest.raises(RuntimeError, match="value'dim3 should equal to query's dim4!"):
        fia(query, query, value, num_heads=4, input_layout="BNSD")


def test_fake_tensors_run_through_it():
    with torch._subclasses.FakeTensorMode():
        query = torch.empty(2, 4, 8, 16, dtype=torch.float16)
        output, _ = fia(query, query, query, num_heads=4, input_layout="BNSD")
    assert output.shape == query.shape
    assert output.device.type == "cpu"


@pytest.mark.parametrize("shape", [(2, 4, 8, 0), (2, 4, 0, 16), (0, 4, 8, 16)])
def test_an_empty_axis_stays(shape):
    query = torch.empty(shape, dtype=torch.float16, device="meta")
    output, lse = fia(query, query, query, num_heads=4, input_layout="BNSD", softmax_lse_flag=True)
    assert output.shape == shape
    assert lse.shape == (*shape[:3], 1)


def test_a_value_without_elements_leaves_the_querys_head_dim():
    query, value = (torch.empty(2, 8, 4, dim, dtype=torch.float16, device="meta") for dim in (16, 0))
    assert fia(query, value, value, num_heads=4, input_layout="BSND_BNSD")[0].shape == (2, 4, 8, 16)


def test_the_second_version_has_the_same_outputs_under_its_own_names():
    query = torch.empty(2, 8, 64, dtype=torch.bfloat16, device="meta")
    outputs = torch.ops.npu.npu_fused_infer_attention_score_v2(query, query, query, num_query_heads=4)
    assert [tuple(output.shape) for output in outputs] == [(2, 8, 64), (0,)]
    outputs = torch.ops.npu.npu_fused_infer_attention_score_v2(
        query, query, query, num_query_heads=4, return_softmax_lse=True, input_layout="BSH_NBSD"
    )
    assert [tuple(output.shape) for output in outputs] == [(4, 2, 8, 16), (2, 4, 8, 1)]


@pytest.mark.parametrize(
    ("arguments", "dtype"),
    [
        ({}, torch.float16),
        ({"query_rope": torch.empty(1, dtype=torch.bfloat16, device="meta")}, torch.bfloat16),
        ({"out_dtype": 24}, torch.float8_e4m3fn),
        ({"quant_scale_out": torch.empty(1, device="meta")}, torch.int8),
        ({"quant_scale_out": torch.empty(1, device="meta"), "out_dtype": 291}, torch.float8_e5m2),
    ],
)
def test_quantised_outputs_of_the_second_version(arguments, dtype):
    query = torch.empty(2, 4, 8, 16, dtype=torch.int8, device="meta")
    operator = torch.ops.npu.npu_fused_infer_attention_score_v2
    assert operator(query, query, query, num_query_heads=4, input_layout="BNSD", **arguments)[0].dtype == dtype


@pytest.mark.parametrize(
    ("layout", "shape", "output"),
    [
        ("BSH", (2, 8, 64), (2, 8, 64)),
        ("BSND", (2, 8, 4, 16), (2, 8, 4, 16)),
        ("BNSD_BSND", (2, 4, 8, 16), (2, 8, 4, 16)),
        ("no layout", (2, 4), (2, 4)),
    ],
)
def test_prompt_flash_attention_outputs(layout, shape, output):
    """The real Meta kernel looks at two layouts and checks nothing."""
    query = torch.empty(shape, dtype=torch.float16, device="meta")
    assert torch.ops.npu.npu_prompt_flash_attention(query, query, query, input_layout=layout).shape == output


@pytest.mark.parametrize(
    ("layout", "shape", "output", "statistics"),
    [
        ("BSH", (2, 8, 64), (2, 8, 64), (2, 4, 8, 8)),
        ("SBH", (8, 2, 64), (8, 2, 64), (2, 4, 8, 8)),
        ("BSND", (2, 8, 4, 16), (2, 8, 4, 16), (2, 4, 8, 8)),
        ("BNSD", (2, 4, 8, 16), (2, 4, 8, 16), (2, 4, 8, 8)),
        ("TND", (11, 4, 16), (11, 4, 16), (11, 4, 8)),
    ],
)
def test_fusion_attention_outputs(layout, shape, output, statistics):
    query = torch.empty(shape, dtype=torch.bfloat16, device="meta")
    result, largest, total, empty, *numbers = torch.ops.npu.npu_fusion_attention(query, query, query, 4, layout)
    assert (result.shape, result.dtype) == (output, torch.bfloat16)
    assert largest.shape == total.shape == statistics
    assert largest.dtype == total.dtype == torch.float32
    assert (tuple(empty.shape), empty.dtype, numbers) == ((0,), torch.bfloat16, [0, 0, 0])


def test_out_has_no_meta_kernel():
    """As in torch_npu."""
    query = torch.empty(2, 4, 8, 16, dtype=torch.float16, device="meta")
    with pytest.raises(NotImplementedError):
        torch.ops.npu.npu_fused_infer_attention_score.out(
            query, query, query, num_heads=4, input_layout="BNSD", out=[query, query]
        )
