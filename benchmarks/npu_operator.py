#!/usr/bin/env python3
"""What the provided operator costs beside the bare torch call: the ratio of their times, for every layout and mask.

`python benchmarks/npu_operator.py` prints each ratio beside its target, in some five minutes; `--pairs 5` is a quick
look, and words select the rows that contain one of them (`BSH`, `decode`). Each ratio is the median over pairs of
calls that ran one after the other in this process, the first of a pair by turns. Both sides get the same contiguous
tensors and give their output in the layout asked for. These are times of a CPU, of the provided operator: they say
nothing about an NPU. On a busy box set OMP_NUM_THREADS=1: a call in stripes waits after each for its slowest thread,
which other load makes slower still.

The bare call is `torch.nn.functional.scaled_dot_product_attention`: without a mask, with `is_causal` for a compressed
causal mask, else with a ready bool mask of all queries by all keys. Packed sequences are held against the sum of the
bare calls for each of them, paged keys against the bare call on the same keys laid end to end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]

TOKENS = 4096
HEADS, HEAD_DIM = 2, 128
SCALE = HEAD_DIM**-0.5
BAND = 512
"""Tokens before a query's own position that it sees in the band, and half as many after it."""
PACKED = (256, 384, 512, 640, 1408, 1280, 1664, 2048)
DECODE_TOKENS, DECODE_BATCH, DECODE_HEADS, DECODE_KV_HEADS, BLOCK = 4096, 8, 16, 4, 128
PAIRS = 31


class Row(NamedTuple):
    """One comparison; ``target`` is the largest ratio asked for, None where none is."""

    layout: str
    mask: str
    target: float | None

    @property
    def name(self) -> str:
        return f"{self.layout}, {self.mask}"


_MASKS = ("no mask", "mode 2", "mode 3", "full mask", "mode 3, half the queries", "band")
ROWS = [
    *(
        Row(layout, mask, 1.0 if mask in ("mode 2", "mode 3") else 1.03)
        for layout in ("BNSD", "BSND", "BSH")
        for mask in _MASKS
    ),
    *(Row(layout, mask, None) for layout in ("BNSD_BSND", "BNSD_NBSD") for mask in ("no mask", "mode 3")),
    *(Row(layout, mask, 1.1) for layout in ("TND", "NTD_TND") for mask in ("no mask", "mode 3")),
    *(Row("BNSD", decode, None) for decode in ("decode", "decode, paged BBH", "decode, paged BNBD")),
]
Call = Callable[[], Any]


def both(row: Row) -> tuple[Call, Call]:
    """The operator's call and the bare one. The first call of each has been made and the outputs compared."""
    import torch

    import fiabench.npu_operator  # noqa: F401  # defines the operator

    torch.manual_seed(0)
    if row.layout in ("TND", "NTD_TND"):
        ours, bare = _packed(row)
    elif row.mask.startswith("decode"):
        ours, bare = _decode(row)
    else:
        ours, bare = _padded(row)
    torch.testing.assert_close(ours()[0].float(), bare().float(), atol=2e-2, rtol=2e-2)
    return ours, bare


def _padded(row: Row) -> tuple[Call, Call]:
    import torch
    import torch.nn.functional as F

    seq_q = TOKENS // 2 if row.mask.endswith("half the queries") else TOKENS
    axes_in, _, axes_out = row.layout.partition("_")
    axes_out = axes_out or axes_in

    def arranged(tensor: torch.Tensor, axes: str) -> torch.Tensor:
        order = ["BNSD".index(axis) for axis in ("BSND" if axes == "BSH" else axes)]
        tensor = tensor.permute(order).contiguous()
        return tensor.flatten(2) if axes == "BSH" else tensor

    def heads_first(tensor: torch.Tensor) -> torch.Tensor:
        if axes_in == "BNSD":
            return tensor
        return (tensor.unflatten(2, (HEADS, -1)) if axes_in == "BSH" else tensor).transpose(1, 2)

    def random(tokens: int) -> torch.Tensor:
        return arranged(torch.randn(1, HEADS, tokens, HEAD_DIM).bfloat16(), axes_in)

    query, key, value = random(seq_q), random(TOKENS), random(TOKENS)
    distance = torch.arange(TOKENS) - torch.arange(seq_q)[:, None] - (TOKENS - seq_q)
    masks: dict[str, dict[str, Any]] = {
        "no mask": {},
        "mode 2": {"sparse_mode": 2},
        "mode 3": {"sparse_mode": 3},
        "mode 3, half the queries": {"sparse_mode": 3},
        "band": {"sparse_mode": 4, "pre_tokens": BAND, "next_tokens": BAND // 2},
        "full mask": {"sparse_mode": 0, "atten_mask": distance > 0},
    }
    arguments = masks[row.mask]
    if arguments.get("sparse_mode", 0) > 1:
        arguments["atten_mask"] = torch.ones(2048, 2048, dtype=torch.bool).triu_(1)
    attn_mask = None
    if row.mask == "band":
        attn_mask = (distance >= -BAND) & (distance <= BAND // 2)
    elif row.mask in ("full mask", "mode 3, half the queries"):
        attn_mask = distance <= 0
    is_causal = row.mask in ("mode 2", "mode 3")

    def ours() -> Any:
        return torch.ops.npu.npu_fused_infer_attention_score(
            query, key, value, num_heads=HEADS, input_layout=row.layout, scale=SCALE, **arguments
        )

    def bare() -> Any:
        queries, keys, values = heads_first(query), heads_first(key), heads_first(value)
        output = F.scaled_dot_product_attention(
            queries, keys, values, attn_mask=attn_mask, is_causal=is_causal, scale=SCALE
        )
        return arranged(output, axes_out)

    return ours, bare


def _packed(row: Row) -> tuple[Call, Call]:
    import torch
    import torch.nn.functional as F

    tokens = sum(PACKED)
    heads_first = row.layout == "NTD_TND"
    shape = (HEADS, tokens, HEAD_DIM) if heads_first else (tokens, HEADS, HEAD_DIM)
    query, key, value = (torch.randn(shape).bfloat16() for _ in range(3))
    ends = [sum(PACKED[: index + 1]) for index in range(len(PACKED))]
    arguments: dict[str, Any] = {"actual_seq_lengths": ends, "actual_seq_lengths_kv": ends}
    causal = row.mask == "mode 3"
    if causal:
        arguments |= {"atten_mask": torch.ones(2048, 2048, dtype=torch.bool).triu_(1), "sparse_mode": 3}
    views = [tensor if heads_first else tensor.transpose(0, 1) for tensor in (query, key, value)]
    parts = [[view[None, :, end - size : end] for view in views] for end, size in zip(ends, PACKED)]

    def ours() -> Any:
        return torch.ops.npu.npu_fused_infer_attention_score(
            query, key, value, num_heads=HEADS, input_layout=row.layout, scale=SCALE, **arguments
        )

    def bare() -> Any:
        outputs = [F.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=SCALE) for q, k, v in parts]
        return torch.cat([output[0].transpose(0, 1) for output in outputs])

    return ours, bare


def _decode(row: Row) -> tuple[Call, Call]:
    import torch
    import torch.nn.functional as F

    query = torch.randn(DECODE_BATCH, DECODE_HEADS, 1, HEAD_DIM).bfloat16()
    shape = (DECODE_BATCH, DECODE_KV_HEADS, DECODE_TOKENS, HEAD_DIM)
    key, value = torch.randn(shape).bfloat16(), torch.randn(shape).bfloat16()
    arguments: dict[str, Any] = {"actual_seq_lengths_kv": [DECODE_TOKENS] * DECODE_BATCH}
    given = [key, value]
    if "paged" in row.mask:
        columns = DECODE_TOKENS // BLOCK
        table = torch.randperm(DECODE_BATCH * columns).reshape(DECODE_BATCH, columns).int()
        given = [_cache(tensor, table, row.mask.endswith("BBH")) for tensor in given]
        arguments |= {"block_table": table, "block_size": BLOCK}

    def ours() -> Any:
        return torch.ops.npu.npu_fused_infer_attention_score(
            query,
            *given,
            num_heads=DECODE_HEADS,
            num_key_value_heads=DECODE_KV_HEADS,
            input_layout="BNSD",
            scale=SCALE,
            **arguments,
        )

    def bare() -> Any:
        return F.scaled_dot_product_attention(query, key, value, scale=SCALE, enable_gqa=True)

    return ours, bare


def _cache(tensor: Any, table: Any, tokens_first: bool) -> Any:
    """[B, N, S, D] in blocks: [blocks, BLOCK, N x D] or [blocks, N, BLOCK, D], at the places that the table names."""
    blocks = tensor.unflatten(2, (-1, BLOCK)).transpose(1, 2).flatten(0, 1)
    cache = blocks.new_empty(blocks.shape)
    cache[table.flatten().long()] = blocks
    return cache.transpose(1, 2).contiguous().flatten(2) if tokens_first else cache


def ratios(row: Row, pairs: int) -> list[float]:
    """The operator's time over the bare call's, of each pair."""
    ours, bare = both(row)
    found = []
    for pair in range(pairs):
        if pair % 2:
            below, above = _seconds(bare), _seconds(ours)
        else:
            above, below = _seconds(ours), _seconds(bare)
        found.append(above / below)
    return found


def _seconds(call: Call) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _measured(checkout: Path, row: Row, pairs: int) -> Any:
    """The ratios as the commit in ``checkout`` measures them; None, with its last words, where it cannot."""
    script = checkout / "benchmarks" / Path(__file__).name
    command = [sys.executable, str(script), "--json", "--pairs", str(pairs), row.name]
    process = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if process.returncode:
        print(process.stderr.strip()[-500:], file=sys.stderr)
        return None
    return {"samples": json.loads(process.stdout)[row.name], "number": 1}


class Operator:
    """The operator in times of the bare torch call."""

    version = "1"
    timeout = 240.0
    unit = "times the bare call"
    params = [[row.name for row in ROWS]]
    param_names = ["call"]

    def track_ratio(self, name: str) -> Any:
        from fiabench.asv_plugin.names import CHECKOUT

        row = next(row for row in ROWS if row.name == name)
        return _measured(Path(os.environ.get(CHECKOUT, ROOT)), row, PAIRS)


def main(arguments: list[str]) -> None:
    """Prints each ratio as it comes; with `--json` all of them at the end, and nothing else."""
    import argparse

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--json", action="store_true", help="print every ratio of every row")
    parser.add_argument("rows", nargs="*", help="rows whose name contains one of these")
    options = parser.parse_args(arguments)
    chosen = [row for row in ROWS if any(row in _named(word) for word in options.rows)] if options.rows else ROWS
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    found = {}
    for row in chosen:
        found[row.name] = ratios(row, options.pairs)
        if not options.json:
            _show(row, found[row.name])
    if options.json:
        print(json.dumps(found))
        return
    import torch

    print(f"{options.pairs} pairs a row, torch {torch.__version__}, {torch.get_num_threads()} threads; load {load}")


def _named(word: str) -> list[Row]:
    """The row of that name, or every row whose name contains the word."""
    return [row for row in ROWS if row.name == word] or [row for row in ROWS if word in row.name]


def _show(row: Row, found: list[float]) -> None:
    """A row with the 95 % interval of its median: a target inside the interval is neither met nor missed for sure."""
    from fiabench.stats.intervals import summarise

    summary = summarise(found)
    verdict = ""
    if row.target is not None:
        missed = "MISSED" if summary.low > row.target else "not told apart"
        verdict = f"   target {row.target:<5} {'met' if summary.median <= row.target else missed}"
    print(f"{row.name:<32} {summary.median:>6.3f} ({summary.low:.3f} to {summary.high:.3f}){verdict}", flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "tools"))
    from _door import enter

    enter(__file__)
    main(sys.argv[1:])
