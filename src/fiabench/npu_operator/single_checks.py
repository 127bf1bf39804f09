"""Each parameter by itself, then which may stand beside which.

Sources, in ops-transformer's `attention/fused_infer_attention_score/op_host/arch22/`:
`fused_infer_attention_score_tiling_check_single_para.cpp` (`CheckSinglePara`) and
`fused_infer_attention_score_tiling_check_existence.cpp` (`CheckParaExistence`).
"""

from __future__ import annotations

import torch

from fiabench.npu_operator.errors import tiling_error
from fiabench.npu_operator.parse import Call, Geometry

_SINGLE = "fused_infer_attention_score_tiling_check_single_para.cpp"
_EXISTENCE = "fused_infer_attention_score_tiling_check_existence.cpp"

_DTYPE_NAMES = {
    torch.float16: "DT_FLOAT16",
    torch.bfloat16: "DT_BFLOAT16",
    torch.float32: "DT_FLOAT",
    torch.float64: "DT_DOUBLE",
    torch.int8: "DT_INT8",
    torch.uint8: "DT_UINT8",
    torch.int16: "DT_INT16",
    torch.int32: "DT_INT32",
    torch.int64: "DT_INT64",
    torch.bool: "DT_BOOL",
}
_INPUT_DTYPES = (torch.float16, torch.bfloat16)
_MASK_DTYPES = (torch.bool, torch.int8, torch.uint8)
_SPARSE_MODES = (0, 1, 2, 3, 4, 9)


def dtype_name(tensor: torch.Tensor) -> str:
    """CANN's name of a tensor's dtype."""
    return _DTYPE_NAMES.get(tensor.dtype, "UNDEFINED")


def check_single_parameters(call: Call, geometry: Geometry) -> None:
    """Raises RuntimeError."""
    _check_dtype(call.query, "query", "DT_FLOAT16, DT_BFLOAT16, DT_INT8", _INPUT_DTYPES)
    _check_dtype(call.key, "key", "DT_FLOAT16, DT_BFLOAT16, DT_INT8, DT_INT4", _INPUT_DTYPES)
    _check_dtype(call.value, "value", "DT_FLOAT16, DT_BFLOAT16, DT_INT8, DT_INT4", _INPUT_DTYPES)
    if call.atten_mask is not None:
        _check_dtype(call.atten_mask, "atten_mask", "DT_BOOL, DT_INT8, DT_UINT8", _MASK_DTYPES)
    if call.inner_precise not in (0, 1, 2, 3):
        text = f"inner_precise attr value only supports 0, 1, 2, 3, but got {call.inner_precise}"
        raise tiling_error(text, "CheckSingleParaInnerPrecise", _SINGLE)
    if geometry.sparse_mode not in _SPARSE_MODES:
        modes = ", ".join(map(str, _SPARSE_MODES))
        text = f"sparse_mode attr value only supports {modes}, but got {geometry.sparse_mode}"
        raise tiling_error(text, "CheckSingleParaSparseMode", _SINGLE)


def _check_dtype(tensor: torch.Tensor, name: str, supported: str, allowed: tuple[torch.dtype, ...]) -> None:
    if tensor.dtype not in allowed:
        text = f"Tensor {name} only supports dtype {supported}, but got {dtype_name(tensor)}"
        raise tiling_error(text, "CheckDtypeSupport", _SINGLE)


def check_existence(call: Call) -> None:
    """Query and key must pair; the arguments that unquantised calls may not have are refused by name before."""
    if call.query.dtype == call.key.dtype:
        return
    pairs = (
        "[DT_FLOAT16, DT_FLOAT16], [DT_BFLOAT16, DT_BFLOAT16], [DT_FLOAT16, DT_INT8], [DT_BFLOAT16, DT_INT8], "
        "[DT_FLOAT16, DT_INT4], [DT_BFLOAT16, DT_INT4], [DT_INT8, DT_INT8]"
    )
    text = (
        f"In NO_QUANT situation, only supports [query_dtype, kv_dtype] as {pairs}, "
        f"but got [{dtype_name(call.query)}, {dtype_name(call.key)}]"
    )
    raise tiling_error(text, "CheckDtypeAndSetQuantFlagGqa", _EXISTENCE)
