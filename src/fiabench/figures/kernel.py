"""What figures of the kernel share: its throughput, and the peaks that it is held against."""

from __future__ import annotations

from collections.abc import Iterable

from fiabench.cases import costs
from fiabench.figures import slide
from fiabench.results.measurement import Measurement
from fiabench.results.rundir import Run


def throughput(measurement: Measurement) -> slide.Value:
    """FLOP/s, of the kernel's interval."""
    return slide.rate(costs.kernel_flops(measurement.point), slide.metric("kernel")(measurement))


def peaks_of(run: Run, drawn: Iterable[Measurement]) -> dict[float, list[str]]:
    """The known peaks in FLOP/s, each with the drawn dtypes that it holds for."""
    known = (run.environment.get("peak") or {}).get("flops", {})
    peaks: dict[float, list[str]] = {}
    for dtype in sorted({measurement.case["dtype"] for measurement in drawn} & set(known)):
        peaks.setdefault(known[dtype], []).append(dtype)
    return peaks
