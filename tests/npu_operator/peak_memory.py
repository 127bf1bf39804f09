"""By how many bytes the resident memory of this process peaks during calls; printed as JSON, for test_memory.py.

Run as a script, in a process of its own. Linux counts (VmHWM in /proc/self/status), and forgets the peak where
/proc/self/clear_refs is written: so each call is measured by itself, scratch of torch's kernels included. Freed memory
is given back at once (mallopt), else a later call would find it resident already.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F

import fiabench.npu_operator  # noqa: F401  # defines the operator

_M_MMAP_THRESHOLD = -3
"""glibc's number for it (malloc.h)."""

TOKENS = 6144
HEADS, HEAD_DIM = 2, 64
OUTPUT = HEADS * TOKENS * HEAD_DIM * 2


def _kilobytes(field: str) -> int:
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[field].split()[0])


def growth(call: Callable[[], object]) -> int:
    """Bytes by which the peak during the second call exceeds what was resident before it; results included."""
    call()
    Path("/proc/self/clear_refs").write_text("5")
    before = _kilobytes("VmRSS")
    kept = call()
    after = _kilobytes("VmHWM")
    del kept
    return 1024 * (after - before)


def main() -> None:
    ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 1 << 16)
    torch.set_num_threads(2)
    query = torch.randn(1, HEADS, TOKENS, HEAD_DIM).half()
    short = query[:, :, : TOKENS // 2].contiguous()
    compressed = torch.ones(2048, 2048, dtype=torch.bool).triu_(1)
    full = torch.ones(TOKENS, TOKENS, dtype=torch.bool).triu_(1)

    def fia(queries: torch.Tensor = query, layout: str = "BNSD", **arguments: object) -> Callable[[], object]:
        def call() -> object:
            return torch.ops.npu.npu_fused_infer_attention_score(
                queries, query, query, num_heads=HEADS, input_layout=layout, scale=0.1, **arguments
            )

        return call

    band = {"atten_mask": compressed, "sparse_mode": 4}
    found = {
        "is_causal": growth(lambda: F.scaled_dot_product_attention(query, query, query, is_causal=True)),
        "mode 2": growth(fia(atten_mask=compressed, sparse_mode=2)),
        "mode 3": growth(fia(atten_mask=compressed, sparse_mode=3)),
        "mode 3, fewer queries": growth(fia(short, atten_mask=compressed, sparse_mode=3)),
        "mode 3, BNSD_BSND": growth(fia(layout="BNSD_BSND", atten_mask=compressed, sparse_mode=3)),
        "mode 3, log-sum-exp": growth(fia(atten_mask=compressed, sparse_mode=3, softmax_lse_flag=True)),
        "band": growth(fia(pre_tokens=500, next_tokens=300, **band)),
        "wide band": growth(fia(pre_tokens=TOKENS // 2, next_tokens=TOKENS // 2, **band)),
        "full mask": growth(fia(atten_mask=full)),
        "full mask of int8": growth(fia(atten_mask=full.to(torch.int8))),
        "full mask and tokens": growth(fia(atten_mask=full, pre_tokens=5000, next_tokens=1)),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
