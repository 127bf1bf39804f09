"""The kernel's throughput against sequence length."""

from __future__ import annotations

from matplotlib.figure import Figure

from fiabench.figures import NothingToDraw, kernel, labels, series, slide, style
from fiabench.results.rundir import Run

ABOUT = "FLOP/s that one rank's kernel achieves against sequence length, by head shard, with the hardware's peak."

FARTHEST_PEAK = 10
"""Times the highest throughput; a peak beyond would leave the lines on the axis, as in decode."""


def draw(run: Run) -> Figure:
    """One line for each head shard; the dense peak of each drawn dtype, where it is known, as a line across."""
    measured = [m for m in run.measurements if m.measured and "achieved_flops" in m.metrics]
    if not measured:
        raise NothingToDraw("no kernel was measured")
    length, length_name = series.lengths(measured)
    lines = series.group(measured, length, series.shard, series.shard_names(measured))
    across = [length(m) for m in lines.drawn]
    peaks = kernel.peaks_of(run, lines.drawn)
    highest = max(kernel.throughput(m).value for m in lines.drawn)
    near = [peak for peak in peaks if peak <= FARTHEST_PEAK * highest]
    beyond = [peak_name(peak, dtypes) for peak, dtypes in peaks.items() if peak not in near]
    figure, (axes,) = slide.slide(
        f"Kernel throughput of one rank against {length_name}{lines.by('head shard')}",
        [labels.device_line(run.environment, lines.drawn), lines.common],
        [
            "FLOP/s: 4 x head dim for each attended pair of query and key, by the kernel's median on the slowest rank",
            labels.interval_note(lines.drawn, "kernel"),
            "" if peaks else "peak unknown for this device: no line for it",
            f"far beyond the axis: {', '.join(beyond)}" if beyond else "",
            lines.note,
            labels.not_drawn_note(run.measurements),
        ],
    )
    slide.draw_lines(axes, lines, length, kernel.throughput)
    slide.measured_ticks(axes, across, labels.tokens_apart(across))
    for peak in near:
        axes.axhline(peak, color=style.INK, linestyle="-", linewidth=1.4, gid="peak")
        axes.annotate(
            peak_name(peak, peaks[peak]),
            (0.01, peak),
            xycoords=axes.get_yaxis_transform(),
            xytext=(0, -5),
            textcoords="offset points",
            va="top",
            fontsize=13,
        )
    slide.zero_based(axes, lambda value: labels.rate(value, "FLOP/s"))
    axes.set_xlabel(f"{length_name} (tokens)")
    axes.set_ylabel("achieved by the kernel")
    slide.legend(axes, lines, "head shard")
    return figure


def peak_name(peak: float, dtypes: list[str]) -> str:
    return f"{', '.join(dtypes)} peak: {labels.rate(peak, 'FLOP/s')}"
