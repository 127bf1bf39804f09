"""Sessions of samples whose truth is known."""

from __future__ import annotations

import numpy as np

SPREAD = 0.01
"""Standard deviation of the noise within a session, relative."""
Source = np.random.Generator


def sessions(source: Source, count: int, level: float, between: float, samples: int = 24) -> list[np.ndarray]:
    """``count`` fresh processes with ``samples`` each, whose own levels spread by ``between``."""
    offsets = between * source.standard_normal((count, 1))
    return list(level * np.exp(offsets + SPREAD * source.standard_normal((count, samples))))
