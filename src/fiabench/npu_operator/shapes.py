"""The comparison of a tensor's shape with the one that the attributes imply.

Source: `attention/common/op_host/fia_tiling_shape.cpp` (hicann/ops-transformer), `CompareShape`.
"""

from __future__ import annotations

from collections.abc import Sequence

from fiabench.npu_operator.errors import tiling_error

_FILE = "fia_tiling_shape.cpp"
_LINE = 351
"""Line of the equality's refusal, as the report on sglang #23572 shows it."""


def compare_shape(caller: str, name: str, layout: str, shape: Sequence[int], expected: Sequence[int]) -> None:
    """Refuse a shape that is not the expected one; every axis is compared for equality. Raises RuntimeError."""
    if len(shape) != len(expected):
        text = (
            f"[{caller}] {name} shape dimension is {len(shape)}, expected shape dimension is {len(expected)}, "
            f"layout({layout}) axes size is {len(expected)}, they should be equal."
        )
        raise tiling_error(text, "CompareShape", _FILE)
    if list(shape) != list(expected):
        text = f"[{caller}] {name} layout is {layout}, shape {bracket(shape)} should be equal to {bracket(expected)}."
        raise tiling_error(text, "CompareShape", _FILE, _LINE)


def compare_axes(
    caller: str,
    name: str,
    layout: str,
    axes: Sequence[str],
    shape: Sequence[int],
    expected: Sequence[int],
) -> None:
    """Refuse a mask that is too small: S1 and S2 may exceed what is expected, other axes not. Raises RuntimeError."""
    for axis, size, wanted in zip(axes, shape, expected):
        symbol, fits = (">=", size >= wanted) if axis in ("S1", "S2") else ("==", size == wanted)
        if not fits:
            text = (
                f"[{caller}] {name} layout is {layout}, shape is {bracket(shape)}, expected shape is "
                f"{bracket(expected)}, axis {axis}({size}) should be {symbol} expected {wanted}."
            )
            raise tiling_error(text, "CompareShape", _FILE)


def bracket(shape: Sequence[int]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"
