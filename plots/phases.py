"""Where one attention's time goes, by head shard."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from fiabench.figures import NothingToDraw, labels, series, slide, style
from fiabench.results.measurement import Measurement
from fiabench.results.rundir import Run
from fiabench.results.stack import phases
from fiabench.results.units import percent

ABOUT = "The phases of one attention shared by several ranks, stacked, by head shard for each sequence length."

LOOKS: dict[str, dict[str, Any]] = {
    "kernel": {"facecolor": "#0072B2"},
    "pack": {"facecolor": "#E69F00"},
    "transfer": {"facecolor": "#D55E00"},
    "unpack": {"facecolor": "#F0E442"},
    "ring exchange": {"facecolor": "#CC79A7"},
    "merge": {"facecolor": "#009E73"},
    "wait": {"facecolor": "white", "edgecolor": style.QUIET, "linewidth": 0.8, "hatch": "////"},
}
"""The stack's parts from the axis outwards: kernels begin at zero, so that they compare best."""
MAX_PANELS = 4
MAX_BARS = 16
_NAMES_AND_PANELS, _CHARACTER, _TICK = 11.5, 0.1, 0.55
"""Inches: the slide's width within its margins, and of it what a character of a bar's name and a tick's label take."""
LARGE_RESIDUAL = 0.05
"""From here on the part of the time that is in no phase is written beside the bar."""


def draw(run: Run) -> Figure:
    """A panel for each sequence length, a bar for each head shard and variant."""
    measured = [m for m in run.measurements if m.measured and m.case["measure"] == "ulysses" and "kernel" in m.samples]
    if not any(m.point.sequence_ranks > 1 for m in measured):
        raise NothingToDraw("no attention that several ranks share was measured")
    length, _ = series.lengths(measured)
    lines = series.group(measured, length, series.shard, series.shard_names(measured), most=MAX_BARS)
    bars, left = lines.lines[:MAX_BARS], len(lines.lines) - MAX_BARS
    lengths = sorted({length(m) for line in bars for m in line.points})
    shown = [lengths[i] for i in sorted({round(i) for i in np.linspace(0, len(lengths) - 1, MAX_PANELS)})]
    drawn = [m for line in bars for m in line.points if length(m) in shown]
    large = any(abs(m.value("closure_residual") or 0) >= LARGE_RESIDUAL for m in drawn)
    figure, panels = slide.slide(
        f"Phases of one attention{lines.by('head shard')}",
        [labels.device_line(run.environment, drawn), lines.common],
        [
            "bars: mean over the ranks, of the middle half of the iterations",
            "marker: slowest rank's median end to end, without inner recording",
            f"percent: closure residual on the worst rank, from {100 * LARGE_RESIDUAL:.0f} % up" if large else "",
            f"{len(lengths) - len(shown)} sequence lengths between are not drawn" if len(shown) < len(lengths) else "",
            f"{left} more bars are not drawn" if left > 0 else "",
            lines.note,
            labels.not_drawn_note(run.measurements),
        ],
        columns=len(shown),
        sharey=True,
        keys=keys(drawn),
    )
    names = [lines.name(line) for line in bars]
    ticks = max(2, min(8, int((_NAMES_AND_PANELS - _CHARACTER * max(map(len, names))) / len(shown) / _TICK)))
    for axes, tokens in zip(panels, shown, strict=True):
        for row, line in enumerate(bars):
            for measurement in line.points:
                if length(measurement) == tokens:
                    bar(axes, row, measurement)
        axes.set_title(f"{tokens:,.0f} tokens")
        axes.set_xlim(0, axes.dataLim.x1 * (1.25 if large else 1.08))
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 2.5, 5, 10]))
        scale, unit = labels.time_unit(axes.dataLim.x1)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _, scale=scale: f"{value / scale:,.4g}"))
        axes.set_xlabel(unit)
    panels[0].set_yticks(range(len(bars)), names, fontsize=13)
    spare = max(0.0, (4 - len(bars)) / 2)  # few bars stay slim
    panels[0].set_ylim(len(bars) - 0.4 + spare, -0.6 - spare)
    return figure


def keys(drawn: list[Measurement]) -> list[Artist]:
    """The legend's entries."""
    parts = {name for m in drawn for name, seconds in phases(m).items() if seconds}
    entries: list[Artist] = [Patch(label=name, **look) for name, look in LOOKS.items() if name in parts]
    mark = {"color": style.INK, "linestyle": "none", "marker": "D", "markersize": 7}
    entries.append(slide.guide_key("end to end", **mark))
    if any(m.status == "unsettled" for m in drawn):
        entries.append(slide.guide_key(slide.UNSETTLED, **mark, markerfacecolor="white"))
    return entries


def bar(axes: Axes, row: int, measurement: Measurement) -> None:
    start = 0.0
    for name, seconds in phases(measurement).items():
        if seconds:
            axes.barh(row, seconds, left=start, height=0.66, label=name, **LOOKS[name])
        start += seconds
    total = measurement.metrics["total"]["value"]
    face = "white" if measurement.status == "unsettled" else style.INK
    axes.plot([total], [row], "D", color=style.INK, markerfacecolor=face, markersize=7, gid="end_to_end")
    residual = measurement.value("closure_residual") or 0.0
    if abs(residual) >= LARGE_RESIDUAL:
        text = ("+" if residual > 0 else "") + percent(residual)
        end = max(start, total)
        axes.annotate(text, (end, row), xytext=(9, 0), textcoords="offset points", va="center", fontsize=12)
