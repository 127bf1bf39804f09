"""The operator's siblings and second version against float64 attention and against the operator itself."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import fiabench.npu_operator
from tests.npu_operator import reference
from tests.npu_operator.reference import TOLERANCE, attention

pytestmark = pytest.mark.skipif(not fiabench.npu_operator.provided(), reason="torch_npu provides the operator here")

NO_LIMIT = 2147483647
COMPRESSED = torch.ones(2048, 2048, dtype=torch.bool).triu_(1)
AXES = {"SBH": "SBND", "BSH": "BSND", "BSND": "BSND", "BNSD": "BNSD"}

npu = torch.ops.npu


def random(batch, heads, kv_heads, seq_q, seq_kv, dim, value_dim=None, dtype=torch.float16, seed=0):
    """[B, N, S, D] query, key and value."""
    generator = torch.Generator().manual_seed(seed)
    shapes = ((heads, seq_q, dim), (kv_heads, seq_kv, dim), (kv_heads, seq_kv, value_dim or dim))
    return [torch.randn(batch, *shape, generator=generator).to(dtype) for shape in shapes]


def into(tensor, layout):
    arranged = tensor.permute(["BNSD".index(axis) for axis in AXES[layout]]).contiguous()
    return arranged.flatten(2) if "H" in layout else arranged


def back(tensor, layout, heads):
    if "H" in layout:
        tensor = tensor.unflatten(2, (heads, -1))
    return tensor.permute([AXES[layout].index(axis) for axis in "BNSD"])


def close(found, expected, dtype):
    torch.testing.assert_close(found.double(), expected, atol=TOLERANCE[dtype], rtol=TOLERANCE[dtype])


@st.composite
def masked_calls(draw, with_heads=False):
    """Sizes, the arguments of mask and mode, and what is hidden: [1|B, 1|N, Sq, Skv]."""
    batch, group, kv_heads = draw(st.integers(1, 3)), draw(st.sampled_from([1, 2, 3])), draw(st.integers(1, 2))
    seq_q, seq_kv = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    mode = draw(st.integers(0, 4))
    tokens = draw(st.tuples(*[st.sampled_from([NO_LIMIT, 0, 2, 5])] * 2))
    heads = group * kv_heads
    leading = draw(st.sampled_from(["none", "2d", "batch", "shared", *(["heads"] if with_heads else ["3d"])]))
    mask = None
    if mode > 1:
        # Fusion attention takes these modes without a mask too, prompt flash attention does not.
        mask = None if with_heads and leading == "none" else COMPRESSED
    elif leading != "none":
        shape = {"2d": (), "3d": (batch,), "batch": (batch, 1), "shared": (1, 1), "heads": (batch, heads)}[leading]
        extra = draw(st.integers(0, 3))
        generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
        mask = torch.rand(*shape, seq_q + extra, seq_kv + extra, generator=generator) < 0.4
    sizes = (batch, heads, kv_heads, seq_q, seq_kv)
    return sizes, mask, mode, tokens, draw(st.sampled_from([torch.bool, torch.int8, torch.uint8]))


def hidden(mask, mode, seq_q, seq_kv, tokens):
    """[1|B, 1|N, Sq, Skv], True where the key is hidden."""
    limits = [None if limit == NO_LIMIT else limit for limit in tokens]
    if mask is None or mode > 1:
        return reference.hidden(mode, seq_q, seq_kv, *limits)[None, None]
    four = mask[None, None] if mask.dim() == 2 else mask[:, None] if mask.dim() == 3 else mask
    planes = [torch.stack([reference.hidden(mode, seq_q, seq_kv, *limits, plane) for plane in entry]) for entry in four]
    return torch.stack(planes)


@settings(max_examples=80, deadline=None)
@given(masked_calls(), st.sampled_from(["BSH", "BSND", "BNSD", "BNSD_BSND"]), st.sampled_from([0, 10]))
def test_prompt_flash_attention(call, layout, precise):
    sizes, mask, mode, tokens, mask_dtype = call
    _, heads, kv_heads, seq_q, seq_kv = sizes
    if mode == 1 and mask is None:
        mode = 0
    query, key, value = random(*sizes, 16)
    axes, _, output_axes = layout.partition("_")
    output = npu.npu_prompt_flash_attention(
        *(into(tensor, axes) for tensor in (query, key, value)),
        atten_mask=None if mask is None else mask.to(mask_dtype),
        num_heads=heads,
        num_key_value_heads=kv_heads,
        scale_value=0.3,
        pre_tokens=tokens[0],
        next_tokens=tokens[1],
        input_layout=layout,
        sparse_mode=mode + precise,
    )
    assert output.is_contiguous()
    expected, _ = attention(query, key, value, hidden(mask, mode, seq_q, seq_kv, tokens), 0.3)
    close(back(output, output_axes or axes, heads), expected, torch.float16)


def test_prompt_flash_attention_hides_what_comes_next_by_default():
    """Where the fused-infer operator does not: its next_tokens is without limit, this one's 0."""
    query, key, value = random(1, 2, 2, 8, 8, 16)
    open_mask = torch.zeros(8, 8, dtype=torch.bool)
    common = {"num_heads": 2, "input_layout": "BNSD", "atten_mask": open_mask}
    prompt = npu.npu_prompt_flash_attention(query, key, value, scale_value=0.3, **common)
    fused, _ = npu.npu_fused_infer_attention_score(query, key, value, scale=0.3, **common)
    close(prompt, attention(query, key, value, reference.causal(8, 8, False), 0.3)[0], torch.float16)
    close(fused, attention(query, key, value, None, 0.3)[0], torch.float16)
    without = npu.npu_prompt_flash_attention(query, key, value, scale_value=0.3, num_heads=2, input_layout="BNSD")
    assert torch.equal(without, fused)


@pytest.mark.parametrize("mode", [0, 2, 3])
def test_prompt_flash_attention_leaves_out_padded_tokens(mode):
    query, key, value = random(3, 4, 2, 8, 10, 16)
    lengths, lengths_kv = [8, 3, 0], [10, 4, 7]
    output = npu.npu_prompt_flash_attention(
        query,
        key,
        value,
        atten_mask=COMPRESSED if mode else None,
        actual_seq_lengths=lengths,
        actual_seq_lengths_kv=[*lengths_kv, 99],
        num_heads=4,
        num_key_value_heads=2,
        scale_value=0.3,
        input_layout="BNSD",
        sparse_mode=mode,
    )
    for index, (queries, keys) in enumerate(zip(lengths, lengths_kv)):
        one = slice(index, index + 1)
        seen = reference.hidden(mode, queries, keys)
        expected, _ = attention(query[one, :, :queries], key[one, :, :keys], value[one, :, :keys], seen, 0.3)
        close(output[one, :, :queries], expected, torch.float16)
        assert not output[index, :, queries:].any()


@settings(max_examples=80, deadline=None)
@given(
    masked_calls(with_heads=True),
    st.sampled_from(["BSH", "SBH", "BSND", "BNSD", "bnsd"]),
    st.sampled_from([16, 24]),
    st.sampled_from([torch.float16, torch.bfloat16, torch.float32]),
)
def test_fusion_attention(call, layout, value_dim, dtype):
    """True hides; no mask shows every key whatever the mode; value's head dim may be smaller."""
    sizes, mask, mode, tokens, mask_dtype = call
    _, heads, _, seq_q, seq_kv = sizes
    query, key, value = random(*sizes, 24, value_dim, dtype)
    axes = layout.upper()
    output, largest, total, *_ = npu.npu_fusion_attention(
        *(into(tensor, axes) for tensor in (query, key, value)),
        heads,
        layout,
        atten_mask=None if mask is None else mask.to(mask_dtype),
        scale=0.3,
        pre_tockens=tokens[0],
        next_tockens=tokens[1],
        sparse_mode=mode,
    )
    assert output.is_contiguous()
    seen = None if mask is None else hidden(mask, mode, seq_q, seq_kv, tokens)
    expected, lse = attention(query, key, value, seen, 0.3)
    close(back(output, axes, heads), expected, dtype)
    close_statistics(largest, total, lse.unsqueeze(-1).expand(*lse.shape, 8), dtype)


def close_statistics(largest, total, lse, dtype):
    """max + log(sum) is the log-sum-exp; a row without keys weighs nothing and makes no nan."""
    assert largest.shape == total.shape == lse.shape
    assert largest.dtype == total.dtype == torch.float32
    assert largest.isfinite().all()
    seen = lse != torch.inf
    assert torch.equal(total != 0, seen)
    close((largest + total.log())[seen], lse[seen], dtype)


@pytest.mark.parametrize("in_shape", [True, False])
@pytest.mark.parametrize("mode", [None, 0, 2, 3, 4])
def test_fusion_attention_of_packed_sequences(mode, in_shape):
    """Each sequence alone; trailing zeros leave sequences out; statistics lie heads first within each sequence."""
    lengths, lengths_kv = [3, 0, 5, 1], [4, 2, 5, 6]
    query, key, value = random(1, 4, 2, 11, 19, 16)
    packed = [tensor[0].transpose(0, 1).contiguous() for tensor in (query, key, value)]
    arguments = {}
    if mode is not None:
        full = torch.rand(6, 7, generator=torch.Generator().manual_seed(1)) < 0.3
        arguments = {"sparse_mode": mode, "atten_mask": COMPRESSED if mode else full, "next_tockens": 1}
    output, largest, total, empty, seed, offset, pairs = npu.npu_fusion_attention(
        *packed,
        4,
        "TND",
        scale=0.3,
        actual_seq_qlen=[3, 3, 8, 9, 0],
        actual_seq_kvlen=[4, 6, 11, 17, 0],
        softmax_layout="TND" if in_shape else "",
        **arguments,
    )
    assert output.shape == (11, 4, 16)
    assert not output[9:].any()
    assert (tuple(empty.shape), seed, offset) == ((0,), 0, 0)
    assert pairs == 4 * sum(queries * keys for queries, keys in zip(lengths, lengths_kv))
    start = start_kv = 0
    for queries, keys in zip(lengths, lengths_kv):
        rows, columns = slice(start, start + queries), slice(start_kv, start_kv + keys)
        start, start_kv = rows.stop, columns.stop
        seen = None
        if mode is not None:
            seen = reference.hidden(mode, queries, keys, None, 1, full)
        expected, lse = attention(query[:, :, rows], key[:, :, columns], value[:, :, columns], seen, 0.3)
        close(output[rows].transpose(0, 1), expected[0], torch.float16)
        lse = lse[0].unsqueeze(-1).expand(4, queries, 8)
        parts = [statistic[rows] for statistic in (largest, total)]
        parts = [part.transpose(0, 1) if in_shape else part.reshape(4, queries, 8) for part in parts]
        close_statistics(*parts, lse, torch.float16)


def test_fusion_attention_merges_by_its_statistics():
    """What a ring does with two halves of the keys, one of which some queries do not see at all."""
    query, key, value = random(1, 2, 2, 6, 8, 16, dtype=torch.float32)
    mask = torch.zeros(6, 8, dtype=torch.bool)
    mask[:3, 4:] = True
    parts = [
        npu.npu_fusion_attention(
            query, key[:, :, half], value[:, :, half], 2, "BNSD", atten_mask=mask[:, half], scale=0.3, sparse_mode=1
        )[:3]
        for half in (slice(0, 4), slice(4, 8))
    ]
    largest = torch.maximum(parts[0][1], parts[1][1])[..., :1]
    weights = [part[2][..., :1] * (part[1][..., :1] - largest).exp() for part in parts]
    merged = sum(part[0] * weight for part, weight in zip(parts, weights)) / sum(weights)
    close(merged, attention(query, key, value, mask, 0.3)[0], torch.float32)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"num_heads": 8}, "fiabench: query [2, 4, 8, 16] in BNSD has 4 heads, but the call says 8"),
        ({"num_key_value_heads": 2}, "fiabench: key [2, 4, 8, 16] in BNSD has 4 heads, but the call says 2"),
        ({"num_key_value_heads": 3}, "fiabench: 4 heads over 3 key heads: "),
        ({"num_heads": 0}, "fiabench: 0 heads over 0 key heads: "),
        ({"input_layout": "TND"}, "fiabench: input_layout TND is not emulated; supported: BSH, "),
        ({"input_layout": "BSH"}, "fiabench: query [2, 4, 8, 16] is not of layout BSH"),
        ({"sparse_mode": 5}, "fiabench: sparse_mode 5 is not emulated"),
        ({"sparse_mode": 3}, "fiabench: sparse_mode 3 needs atten_mask"),
        ({"sparse_mode": 3, "atten_mask": torch.zeros(8, 8).bool()}, "fiabench: sparse_mode 3 takes a mask of 2048"),
        ({"atten_mask": torch.zeros(8, 7).bool()}, "fiabench: atten_mask [8, 7] does not fit batch 2, 4 heads, "),
        ({"atten_mask": torch.zeros(2, 4, 8, 8).bool()}, "fiabench: atten_mask [2, 4, 8, 8] does not fit"),
        ({"atten_mask": torch.zeros(8, 8)}, "fiabench: atten_mask must be bool, int8 or uint8, but is torch.float32"),
        ({"actual_seq_lengths": [1, 9]}, "fiabench: actual_seq_lengths must be one or 2 lengths from 0 to 8, "),
        ({"pse_shift": torch.zeros(1)}, "fiabench: pse_shift is not emulated; leave it at None"),
        ({"padding_mask": torch.zeros(1)}, "fiabench: padding_mask is not emulated"),
        ({"deq_scale1": torch.zeros(1)}, "fiabench: deq_scale1 is not emulated"),
        ({"quant_scale2": torch.zeros(1)}, "fiabench: quant_scale2 is not emulated"),
    ],
)
def test_prompt_flash_attention_refuses(arguments, text):
    query = torch.zeros(2, 4, 8, 16, dtype=torch.float16)
    with pytest.raises(RuntimeError) as error:
        npu.npu_prompt_flash_attention(query, query, query, **{"num_heads": 4, "input_layout": "BNSD", **arguments})
    assert str(error.value).startswith(text)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda key: key.float(), "fiabench: query, key and value must have one dtype of float16, bfloat16, "),
        (lambda key: key[:1], "fiabench: query, key and value are [2, 4, 8, 16], [1, 4, 8, 16], "),
        (lambda key: key[..., :8], "fiabench: query, key and value are "),
        (lambda key: key[:, :3], "fiabench: key [2, 3, 8, 16] in BNSD has 3 heads, but the call says 4"),
    ],
)
def test_prompt_flash_attention_refuses_tensors(change, text):
    query = torch.zeros(2, 4, 8, 16, dtype=torch.float16)
    with pytest.raises(RuntimeError) as error:
        npu.npu_prompt_flash_attention(query, change(query), query, num_heads=4, input_layout="BNSD")
    assert str(error.value).startswith(text)


@pytest.mark.parametrize(
    ("heads", "layout", "arguments", "text"),
    [
        (0, "BNSD", {}, "head_num must > 0, but got 0"),
        (4, "BNSD", {"keep_prob": 1.5}, "The keep_prob value must be in range of (0, 1], but got 1.5"),
        (4, "BNSD", {"softmax_layout": "NTD"}, "only supported softmax_layout=TND"),
        (4, "BNSD", {"softmax_layout": "TND"}, "softmax_layout=TND only supported when input_layout_str=TND"),
        (4, "BNSD", {"sparse_mode": 7}, "The sparse_mode value must be in range of [0,6], but got 7"),
        (4, "TND", {"sparse_mode": 5}, "The sparse_mode value must be in range of [0,5) or (5,8], but got 5"),
        (4, "TND", {"actual_seq_qlen": [2]}, "the size of actual_seq_qlen and actual_seq_kvlen must be the same "),
        (4, "NSD", {}, "The input_layout should be BSH/SBH/BNSD/BSND/TND(case-insensitive), but got NSD"),
        (8, "BNSD", {}, "fiabench: query [2, 4, 8, 16] in BNSD has 4 heads, but the call says 8"),
        (4, "BNSD", {"keep_prob": 0.5}, "fiabench: keep_prob 0.5 (dropout) is not emulated"),
        (4, "BNSD", {"pse": torch.zeros(1)}, "fiabench: pse is not emulated"),
        (4, "BNSD", {"prefix": [1, 2]}, "fiabench: prefix is not emulated"),
        (4, "BNSD", {"sink": torch.zeros(4)}, "fiabench: sink is not emulated"),
        (4, "BNSD", {"dropout_mask": torch.zeros(4)}, "fiabench: dropout_mask is not emulated"),
        (4, "BNSD", {"sparse_mode": 6}, "fiabench: sparse_mode 6 is not emulated"),
        (4, "BNSD", {"actual_seq_qlen": [8]}, "fiabench: actual_seq_qlen and actual_seq_kvlen are for layout TND"),
        (4, "BNSD", {"atten_mask": torch.zeros(2, 8, 8).bool()}, "fiabench: atten_mask [2, 8, 8] does not fit"),
    ],
)
def test_fusion_attention_refuses(heads, layout, arguments, text):
    query = torch.zeros(2, 4, 8, 16, dtype=torch.float16)
    with pytest.raises(RuntimeError) as error:
        npu.npu_fusion_attention(query, query, query, heads, layout, **arguments)
    assert str(error.value).startswith(text)


def test_fusion_attention_refuses_what_no_sequence_can_be():
    packed = torch.zeros(8, 4, 16, dtype=torch.float16)

    def call(ends, **arguments):
        lengths = {"actual_seq_qlen": ends, "actual_seq_kvlen": [4, 8]}
        return npu.npu_fusion_attention(packed, packed, packed, 4, "TND", **lengths, **arguments)

    for ends in ([5, 4], [4, 9]):
        with pytest.raises(RuntimeError, match=r"^fiabench: actual_seq_qlen must grow and end within 8 tokens"):
            call(ends)
    with pytest.raises(RuntimeError, match=r"^fiabench: layout TND takes a mask of 2 axes"):
        call([4, 8], atten_mask=torch.zeros(1, 1, 8, 8, dtype=torch.bool))


def test_fusion_attention_does_not_pretend_to_have_gradients():
    query = torch.zeros(2, 4, 8, 16, dtype=torch.float16, requires_grad=True)
    with pytest.raises(RuntimeError, match="fiabench: gradients are not emulated"):
        npu.npu_fusion_attention(query, query, query, 4, "BNSD")
    with torch.no_grad():
        npu.npu_fusion_attention(query, query, query, 4, "BNSD")
