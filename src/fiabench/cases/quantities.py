"""How a sweep writes amounts: videos as tokens, sizes in bytes, ranges as lists."""

from __future__ import annotations

import re

WAN_FRAMES, WAN_PIXELS = 4, 16
"""Frames, and pixels in each direction, that one token of the Wan 2.x 14B models stands for: the autoencoder's stride
of (4, 8, 8) times patches of (1, 2, 2)."""

MAX_AXIS = 2_000_000
"""Values that one axis may have."""

_SIZE = re.compile(r"([0-9]+) ?(B|KiB|MiB|GiB)")
_DURATION = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?) ?([smh])")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_FACTOR = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def video_tokens(
    width: int, height: int, frames: int, *, per_frames: int = WAN_FRAMES, per_pixels: int = WAN_PIXELS
) -> int:
    """Tokens of a video of ``width`` x ``height`` pixels: ((frames - 1) / 4 + 1) * (height / 16) * (width / 16).

    ``per_frames`` and ``per_pixels`` are the 4 and the 16 of a model. Raises ValueError with what is allowed where they
    do not divide the video.
    """
    for name, pixels in (("width", width), ("height", height)):
        if pixels % per_pixels:
            raise ValueError(f"a {name} that is a multiple of {per_pixels}")
    if (frames - 1) % per_frames:
        several = f"{4 * per_frames + 1} or {10 * per_frames + 1}"
        raise ValueError(f"frames that are one more than a multiple of {per_frames}, as {several}")
    return ((frames - 1) // per_frames + 1) * (height // per_pixels) * (width // per_pixels)


def parse_bytes(text: str) -> int:
    """Bytes of `64 KiB`, `512 MiB`, `1 GiB` or `100 B`. Raises ValueError for anything else."""
    match = _SIZE.fullmatch(text.strip())
    if not match or int(match[1]) < 1:
        raise ValueError("bytes as a number, or with B, KiB (1024), MiB or GiB")
    return int(match[1]) * _FACTOR[match[2]]


def parse_duration(text: str) -> float:
    """Seconds of `90s`, `30m` or `1.5h`. Raises ValueError for anything else, and for none at all."""
    match = _DURATION.fullmatch(text.strip())
    if not match or not float(match[1]):
        raise ValueError("a time above 0 with s, m or h: 90s, 30m, 1.5h")
    return float(match[1]) * _SECONDS[match[2]]


def stepped(start: int, stop: int, *, step: int | None = None, times: int | None = None) -> list[int]:
    """``start``, then ``step`` more or ``times`` as much, up to and with ``stop``.

    Raises ValueError with what is allowed where the range is empty, never ends or is longer than an axis may be.
    """
    if (step is None) == (times is None):
        raise ValueError("either step or times")
    if start > stop:
        raise ValueError("a range whose `to` is not below its `from`")
    if step is not None:
        if (stop - start) // step >= MAX_AXIS:
            raise ValueError(f"a range of at most {MAX_AXIS:,} values")
        return list(range(start, stop + 1, step))
    values = []
    while start <= stop:
        values.append(start)
        start *= times or 0
    return values
