"""Data as script files: a page that is opened from file:// may load scripts from beside it, and may not fetch."""

from __future__ import annotations

import base64
import hashlib
import json
from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np

_UNSAFE = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})
"""What may stand in JSON and must not in a script: an end of it, and line ends that only JavaScript knows."""


def take(key: str, content: Any) -> str:
    """The script that hands ``content`` to the page under ``key``. Raises ValueError for what JSON does not have."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return f"fiabench.take({json.dumps(key)},{text.translate(_UNSAFE)});\n"


def packed(values: np.ndarray | Sequence[float]) -> str:
    """Numbers as little-endian float32 in base64: half of what digits take, and NaN where there is none."""
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f4").tobytes()).decode("ascii")


def shortened(values: array[float]) -> str:
    """Numbers in single precision, rounded to what is left without their last byte, in base64: to 1.5e-5 of them, a
    quarter less."""
    bits = np.frombuffer(values, "=f4").astype("<f4").view("<u4")
    bits[np.isfinite(values)] += 0x80  # carries into the bytes that stay, from half of their last place on
    return base64.b64encode(bits.view("u1").reshape(-1, 4)[:, 1:].tobytes()).decode("ascii")


def key_of(*parts: str) -> str:
    """A file name for what outsiders named: the same for the same names, and never anything but letters and digits."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]
