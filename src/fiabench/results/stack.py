"""One attention's time as a stack of parts, for figures and pages."""

from __future__ import annotations

import numpy as np

from fiabench.results.measurement import Measurement
from fiabench.results.metrics import PHASES, by_rank, last_to_arrive

PARTS = ("kernel", "pack", "transfer", "unpack", "ring exchange", "merge", "wait")
"""In their order from the axis outwards: kernels begin at zero, so that they compare best."""


def phases(measurement: Measurement) -> dict[str, float]:
    """Seconds of each part of one attention, in the order of PARTS; they add up to the mean rank's whole time.

    All parts are of the same iterations: the middle half by their sum, which stands up to outliers as a median does.
    """
    taken = {name: by_rank(measurement.samples[name]) for name in PHASES if name in measurement.samples}
    zero = np.zeros_like(taken["kernel"])
    exchanges = [taken[name] for name in taken if name.startswith("exchange")]
    transfers = [last_to_arrive(durations, measurement.case["ulysses"]) for durations in exchanges]
    parts = {
        "kernel": taken["kernel"],
        "pack": sum((taken[name] for name in taken if name.startswith("pack")), start=zero),
        "transfer": sum(transfers, start=zero),
        "unpack": sum((taken[name] for name in taken if name.startswith("unpack")), start=zero),
        "ring exchange": taken.get("ring_exchange", zero),
        "merge": taken.get("merge", zero),
        "wait": sum((whole - least for whole, least in zip(exchanges, transfers, strict=True)), start=zero),
    }
    sums = sum(parts.values(), start=zero).mean(axis=0)
    quarter = sums.size // 4
    middle = np.argsort(sums, kind="stable")[quarter : sums.size - quarter]
    return {name: float(part.mean(axis=0)[middle].mean()) for name, part in parts.items()}
