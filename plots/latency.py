"""Latency against sequence length."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fiabench.figures import NothingToDraw, labels, series, slide, style
from fiabench.results.measurement import Measurement
from fiabench.results.rundir import Run

ABOUT = "Latency of the whole attention and of its kernel against sequence length, by head shard."
PANELS = {"total": "One attention end to end", "kernel": "Kernel alone"}


def draw(run: Run) -> Figure:
    """Log-log, one line for each head shard; a panel for the kernel where exchanges come on top of it."""
    measured = [m for m in run.measurements if m.measured and m.case["measure"] != "exchange"]
    if not measured:
        raise NothingToDraw("no attention was measured")
    length, length_name = series.lengths(measured)
    lines = series.group(measured, length, series.shard, series.shard_names(measured))
    across = [length(m) for m in lines.drawn]
    panels = ["total", "kernel"] if any("closure_residual" in m.metrics for m in lines.drawn) else ["kernel"]
    figure, all_axes = slide.slide(
        f"Attention latency against {length_name}{lines.by('head shard')}",
        [labels.device_line(run.environment, lines.drawn), lines.common],
        [labels.interval_note(lines.drawn, "total"), lines.note, labels.not_drawn_note(run.measurements)],
        columns=len(panels),
        sharey=True,
    )
    quadratic = [m for m in lines.drawn if m.case["seq_len_kv"] == m.case["seq_len_q"]]
    for axes, metric in zip(all_axes, panels, strict=True):
        slide.draw_lines(axes, lines, length, slide.metric(metric))
        axes.set_title(PANELS[metric])
        axes.set_xlabel(f"{length_name} (tokens)")
        slide.measured_ticks(axes, across, labels.tokens_apart(across))
        if quadratic:
            guide(axes, quadratic, metric)
    slide.log_ticks(all_axes[0], "y", labels.seconds)
    all_axes[0].set_ylabel("latency")
    extra = [slide.guide_key("quadratic: time ~ tokens²")] if quadratic else []
    slide.legend(all_axes[-1], lines, "head shard", extra)
    return figure


def guide(axes: Axes, measured: list[Measurement], metric: str) -> None:
    """The line of slope two through the slowest of the longest sequences, across the axis."""
    longest = max(measured, key=lambda m: (m.case["seq_len_q"], m.metrics[metric]["value"]))
    ends = axes.get_xlim()
    scale = 1.25 * longest.metrics[metric]["value"] / longest.case["seq_len_q"] ** 2
    axes.plot(
        ends,
        [scale * end**2 for end in ends],
        color=style.QUIET,
        linestyle=(0, (3, 3)),
        linewidth=1.4,
        gid="quadratic",
        zorder=1.5,
    )
