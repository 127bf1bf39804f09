"""Geometries of known models, from ``models.yaml`` beside this file."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Model(NamedTuple):
    """A model's attention: heads before any sharding, and the sequence lengths it is used at."""

    name: str
    title: str
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    tokens: tuple[int, ...]
    """Typical query tokens of one attention."""
    video: tuple[int, int] | None
    """Frames, and pixels in each direction, that one token stands for; None where there is no such formula."""
    source: str
    """Where the numbers come from."""
    checked: str
    """What was read to check them; empty where they are taken from the source as cited by others."""


@lru_cache(maxsize=1)
def models() -> dict[str, Model]:
    """Every preset by name."""
    with Path(__file__).with_name("models.yaml").open(encoding="utf-8") as stream:
        entries = yaml.load(stream, Loader=_LOADER)
    found = {}
    for name, entry in entries.items():
        video = entry.pop("video")
        video = (video["frames"], video["pixels"]) if video else None
        found[name] = Model(name=name, tokens=tuple(entry.pop("tokens")), video=video, **entry)
    return found
