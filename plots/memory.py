"""Peak memory against sequence length."""

from __future__ import annotations

from matplotlib.figure import Figure

from fiabench.figures import NothingToDraw, labels, series, slide
from fiabench.results.rundir import Run

ABOUT = "Peak memory of one attention on a rank against sequence length, by head shard and variant."


def draw(run: Run) -> Figure:
    """Log-log, one line for each head shard and variant."""
    measured = [
        m for m in run.measurements if m.measured and m.case["measure"] != "exchange" and m.value("peak_memory")
    ]
    if not measured:
        raise NothingToDraw("no peak memory of an attention was measured")
    length, length_name = series.lengths(measured)
    lines = series.group(measured, length, series.shard, series.shard_names(measured))
    across = [length(m) for m in lines.drawn]
    on_cpu = run.environment["device"] == "cpu"
    figure, (axes,) = slide.slide(
        f"Peak memory of one attention on a rank{lines.by('head shard')}",
        [labels.device_line(run.environment, lines.drawn), lines.common],
        [
            f"most that the case took of the {'process' if on_cpu else 'device allocator'}, on the rank with most",
            "inputs and the timed calls are in it, the correctness check is not",
            lines.note,
            labels.not_drawn_note(run.measurements),
        ],
    )
    slide.draw_lines(axes, lines, length, slide.metric("peak_memory"))
    slide.measured_ticks(axes, across, labels.tokens_apart(across))
    slide.log_ticks(axes, "y", labels.size, base=2)
    axes.set_xlabel(f"{length_name} (tokens)")
    axes.set_ylabel("peak memory on a rank")
    slide.legend(axes, lines, "head shard")
    return figure
