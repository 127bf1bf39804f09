"""What is planted into the simulated device, and the truth that a measurement of it should give."""

from __future__ import annotations

import random
from dataclasses import dataclass

from fiabench.cases.case import Case
from fiabench.simulation.predict import predict
from fiabench.simulation.spec import Spec

NOISE = 0.01
"""Standard deviation of the planted noise; of two modes their distance, or half of it."""
NARROW = 0.1
"""Spread of each of two modes in parts of the gap between them."""
RANKS = 4
WINDOW = 30
"""Samples over which a drift is given, and in which throttling begins: what a steady measurement takes at 1 % noise."""
_BEFORE = 26
"""Iterations before the first sample: the checked one, two windows of warm-up, five by which to choose how to time."""
_EARLIEST, _LATEST = 5, 25
"""Samples of the WINDOW between which throttling begins."""

SPEC = Spec.model_validate(
    {
        "name": "evidence",
        "about": "One head of 8,192 tokens takes 5 ms, and launching nothing: the truth is the model's arithmetic.",
        "kind": "npu",
        "peak": {"tflops": {"bf16": 100.0}, "source": "chosen"},
        "memory": {"gib": 8.0, "gb_s": 1000.0, "share": 1.0, "source": "chosen"},
        "kernel": {
            "peak_tflops": 100.0,
            "head_dim": 128,
            "anchors": [{"heads": 1, "tokens": 8192, "microseconds": 5000.0}],
            "source": "chosen",
        },
        "launch": {"microseconds": 0.0, "source": "chosen"},
        "node": {"ranks": RANKS, "links": "mesh", "gb_s": 3.0, "share": 1.0, "microseconds": 10.0, "source": "chosen"},
        "across": {"nodes": 1, "gb_s": 3.0, "share": 1.0, "microseconds": 10.0, "source": "chosen"},
    }
)


def attention(ulysses: int, op: str, dtype: str, tokens: int, head_dim: int, exchange: str, ring: int = 1) -> Case:
    """One head for each Ulysses rank; a kernel alone where there is one rank. One CPU thread each."""
    return Case(
        measure="ulysses" if ulysses * ring > 1 else "kernel", op=op, layout="BNSD", dtype=dtype, mask="none",
        seq_len_q=tokens, seq_len_kv=tokens, batch=1, heads=ulysses, kv_heads=ulysses, head_dim=head_dim,
        tp=1, ulysses=ulysses, ring=ring, heads_per_rank=1, kv_heads_per_rank=1,
        exchange=exchange, exchange_bytes=0, replicas="one", threads=1,
    )  # fmt: skip


KERNEL = attention(1, "fia", "bf16", 8192, 128, "none")
ULYSSES = attention(RANKS, "fia", "bf16", 8192, 128, "packed")
UNDISTURBED = predict(KERNEL, SPEC).total
"""Seconds of the kernel alone."""


@dataclass(frozen=True)
class Kind:
    """A kind of disturbance of the kernel alone."""

    name: str
    plants: tuple[str, ...]
    """As after ``--plant``."""
    truth: float = 1.0
    """The median of the planted distribution, in parts of UNDISTURBED; of what changes with time the level at first."""
    throttled: float = 0.0
    """By how much the device gets slower at a moment within the WINDOW, which the seed decides."""

    def of(self, seed: int) -> tuple[str, ...]:
        """Everything that is planted under ``seed``."""
        return (*self.plants, f"throttle={self.begins(seed)}:{1 + self.throttled}") if self.throttled else self.plants

    def begins(self, seed: int) -> float:
        """Seconds after the case's start at which the device gets slower."""
        return (_BEFORE + random.Random(seed).randint(_EARLIEST, _LATEST)) * UNDISTURBED


def modes(weight: float, gap: float) -> Kind:
    """Two modes, the upper one ``gap`` above the lower and with ``weight``, each NARROW."""
    spread = NARROW * gap
    name = f"modes {1 - weight:.0%} and {weight:.0%}, {gap:.0%} apart".replace("%", " %")
    plants = (f"noise=bimodal:{gap}:{weight}", f"noise=gaussian:{spread}")
    return Kind(name, plants, _median_of_modes(weight, gap, spread))


def _median_of_modes(weight: float, gap: float, spread: float) -> float:
    from scipy.special import ndtr

    low, high = 1.0, 1.0 + gap
    while high - low > 1e-12:
        middle = (low + high) / 2
        below = (1 - weight) * ndtr((middle - 1) / spread) + weight * ndtr((middle / (1 + gap) - 1) / spread)
        low, high = (middle, high) if below < 0.5 else (low, middle)
    return high


_GAUSSIAN = f"noise=gaussian:{NOISE}"
GAUSSIAN = Kind("Gaussian", (_GAUSSIAN,))
HEAVY_TAILED = Kind("Student's t, 3 degrees of freedom", (f"noise=t3:{NOISE}",))
KNOWN = (GAUSSIAN, HEAVY_TAILED, modes(0.3, NOISE), modes(0.3, 2 * NOISE))
"""Kinds of which the median can be known."""
EQUAL_MODES = (modes(0.5, NOISE), modes(0.5, 2 * NOISE))
DEPENDENT = tuple(Kind(f"neighbours correlate by {r}", (f"noise=ar:{NOISE}:{r}",)) for r in (0.3, 0.5, 0.7, 0.9))
DRIFTING = tuple(
    Kind(f"drift of {size} %", (_GAUSSIAN, f"drift={size / 100}:{WINDOW * UNDISTURBED}")) for size in (5, 10)
)
THROTTLED = tuple(Kind(f"throttling by {size} %", (_GAUSSIAN,), throttled=size / 100) for size in (5, 10))
KINDS = {kind.name: kind for kind in (*KNOWN, *EQUAL_MODES, *DEPENDENT, *DRIFTING, *THROTTLED)}
