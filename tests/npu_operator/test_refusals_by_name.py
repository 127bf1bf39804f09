"""What the provided operator does not take, and the upper limits: refused by name, or in an older tiling's words."""

from __future__ import annotations

import pytest
import torch

from tests.npu_operator.refusing import cases, half, provided, refusal

pytestmark = provided

QUERY = half(2, 4, 8, 16)

EMULATION = {
    **{
        f"argument {name}": ((QUERY, {name: value}), f"fiabench: {name} is not emulated; leave it at None")
        for name, value in {
            "pse_shift": half(2, 4, 8, 8),
            "dequant_scale1": torch.ones(1),
            "quant_scale1": torch.ones(1),
            "dequant_scale2": torch.ones(1),
            "quant_scale2": torch.ones(1),
            "quant_offset2": torch.ones(1),
            "antiquant_scale": torch.ones(2),
            "antiquant_offset": torch.ones(2),
            "key_antiquant_scale": torch.ones(2),
            "key_antiquant_offset": torch.ones(2),
            "value_antiquant_scale": torch.ones(2),
            "value_antiquant_offset": torch.ones(2),
            "query_padding_size": torch.zeros(1),
            "kv_padding_size": torch.zeros(1),
            "key_shared_prefix": half(1, 4, 8, 16),
            "value_shared_prefix": half(1, 4, 8, 16),
            "actual_shared_prefix_len": [8],
            "query_rope": half(2, 4, 8, 64),
            "key_rope": half(2, 4, 8, 64),
            "key_rope_antiquant_scale": torch.ones(1),
        }.items()
    },
    **{
        f"mode {name}": ((QUERY, {name: 1}), f"fiabench: {name} 1 is not emulated; leave it at 0")
        for name in ("antiquant_mode", "key_antiquant_mode", "value_antiquant_mode")
    },
    "layout NSD": ((half(4, 8, 16), {"input_layout": "NSD"}), "fiabench: input_layout NSD is not emulated"),
    "int8": (
        (torch.zeros(2, 4, 8, 16, dtype=torch.int8), {}),
        "fiabench: quantised query, key and value (int8, int4 in int32) are not emulated",
    ),
    "empty": ((half(2, 4, 0, 16), {}), "fiabench: an empty query or key is not emulated"),
}


def long(heads: int, tokens: int) -> torch.Tensor:
    """[1, heads, tokens, 16] without the memory."""
    return half(1, heads, 1, 16).expand(1, heads, tokens, 16)


def lengths(number: int) -> list[int]:
    return list(range(1, number + 1))


LIMITS = {
    "group ratio": (
        (half(1, 65, 8, 16), {"num_heads": 65, "num_key_value_heads": 1, "key": half(1, 1, 8, 16)}),
        "the query's heads num divided by the key/value's heads num = 65, cannot be greater than 64"
        "[FUNC:CheckInputQKVTypeMatch][FILE:incre_flash_attention_tiling_check.cpp]",
    ),
    "batch": (
        (half(65537, 1, 1, 16), {"num_heads": 1}),
        "batch size:65537 cannot be greater than 65536."
        "[FUNC:CheckInputFormatAndLimits][FILE:incre_flash_attention_tiling_check.cpp]",
    ),
    "kv heads": (
        (half(1, 257, 2, 16), {"num_heads": 257}),
        "numHead of key and value:257 cannot be greater than 256.[FUNC:CheckInputFormatAndLimits]",
    ),
    "heads": (
        (half(1, 258, 2, 16), {"num_heads": 258, "num_key_value_heads": 129, "key": half(1, 129, 2, 16)}),
        "fiabench: num_heads 258 is above 256, the most that torch_npu documents",
    ),
    "packed batch": (
        (
            half(4097, 1, 64),
            {
                "num_heads": 1,
                "input_layout": "TND",
                "actual_seq_lengths": lengths(4097),
                "actual_seq_lengths_kv": lengths(4097),
            },
        ),
        "fiabench: 4097 packed sequences are above 4096, the most that torch_npu documents",
    ),
    "query length": (
        (long(1, 20971521), {"num_heads": 1, "key": half(1, 1, 8, 16)}),
        "fiabench: query length 20971521 is above 20971520, the most that torch_npu documents",
    ),
    "key length": (
        (half(1, 1, 2, 16), {"num_heads": 1, "key": long(1, 20971521)}),
        "fiabench: key length 20971521 is above 20971520, the most that torch_npu documents",
    ),
    "key length, decode": (
        (half(1, 1, 1, 16), {"num_heads": 1, "key": long(1, 262145)}),
        "fiabench: key length 262145 is above 262144, the most that torch_npu documents",
    ),
}


@pytest.mark.parametrize(("query", "arguments", "text"), cases(EMULATION))
def test_what_is_not_emulated_is_refused_by_name(query, arguments, text):
    assert refusal(query, **arguments).startswith(text)


@pytest.mark.parametrize(("query", "arguments", "text"), cases(LIMITS))
def test_limits(query, arguments, text):
    message = refusal(query, **arguments)
    assert text in message
    assert message.startswith("fiabench:") == text.startswith("fiabench:")


def test_every_optional_argument_is_supported_or_refused():
    """A new argument in the schema that nobody reads would otherwise be ignored silently."""
    supported = {
        *("atten_mask", "num_heads", "scale", "pre_tokens", "next_tokens", "input_layout", "num_key_value_heads"),
        *("sparse_mode", "inner_precise", "softmax_lse_flag", "actual_seq_lengths", "actual_seq_lengths_kv"),
        *("block_table", "block_size"),
    }
    schema = torch.ops.npu.npu_fused_infer_attention_score.default._schema
    optional = {argument.name for argument in schema.arguments if argument.kwarg_only}
    refused = {name.split()[1] for name in EMULATION if name.startswith(("argument ", "mode "))}
    assert optional == supported | refused
