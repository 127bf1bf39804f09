"""The kernel under the hardware's roof."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fiabench.cases import costs
from fiabench.figures import NothingToDraw, kernel, labels, series, slide, style
from fiabench.results.measurement import Measurement
from fiabench.results.rundir import Run

ABOUT = "Roofline: FLOP/s that one rank's kernel achieves against its arithmetic intensity, under the hardware's roof."


def draw(run: Run) -> Figure:
    """A point for each case; the roof of each drawn dtype, where the hardware's peaks are known."""
    measured = [m for m in run.measurements if m.measured and "achieved_flops" in m.metrics]
    if not measured:
        raise NothingToDraw("no kernel was measured")
    lines = series.group(measured, intensity, series.shard, series.shard_names(measured))
    peak = run.environment.get("peak") or {}
    bandwidth = peak.get("memory_bandwidth")
    roofs = kernel.peaks_of(run, lines.drawn)
    figure, (axes,) = slide.slide(
        f"Roofline of one rank's attention kernel{lines.by('head shard')}",
        [labels.device_line(run.environment, lines.drawn), lines.common],
        [
            "intensity: FLOPs by the least bytes (q, k, v read once, the output written once)",
            f"roof: {peak.get('source', 'as recorded')}" if roofs else "peak unknown for this device: no roof",
            "memory bandwidth unknown: the roof is flat" if roofs and not bandwidth else "",
            lines.note,
            labels.not_drawn_note(run.measurements),
        ],
    )
    slide.draw_lines(axes, lines, intensity, kernel.throughput, joined=False)
    axes.set_xscale("log")
    axes.set_yscale("log")
    if roofs:
        draw_roofs(axes, roofs, bandwidth)
    widen(axes)
    slide.log_ticks(axes, "x", lambda value: f"{value:,.10g}")
    slide.log_ticks(axes, "y", lambda value: labels.rate(value, "FLOP/s"))
    name_lengths(axes, lines.drawn)
    axes.set_xlabel("arithmetic intensity (FLOP/byte)")
    axes.set_ylabel("achieved by the kernel")
    slide.legend(axes, lines, "head shard", joined=False)
    return figure


def intensity(measurement: Measurement) -> float:
    """FLOP for each byte that the kernel cannot avoid to move."""
    case = measurement.point
    return costs.kernel_flops(case) / costs.kernel_min_bytes(case)


def name_lengths(axes: Axes, drawn: list[Measurement]) -> None:
    """Names the sequence lengths above the axes, but for decode, whose intensity does not tell them."""
    names = {intensity(m): labels.tokens(m.case["seq_len_q"]) for m in drawn if m.case["seq_len_q"] > 1}
    if names:
        slide.name_columns(axes, names, "tokens")


def draw_roofs(axes: Axes, roofs: dict[float, list[str]], bandwidth: float | None) -> None:
    """Each roof from well left of its ridge, or the points, to well right; without bandwidth the flat part alone."""
    ridges = [peak / bandwidth for peak in roofs] if bandwidth else []
    low = min([axes.dataLim.x0, *ridges]) / 4
    high = max([axes.dataLim.x1, *ridges]) * 3
    look: dict[str, Any] = {"color": style.INK, "linewidth": 1.6, "zorder": 1.8}
    for peak, dtypes in roofs.items():
        ridge = peak / bandwidth if bandwidth else low
        axes.plot([low, ridge, high], [low * peak / ridge, peak, peak], gid="roof", **look)
        name = f"{', '.join(dtypes)} peak: {labels.rate(peak, 'FLOP/s')}"
        axes.annotate(name, (high, peak), xytext=(0, 6), textcoords="offset points", ha="right", fontsize=13)
    if bandwidth:
        name = f"memory: {labels.rate(bandwidth, 'B/s')}"
        axes.annotate(name, (low, low * bandwidth), xytext=(8, -2), textcoords="offset points", va="top", fontsize=13)


def widen(axes: Axes) -> None:
    """Limits around everything drawn with some room, and no less than a decade, so that the axes have ticks."""
    drawn = axes.dataLim
    for (low, high), put in (((drawn.x0, drawn.x1), axes.set_xlim), ((drawn.y0, drawn.y1), axes.set_ylim)):
        spare = max(1.6, (10 * low / high) ** 0.5)
        put(low / spare, high * spare)
