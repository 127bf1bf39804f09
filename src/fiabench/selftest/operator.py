"""Claims about the operators under test, and about what a profiler sees of them."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from fiabench import npu_operator
from fiabench.cases.case import Case
from fiabench.devices.base import Device
from fiabench.measure.build import build, unsupported
from fiabench.measure.check import check_attention
from fiabench.measure.cross_check import cross_check
from fiabench.selftest.claim import Claim, Finding, Skipped

UNDER_TEST = "fia"
"""Has to be there; its siblings came and went with torch_npu's releases."""
LAYOUTS = ("BNSD", "BSND", "TND")
DTYPES = ("fp16", "bf16")
MASKS = ("none", "causal")
HEADS, MODEL_HEADS = 5, 20
"""What a rank has, and what a model that is sharded by four has."""
REFUSAL = ("561002", "CheckQShape")
"""Words of the error for a wrong head count: CANN's code, and the check that refuses."""
COVER_ERROR = 0.1
_SIBLINGS = ("fia_v2", "fusion_attention", "prompt_flash_attention")
_NO_GROUPS: Any = None
"""A kernel alone needs none."""


class Alone:
    """The only rank."""

    def barrier(self) -> None:
        pass

    def align(self) -> None:
        pass

    def gather(self, value: Tensor) -> Tensor:
        return value.unsqueeze(0)


def kernel_case(**fields: Any) -> Case:
    """A kernel alone, on one rank."""
    case: dict[str, Any] = {
        "measure": "kernel",
        "op": UNDER_TEST,
        "layout": "BNSD",
        "dtype": "fp16",
        "mask": "none",
        "seq_len_q": 256,
        "seq_len_kv": 256,
        "batch": 2,
        "heads": 4,
        "kv_heads": 4,
        "head_dim": 128,
        "tp": 1,
        "ulysses": 1,
        "heads_per_rank": 4,
        "kv_heads_per_rank": 4,
        "exchange": "none",
        "exchange_bytes": 0,
        "replicas": "one",
        "threads": 1,
    }
    return Case(**(case | fields))


def values(device: Device, op: str) -> Finding:
    """The operator's results in every layout, dtype and mask, held against float32."""
    cases = [
        kernel_case(op=op, layout=layout, dtype=dtype, mask=mask)
        for layout in LAYOUTS
        for dtype in DTYPES
        for mask in MASKS
    ]
    refusals = [unsupported(case, device.name, {}) for case in cases]
    checks = {
        f"{case.layout} {case.dtype} {case.mask}": _checked(case, device)
        for case, refusal in zip(cases, refusals)
        if not refusal
    }
    expected = f"right in {', '.join(LAYOUTS)}, {', '.join(DTYPES)}, with and without a causal mask"
    if not checks:
        if op == UNDER_TEST:
            return Finding(False, expected, str(refusals[0]))
        raise Skipped(str(refusals[0]))
    wrong = [f"{name}: {check['wrong']}" for name, check in checks.items() if not check["passed"]]
    worst = max((check["max_error"] or 0.0) / check["tolerance"] for check in checks.values())
    left_out = f"; {len(cases) - len(checks)} combinations are not supported" if len(checks) < len(cases) else ""
    by = npu_operator.describe()["provided_by"]
    return Finding(
        not wrong,
        expected,
        "; ".join(wrong) or f"{len(checks)} right, the worst error {worst:.2g} of the tolerance{left_out}; from {by}",
    )


def _checked(case: Case, device: Device) -> dict[str, Any]:
    pipeline = build(case, 0, _NO_GROUPS, device, {})
    pipeline.run()
    device.synchronize()
    assert pipeline.attention is not None
    return check_attention(case, pipeline.attention(), 0)


def wrong_heads(device: Device) -> Finding:
    """The call that a sharded attention makes with its model's head count."""
    shard = torch.zeros(1, HEADS, 64, 128, dtype=torch.float16, device=device.torch_device)
    if device.name == "npu" and npu_operator.provided():
        raise Skipped(f"torch_npu is not there: {npu_operator.describe()['reason'] or 'not installed'}")
    expected = f"refused, with {' and '.join(REFUSAL)} in the error"
    try:
        torch.ops.npu.npu_fused_infer_attention_score(
            shard, shard, shard, num_heads=MODEL_HEADS, num_key_value_heads=MODEL_HEADS, input_layout="BNSD"
        )
        device.synchronize()  # with a task queue errors surface here
    except RuntimeError as error:
        lacking = [word for word in REFUSAL if word not in str(error)]
        words = " ".join(str(error).split())
        return Finding(not lacking, expected, f"lacks {' and '.join(lacking)}: {words}" if lacking else "refused so")
    return Finding(False, expected, f"{MODEL_HEADS} heads were taken for a tensor with {HEADS}")


def profiled(device: Device) -> Finding:
    """A long kernel under the profiler."""
    if device.name == "npu":
        case = kernel_case(seq_len_q=8192, seq_len_kv=8192)
    elif device.name == "cuda":
        case = kernel_case(op="sdpa", seq_len_q=8192, seq_len_kv=8192)
    else:
        case = kernel_case(op="sdpa", dtype="fp32", seq_len_q=2048, seq_len_kv=2048)
    pipeline = build(case, 0, _NO_GROUPS, device, {})
    pipeline.run()
    device.synchronize()
    found = cross_check(pipeline, device, Alone())
    expected = f"kernels by name, whose time is the measured one within {COVER_ERROR * 100:g} %"
    if "missing" in found:
        return Finding(False, expected, found["missing"])
    first = found["kernels"][0]["name"]
    return Finding(
        abs(found["ratio"] - 1) <= COVER_ERROR,
        expected,
        f"{len(found['kernels'])} kernels, the longest {first}; {found['ratio']:.3f} of the measured time",
    )


CLAIMS = (
    Claim(f"{UNDER_TEST}_values", "the operator under test computes attention", partial(values, op=UNDER_TEST)),
    Claim("wrong_heads", "a head count that is the model's and not the rank's is refused", wrong_heads),
    *(
        Claim(f"{name}_values", f"its sibling {name}, where it is there, computes the same", partial(values, op=name))
        for name in _SIBLINGS
    ),
    Claim("profiler", "a profiler sees the kernels, and they take what was measured", profiled),
)
