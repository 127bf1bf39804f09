"""Parallel efficiency against the ranks that share one attention."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from fiabench.figures import NothingToDraw, labels, series, slide, style
from fiabench.results import words
from fiabench.results.measurement import Measurement
from fiabench.results.rundir import Run

ABOUT = "Parallel efficiency of the whole attention against the ranks that share it: t(1) / (P * t(P))."

SPLIT = ("tp", "ring", "cfg")
"""How a case is divided, beside Ulysses: the same number of ranks may share a sequence in several ways."""
OF_BASELINE = tuple(field for field in words.OF_ATTENTION if field not in ("exchange", "threads", words.BESIDE))
"""What a case and its baseline have in common, beside lengths, tensor and cfg parallel degree."""


def draw(run: Run) -> Figure:
    """One line for each sequence length, from its own case at Ulysses degree 1."""
    measured = [m for m in run.measurements if m.measured and m.case["measure"] == "ulysses"]
    alone = {same(m): m for m in measured if m.point.sequence_ranks == 1}
    split = [m for m in measured if m.point.sequence_ranks > 1]
    if not split:
        raise NothingToDraw("no attention that several ranks share was measured")
    compared = [m for m in split if same(m) in alone]
    if not compared:
        raise NothingToDraw("no case has its like on one rank to be compared with")

    def efficiency(measurement: Measurement) -> slide.Value:
        one = slide.metric("total")(alone[same(measurement)])
        many = slide.metric("total")(measurement)
        ranks = measurement.point.sequence_ranks
        return slide.Value(one.value / ranks / many.value, one.low / ranks / many.high, one.high / ranks / many.low)

    length, _ = series.lengths(compared)
    names = {length(m): f"{length(m):,.0f} tokens" for m in compared}
    lines = series.group(compared, degree, length, names, (*SPLIT, *words.OF_ATTENTION))
    involved = [*lines.drawn, *(alone[same(m)] for m in lines.drawn)]
    reachable = {degree(m): 1.0 for m in involved}
    for m in lines.drawn:
        reachable[degree(m)] = min(reachable[degree(m)], hardware_share(run, m, alone[same(m)]))
    sharing = min(reachable.values()) < 1
    left = len(split) - len(compared)
    figure, (axes,) = slide.slide(
        "Parallel efficiency against the ranks of one attention",
        [labels.device_line(run.environment, involved), lines.common],
        [
            "efficiency: t(1) / (P * t(P)), whole attention, same tokens and tp",
            "the ranks share this machine's cores: this shows the cost of sharing, not how devices of their own scale"
            if sharing
            else "",
            "error bars: both medians' intervals, within this session",
            f"{left} {'case has' if left == 1 else 'cases have'} no like on one rank" if left else "",
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
    axes.set_xlabel("P: ranks that share one attention (Ulysses degree x ring degree)")
    axes.set_ylabel("parallel efficiency")
    slide.legend(axes, lines, "sequence length", keys)
    return figure


def degree(measurement: Measurement) -> float:
    return float(measurement.point.sequence_ranks)


def hardware_share(run: Run, measurement: Measurement, alone: Measurement) -> float:
    """The most that efficiency can be where ranks divide cores: a rank's part of them by the part of one rank alone."""
    if run.environment["device"] != "cpu":
        return 1.0

    def cores(m: Measurement) -> float:
        return min(m.case["threads"], run.environment["cores"] / m.timing["world_size"])

    return min(1.0, cores(measurement) / cores(alone))


def same(measurement: Measurement) -> tuple[Any, ...]:
    """What a case has in common with its baseline."""
    case = measurement.point
    fields = tuple(words.FIELDS[field].read(case) for field in OF_BASELINE)
    return (case.seq_len_q, case.seq_len_kv, case.tp, case.cfg, *fields)
