"""Bus bandwidth of the all-to-all alone against its size."""

from __future__ import annotations

from matplotlib.figure import Figure

from fiabench.cases import costs
from fiabench.figures import NothingToDraw, labels, series, slide
from fiabench.results.measurement import Measurement
from fiabench.results.rundir import Run
from fiabench.results.words import OF_EXCHANGE

ABOUT = "Bus bandwidth of the all-to-all alone against bytes a rank, by Ulysses degree."


def draw(run: Run) -> Figure:
    """One line for each Ulysses degree."""
    measured = [m for m in run.measurements if m.measured and "busbw" in m.metrics and m.case["measure"] == "exchange"]
    if not measured:
        raise NothingToDraw("no all-to-all was measured alone")
    ranks = {m.case["ulysses"]: f"{m.case['ulysses']} ranks" for m in measured}
    lines = series.group(measured, size, lambda m: m.case["ulysses"], ranks, OF_EXCHANGE)
    figure, (axes,) = slide.slide(
        "Bus bandwidth of the all-to-all alone, by Ulysses degree",
        [labels.device_line(run.environment, lines.drawn), lines.common],
        [
            "busbw: bytes a rank / transfer * (P - 1) / P; waiting for a late rank is not in it",
            labels.interval_note(lines.drawn, "transfer"),
            lines.note,
            labels.not_drawn_note(run.measurements),
        ],
    )
    slide.draw_lines(axes, lines, size, busbw)
    slide.measured_ticks(axes, map(size, lines.drawn), labels.size, base=2)
    slide.log_ticks(axes, "y", lambda value: labels.rate(value, "B/s"))
    axes.set_xlabel("a rank's whole send buffer")
    axes.set_ylabel("bus bandwidth")
    slide.legend(axes, lines, "Ulysses degree")
    return figure


def size(measurement: Measurement) -> float:
    return float(measurement.case["exchange_bytes"])


def busbw(measurement: Measurement) -> slide.Value:
    """B/s, of the transfer's interval."""
    return slide.rate(costs.wire_bytes(measurement.point), slide.metric("transfer")(measurement))
