"""Parallel efficiency against Ulysses degree."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from fiabench.figures import NothingToDraw, labels, series, slide, style
from fiabench.results.measurement import Measurement
from fiabench.results.rundir import Run

ABOUT = "Parallel efficiency of the whole attention against Ulysses degree: t(1) / (P * t(P))."

OF_BASELINE = tuple(field for field in series.OF_ATTENTION if field not in ("exchange", "threads"))
"""What a case and its baseline have in common, beside tokens and tensor parallel degree."""


def draw(run: Run) -> Figure:
    """One line for each sequence length, from its own case at Ulysses degree 1."""
    measured = [m for m in run.measurements if m.measured and m.case["measure"] == "ulysses"]
    alone = {same(m): m for m in measured if m.case["ulysses"] == 1}
    split = [m for m in measured if m.case["ulysses"] > 1]
    if not split:
        raise NothingToDraw("no attention with Ulysses degree 2 or more was measured")
    compared = [m for m in split if same(m) in alone]
    if not compared:
        raise NothingToDraw("no case has its like at Ulysses degree 1 to be compared with")

    def efficiency(measurement: Measurement) -> slide.Value:
        one = slide.metric("total")(alone[same(measurement)])
        many = slide.metric("total")(measurement)
        ranks = measurement.case["ulysses"]
        return slide.Value(one.value / ranks / many.value, one.low / ranks / many.high, one.high / ranks / many.low)

    lengths = {m.case["seq_len_q"]: f"{m.case['seq_len_q']:,} tokens" for m in compared}
    lines = series.group(compared, degree, lambda m: m.case["seq_len_q"], lengths, ("tp", *series.OF_ATTENTION))
    involved = [*lines.drawn, *(alone[same(m)] for m in lines.drawn)]
    reachable = {degree(m): 1.0 for m in involved}
    for m in lines.drawn:
        reachable[degree(m)] = min(reachable[degree(m)], hardware_share(run, m, alone[same(m)]))
    sharing = min(reachable.values()) < 1
    left = len(split) - len(compared)
    figure, (axes,) = slide.slide(
        "Parallel efficiency against Ulysses degree",
        [labels.device_line(run.environment, involved), lines.common],
        [
            "efficiency: t(1) / (P * t(P)), whole attention, same tokens and tp",
            "the ranks share this machine's cores: this shows the cost of sharing, not how devices of their own scale"
            if sharing
            else "",
            "error bars: both medians' intervals, within this session",
            f"{left} {'case has' if left == 1 else 'cases have'} no like at Ulysses degree 1" if left else "",
            lines.note,
            labels.not_drawn_note(run.measurements),
        ],
    )
    slide.draw_lines(axes, lines, degree, efficiency)
    slide.measured_ticks(axes, reachable, lambda value: f"{value:.0f}", base=2)
    axes.plot(axes.get_xlim(), [1, 1], color=style.INK, linewidth=1.4, gid="ideal")
    keys = [slide.guide_key("ideal: P devices", color=style.INK, linestyle="-")]
    if sharing:
        ideal = sorted(reachable.items())
        axes.plot(*zip(*ideal), color=style.QUIET, linestyle=(0, (3, 3)), linewidth=1.4, gid="shared")
        keys.append(slide.guide_key("ideal: the same cores"))
    slide.zero_based(axes, lambda value: f"{100 * value:.0f} %", 1.08)
    axes.set_xlabel("Ulysses degree P (ranks that share one attention)")
    axes.set_ylabel("parallel efficiency")
    slide.legend(axes, lines, "sequence length", keys)
    return figure


def degree(measurement: Measurement) -> float:
    return float(measurement.case["ulysses"])


def hardware_share(run: Run, measurement: Measurement, alone: Measurement) -> float:
    """The most that efficiency can be where ranks divide cores: a rank's part of them by the part of one rank alone."""
    if run.environment["device"] != "cpu":
        return 1.0

    def cores(m: Measurement) -> float:
        return min(m.case["threads"], run.environment["cores"] / m.timing["world_size"])

    return min(1.0, cores(measurement) / cores(alone))


def same(measurement: Measurement) -> tuple[Any, ...]:
    """What a case has in common with its baseline."""
    fields = tuple(series.FIELDS[field].read(measurement) for field in OF_BASELINE)
    return (measurement.case["seq_len_q"], measurement.case["tp"], *fields)
