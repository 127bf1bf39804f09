"""The kernel's throughput against sequence length."""

from __future__ import annotations

from matplotlib.figure import Figure

from fiabench.figures import NothingToDraw, kernel, labels, series, slide, style
from fiabench.figures.series import tokens
from fiabench.results.rundir import Run

ABOUT = "FLOP/s that one rank's kernel achieves against sequence length, by head shard, with the hardware's peak."


def draw(run: Run) -> Figure:
    """One line for each head shard; the dense peak of each drawn dtype, where it is known, as a line across."""
    measured = [m for m in run.measurements if m.measured and "achieved_flops" in m.metrics]
    if not measured:
        raise NothingToDraw("no kernel was measured")
    lines = series.group(measured, tokens, series.shard, series.shard_names(measured))
    peaks = kernel.peaks_of(run, lines.drawn)
    figure, (axes,) = slide.slide(
        "Kernel throughput of one rank against sequence length, by head shard",
        [labels.device_line(run.environment, lines.drawn), lines.common],
        [
            "FLOP/s: 4 x head dim for each attended pair of query and key, by the kernel's median on the slowest rank",
            labels.interval_note(lines.drawn, "kernel"),
            "" if peaks else "peak unknown for this device: no line for it",
            lines.note,
            labels.not_drawn_note(run.measurements),
        ],
    )
    slide.draw_lines(axes, lines, tokens, kernel.throughput)
    slide.measured_ticks(axes, map(tokens, lines.drawn), labels.tokens)
    for peak, dtypes in peaks.items():
        axes.axhline(peak, color=style.INK, linestyle="-", linewidth=1.4, gid="peak")
        name = f"{', '.join(dtypes)} peak: {labels.rate(peak, 'FLOP/s')}"
        axes.annotate(
            name,
            (0.01, peak),
            xycoords=axes.get_yaxis_transform(),
            xytext=(0, -5),
            textcoords="offset points",
            va="top",
            fontsize=13,
        )
    slide.zero_based(axes, lambda value: labels.rate(value, "FLOP/s"))
    axes.set_xlabel("sequence length (tokens)")
    axes.set_ylabel("achieved by the kernel")
    slide.legend(axes, lines, "head shard")
    return figure
