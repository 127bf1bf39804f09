"""How a sweep writes amounts: videos as tokens, sizes in bytes, ranges as lists."""

from __future__ import annotations

import re

VAE_STRIDE = (4, 8, 8)
"""Frames, rows and columns of video that one latent stands for in the Wan 2.x and HunyuanVideo autoencoders."""
PATCH = (1, 2, 2)
"""Latent frames, rows and columns that one token stands for in their transformers."""

MAX_AXIS = 2_000_000
"""Values that one axis may have."""

_SIZE = re.compile(r"([0-9]+) ?(B|KiB|MiB|GiB)")
_FACTOR = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def video_tokens(width: int, height: int, frames: int) -> int:
    """Tokens of a video of ``width`` x ``height`` pixels: ((frames - 1) / 4 + 1) * (height / 16) * (width / 16).

    Raises ValueError with the reason where the autoencoder and the patches do not divide it.
    """
    for name, pixels, stride in (("height", height, 1), ("width", width, 2)):
        unit = VAE_STRIDE[stride] * PATCH[stride]
        if pixels % unit:
            raise ValueError(f"a {name} that is a multiple of {unit}")
    if (frames - 1) % VAE_STRIDE[0]:
        raise ValueError(f"frames that are one more than a multiple of {VAE_STRIDE[0]}, as 25 or 81")
    latents = (frames - 1) // VAE_STRIDE[0] + 1
    return latents // PATCH[0] * (height // (VAE_STRIDE[1] * PATCH[1])) * (width // (VAE_STRIDE[2] * PATCH[2]))


def parse_bytes(text: str) -> int:
    """Bytes of `64 KiB`, `512 MiB`, `1 GiB` or `100 B`. Raises ValueError for anything else."""
    match = _SIZE.fullmatch(text.strip())
    if not match or int(match[1]) < 1:
        raise ValueError("bytes as a number, or with B, KiB (1024), MiB or GiB")
    return int(match[1]) * _FACTOR[match[2]]


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
