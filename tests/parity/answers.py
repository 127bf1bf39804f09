"""Run in two processes, with torch_npu's operator and with fiabench's: says as JSON what the operator answers."""

from __future__ import annotations

import itertools
import json
from typing import Any

import torch

from fiabench import npu_operator

LAYOUTS = ("BNSD", "BSND", "BSH", "BNSD_BSND", "BNSD_NBSD", "TND", "NTD_TND", "SBH")
DTYPES = (torch.float16, torch.bfloat16)


def main() -> None:
    operator = torch.ops.npu.npu_fused_infer_attention_score
    schema = str(operator.default._schema)
    print(json.dumps({"described": npu_operator.describe(), "schema": schema, "meta": meta(operator)}))


def meta(operator: Any) -> dict[str, Any]:
    """Output shapes and dtypes by arguments, or that the call is refused."""
    answers: dict[str, Any] = {}
    grid = itertools.product(
        LAYOUTS, (1, 2), (1, 33, 25200), ((4, 4), (8, 2), (0, 0)), (64, 128), DTYPES, (True, False)
    )
    for layout, batch, tokens, (heads, kv_heads), dim, dtype, lse in grid:
        for rank in (3, 4):
            query = torch.empty(shape(layout, batch, tokens, heads or 4, dim, rank), dtype=dtype, device="meta")
            key = torch.empty(shape(layout, batch, 77, kv_heads or 4, dim, rank), dtype=dtype, device="meta")
            name = f"{layout} {list(query.shape)} {list(key.shape)} {heads}/{kv_heads} {dtype} lse={lse}"
            arguments = {"num_heads": heads, "num_key_value_heads": kv_heads, "softmax_lse_flag": lse}
            try:
                outputs = operator(query, key, key, input_layout=layout, **arguments)
            except (RuntimeError, IndexError) as error:
                answers[name] = f"refused ({type(error).__name__})"
            else:
                answers[name] = [[list(output.shape), str(output.dtype)] for output in outputs]
    return answers


def shape(layout: str, batch: int, tokens: int, heads: int, dim: int, rank: int) -> list[int]:
    """The query's or key's shape in ``layout``; of a ``rank`` that the layout may not have."""
    axes = layout.split("_")[0]
    sizes = {"B": batch, "N": heads, "S": tokens, "D": dim, "H": heads * dim, "T": batch * tokens}
    return [sizes[axis] for axis in axes][:rank] + [1] * (rank - len(axes))


if __name__ == "__main__":
    main()
