"""Refusals in the words and the envelope of the real operator.

Three kinds, each a RuntimeError as on an NPU:

- :func:`tiling_error`: CANN's host code refused the call (`error code is 561002`, `ERR00100`, `EZ9999`).
- :func:`plugin_error`: torch_npu refused it before CANN saw it (`ERR01003 OPS invalid value`).
- :func:`not_emulated`: the real operator may well accept the call, the provided one does not; begins `fiabench:`.

Sources of the envelopes: error reports of vllm-ascend (#8523, #12956) and sglang (#23572), Ascend/pytorch's
`error_code` documentation, and CANN's documentation of the EZ00xx messages (hicann).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime

_EMULATED = "(Raised by the operator that fiabench provides off the NPU (emulated): no torch_npu or CANN took part.)"
_OPERATOR = "FusedInferAttentionScore"


def _stamp() -> str:
    """Time, process and rank as torch_npu prints them; the device is the rank's where a launcher names one."""
    rank = os.environ.get("RANK", "")
    rank_id = int(rank) if rank.isdigit() else -1
    local = os.environ.get("LOCAL_RANK", "")
    device = int(local) if local.isdigit() else max(rank_id, 0)
    now = datetime.now().strftime("%Y-%m-%d-%H:%M:%S")
    return f"[ERROR] {now} (PID:{os.getpid()}, Device:{device}, RankID:{rank_id})"


def tiling_error(text: str, func: str, file: str, line: int | None = None, code: str = "EZ9999") -> RuntimeError:
    """The error of a call that CANN's tiling refused.

    ``func`` and ``file`` name the public source that the text follows; ``line`` only where a published report shows
    it, for it moves between versions. ``code`` is `EZ9999` for free texts, `EZ00xx` for CANN's predefined ones.
    """
    now = datetime.now()
    micro = f"{now.microsecond:06d}"
    when = f"{now:%Y-%m-%d-%H:%M:%S}.{micro[:3]}.{micro[3:]}"
    where = f"[FUNC:{func}][FILE:{file}]" + (f"[LINE:{line}]" if line is not None else "")
    return RuntimeError(
        "npu_fused_infer_attention_score_symint:build/CMakeFiles/torch_npu.dir/compiler_depend.ts:208 "
        "NPU function error: call aclnnFusedInferAttentionScoreV3 failed, error code is 561002\n"
        f"{_stamp()} ERR00100 PTA call acl api failed.\n"
        f"{code}: Inner Error!\n"
        f"{code}[PID: {os.getpid()}] {when} ({code}):  {text}{where}\n"
        "        TraceBack (most recent call last):\n"
        f"       {_OPERATOR} do tiling failed, ret is -1.\n"
        "       Check NnopbaseExecutorDoTiling(executor) failed\n"
        "       Check NnopbaseExecutorTilingAndUpdateBinInfo(executor) failed\n"
        "       Check NnopbaseExecutorMatchCache(executor) failed\n"
        "       Check NnopbaseRunForWorkspace(*executor, workspaceSize) failed\n"
        f"{_EMULATED}"
    )


def invalid_value(parameter: str, value: object, reason: str, func: str, file: str) -> RuntimeError:
    """CANN's EZ0026: one parameter with an impossible value."""
    text = f"Parameter {parameter} of operator {_OPERATOR} has incorrect value {value}. Reason: {reason}."
    return tiling_error(text, func, file, code="EZ0026")


def invalid_shape_dim(parameter: str, dims: int, reason: str, func: str, file: str) -> RuntimeError:
    """CANN's EZ0012: one parameter with the wrong number of axes."""
    text = f"Parameter {parameter} of operator {_OPERATOR} has incorrect shape dim {dims}. Reason: {reason}."
    return tiling_error(text, func, file, code="EZ0012")


def invalid_shapes(parameters: str, shapes: str, reason: str, func: str, file: str) -> RuntimeError:
    """CANN's EZ0010: parameters whose shapes do not fit each other."""
    text = f"Parameters {parameters} of operator {_OPERATOR} have incorrect shapes {shapes}. Reason: {reason}."
    return tiling_error(text, func, file, code="EZ0010")


def expected_value(parameter: str, value: object, correct: str, func: str, file: str) -> RuntimeError:
    """CANN's EZ0024: one parameter with another value than the one expected."""
    text = (
        f"Parameter {parameter} of operator {_OPERATOR} has incorrect value {value}. The correct one should be "
        f"{correct}."
    )
    return tiling_error(text, func, file, code="EZ0024")


def expected_shape_dim(parameter: str, dims: int, correct: str, func: str, file: str) -> RuntimeError:
    """CANN's EZ0011: one parameter with another number of axes than the one expected."""
    text = (
        f"Parameter {parameter} of operator {_OPERATOR} has incorrect shape dim {dims}. The correct one should be "
        f"{correct}."
    )
    return tiling_error(text, func, file, code="EZ0011")


def invalid_shape(parameter: str, shape: Sequence[int], reason: str, func: str, file: str) -> RuntimeError:
    """CANN's EZ0009: one parameter with an impossible shape."""
    axes = ", ".join(map(str, shape))
    text = f"Parameter {parameter} of operator {_OPERATOR} has incorrect shape [{axes}]. Reason: {reason}."
    return tiling_error(text, func, file, code="EZ0009")


def invalid_argument(parameter: str, reason: str, func: str, file: str) -> RuntimeError:
    """CANN's EZ0037: one parameter that may not be as it is, whatever its value."""
    return tiling_error(
        f"Parameter {parameter} of {_OPERATOR} is invalid. Reason: {reason}.", func, file, code="EZ0037"
    )


def plugin_error(text: str) -> RuntimeError:
    """The error of a call that torch_npu itself refused, before CANN."""
    return RuntimeError(f"{text}\n{_stamp()} ERR01003 OPS invalid value\n{_EMULATED}")


def not_emulated(text: str) -> RuntimeError:
    """A call that the provided operator does not take; the real one may."""
    return RuntimeError(f"fiabench: {text}\n{_EMULATED}")
