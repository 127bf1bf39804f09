"""A figure's frame and what is drawn in it: title, device, footnotes; lines, their marks and their legend."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from fiabench.figures import labels, style
from fiabench.figures.series import Lines
from fiabench.results.measurement import Measurement

_SIZE = (12.8, 7.2)
_MARGIN = 0.35
"""Inches around everything."""
_SUBTITLE_WIDTH = 118
"""Characters to a line that fit the figure at the subtitle's size, and below at the footnotes'."""
_FOOTNOTE_WIDTH = 126
_TITLE_INCHES, _SUBTITLE_INCHES, _LEGEND_INCHES, _FOOTNOTE_INCHES = 0.45, 0.26, 0.4, 0.22

_AXES_SHARE = 0.62
"""The least share of the figure's width that the axes get, beside a legend of the widest kind."""
_CHARACTER_INCHES = 0.125
"""A character's width in tick labels."""

UNSETTLED = "hollow: unsettled"


class Value(NamedTuple):
    """What is drawn of a measurement, with its interval."""

    value: float
    low: float
    high: float


def metric(name: str) -> Callable[[Measurement], Value]:
    """Reads a metric with its interval; one without an interval gets an empty one."""

    def read(measurement: Measurement) -> Value:
        entry = measurement.metrics[name]
        return Value(entry["value"], entry.get("low", entry["value"]), entry.get("high", entry["value"]))

    return read


def rate(amount: float, seconds: Value) -> Value:
    """``amount`` a second, with the interval turned over: the longest duration gives the lowest rate.

    An interval of few samples may begin at 0; it then reaches as far up as down, as a factor.
    """
    slowest, usual = amount / seconds.high, amount / seconds.value
    return Value(usual, slowest, amount / seconds.low if seconds.low > 0 else usual**2 / slowest)


def slide(
    title: str,
    subtitles: Iterable[str],
    footnotes: Iterable[str],
    columns: int = 1,
    sharey: bool = False,
    keys: Sequence[Artist] = (),
    rows: int = 1,
) -> tuple[Figure, list[Axes]]:
    """A 16:9 figure with its words in place, and its axes from left to right, row by row.

    Every subtitle begins a line of its own; footnotes share lines. Empty ones are passed over. ``keys`` make a legend
    of one row above the axes.
    """
    engine = ConstrainedLayoutEngine()
    figure = Figure(figsize=_SIZE, layout=engine)
    FigureCanvasAgg(figure)
    width, height = _SIZE
    left = _MARGIN / width
    above = [
        line for text in subtitles if text for line in labels.wrapped(text.split(labels.SEPARATOR), _SUBTITLE_WIDTH)
    ]
    below = labels.wrapped(filter(None, footnotes), _FOOTNOTE_WIDTH)

    top = height - _MARGIN
    figure.text(left, top / height, title, fontsize=21, fontweight="bold", va="top")
    top -= _TITLE_INCHES
    for line in above:
        figure.text(left, top / height, line, fontsize=13.5, color=style.QUIET, va="top")
        top -= _SUBTITLE_INCHES
    if keys:
        row = figure.legend(
            handles=list(keys),
            loc="upper left",
            bbox_to_anchor=(left, (top - 0.02) / height),
            ncols=len(keys),
            borderpad=0,
            borderaxespad=0,
            columnspacing=1.5,
            handlelength=1.4,
        )
        row.set_in_layout(False)
        top -= _LEGEND_INCHES
    bottom = _MARGIN * 0.6
    for line in reversed(below):
        figure.text(left, bottom / height, line, fontsize=11.5, color=style.QUIET, va="bottom")
        bottom += _FOOTNOTE_INCHES
    bottom += 0.12
    engine.set(rect=(left, bottom / height, 1 - 2 * left, (top - 0.12 - bottom) / height), w_pad=0.03, h_pad=0.03)
    engine.set(wspace=0.04 if columns > 1 else 0.0)
    engine.set(hspace=0.06 if rows > 1 else 0.0)
    return figure, list(figure.subplots(rows, columns, sharey=sharey, squeeze=False).flat)


def draw_lines(
    axes: Axes,
    lines: Lines,
    x: Callable[[Measurement], float],
    y: Callable[[Measurement], Value],
    joined: bool = True,
) -> None:
    """Draws each line with its interval as error bars; unsettled points get hollow markers.

    Each line is a Line2D labelled with its name; the hollow markers over it are one of gid `unsettled`.
    """
    for line, (colour, dashes, marker) in zip(lines.lines, looks(lines), strict=True):
        across = [x(point) for point in line.points]
        values = [y(point) for point in line.points]
        middle = [value.value for value in values]
        spread = [[value.value - value.low for value in values], [value.high - value.value for value in values]]
        bars = np.maximum(np.array(spread), 0.0)
        axes.errorbar(across, middle, yerr=bars, fmt="none", ecolor=colour, elinewidth=1.4, capsize=4, zorder=2.4)
        axes.plot(
            across,
            middle,
            color=colour,
            linestyle=dashes if joined else "none",
            marker=marker,
            label=lines.name(line),
            zorder=2.5,
        )
        hollow = [index for index, point in enumerate(line.points) if point.status == "unsettled"]
        if hollow:
            axes.plot(
                [across[index] for index in hollow],
                [middle[index] for index in hollow],
                color=colour,
                linestyle="none",
                marker=marker,
                markerfacecolor="white",
                gid="unsettled",
                zorder=2.6,
            )


def looks(lines: Lines) -> list[tuple[Any, Any, str]]:
    """Colour, line style and marker of each line.

    Colour follows the colour's value; style and marker follow the variant, so that those of one variant look alike.
    With one variant the marker follows the colour's value too, which tells lines apart without colour; with one
    colour's value the colour follows the variant.
    """
    palette = style.colours(max(len(lines.colours), len(lines.variants)))
    result = []
    for line in lines.lines:
        colour, variant = lines.colours.index(line.colour), lines.variants.index(line.variant)
        dashes, marker = _variant_look(variant)
        if len(lines.variants) == 1:
            _, marker = _variant_look(colour)
        result.append((palette[variant if len(lines.colours) == 1 else colour], dashes, marker))
    return result


def _variant_look(index: int) -> tuple[Any, str]:
    return style.LINE_STYLES[index % len(style.LINE_STYLES)], style.MARKERS[index % len(style.MARKERS)]


def legend(axes: Axes, lines: Lines, title: str, extra: Sequence[Line2D] = (), joined: bool = True) -> None:
    """The legend beside ``axes``: an entry a line, or where these are too many one a colour and one a style."""
    entries = _factored(lines, joined) if lines.factored else _entries(lines, joined)
    if any(point.status == "unsettled" for point in lines.drawn):
        entries.append(_key(UNSETTLED, color=style.QUIET, linestyle="none", marker="o", markerfacecolor="white"))
    entries += extra
    crowded = len(entries) > 13
    made = axes.legend(
        handles=entries,
        title=title if len(lines.colours) > 1 or len(lines.lines) == 1 else None,
        loc="upper left",
        bbox_to_anchor=(1.01, 1.02),
        alignment="left",
        borderpad=0,
        fontsize=12 if crowded else 13,
        labelspacing=0.35 if crowded else 0.5,
    )
    made.get_title().set_fontsize(13)
    made.get_title().set_color(style.QUIET)


def _entries(lines: Lines, joined: bool) -> list[Line2D]:
    return [
        _key(lines.name(line), color=colour, linestyle=dashes if joined else "none", marker=marker)
        for line, (colour, dashes, marker) in zip(lines.lines, looks(lines), strict=True)
    ]


def _factored(lines: Lines, joined: bool) -> list[Line2D]:
    shown = {line.colour for line in lines.lines}
    palette = dict(zip(lines.colours, style.colours(max(len(lines.colours), len(lines.variants)))))
    names = {value: lines.colour_names[value] for value in lines.colours if value in shown}
    entries = [_key(name, color=palette[value], linewidth=5) for value, name in names.items()]
    if len(lines.variants) > 1:
        for index, variant in enumerate(lines.variants):
            name = lines.variant_names[variant] or "no exchange"
            dashes, marker = _variant_look(index)
            entries.append(_key(name, color=style.INK, linestyle=dashes if joined else "none", marker=marker))
    return entries


def _key(name: str, **look: Any) -> Line2D:
    return Line2D([], [], label=name, **look)


def guide_key(name: str, **look: Any) -> Line2D:
    """A legend entry for a line that is no series: a guide, a peak, an ideal."""
    return _key(name, **({"color": style.QUIET, "linestyle": (0, (3, 3)), "linewidth": 1.4} | look))


def measured_ticks(axes: Axes, values: Iterable[float], text: Callable[[float], str], base: float = 10.0) -> None:
    """A logarithmic x axis with its ticks at the measured ``values``, as far as their labels have room."""
    marks = sorted(set(values))
    axes.set_xscale("log", base=base)
    pad = (marks[-1] / marks[0]) ** 0.04 if len(marks) > 1 else 2.0
    axes.set_xlim(marks[0] / pad, marks[-1] * pad)
    kept = _roomy(axes, {mark: text(mark) for mark in marks})
    axes.xaxis.set_major_locator(FixedLocator(kept))
    axes.xaxis.set_minor_locator(FixedLocator([mark for mark in marks if mark not in kept]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def name_columns(axes: Axes, names: dict[float, str], title: str) -> None:
    """Names what stands at values of a logarithmic x axis, above the axes, as far as the names have room."""
    top = axes.secondary_xaxis("top")
    kept = _roomy(axes, names)
    top.set_xticks(kept, [names[value] for value in kept])
    top.xaxis.set_minor_locator(NullLocator())
    top.tick_params(labelsize=12, labelcolor=style.QUIET, length=0)
    top.spines["top"].set_visible(False)
    top.set_xlabel(title, fontsize=12, color=style.QUIET, loc="left")


def _roomy(axes: Axes, names: dict[float, str]) -> list[float]:
    """The values on a logarithmic x axis whose names do not run into each other, from the largest down."""
    low, high = axes.get_xlim()
    grid = axes.get_gridspec()
    room = _SIZE[0] * _AXES_SHARE / (grid.ncols if grid else 1)
    kept: list[float] = []
    for value in sorted(names, reverse=True):
        if kept:
            apart = room * np.log(kept[-1] / value) / np.log(high / low)
            if apart < _CHARACTER_INCHES * (len(names[value]) + len(names[kept[-1]]) + 2) / 2:
                continue
        kept.append(value)
    return kept


def log_ticks(axes: Axes, which: str, text: Callable[[float], str], base: int = 10) -> None:
    """A logarithmic axis with labels at powers of ten, and at 2 and 5 between them where it spans less than three.

    For sizes in bytes ``base`` is 2, and the labels are at its powers.
    """
    getattr(axes, f"set_{which}scale")("log", base=base)
    axis = getattr(axes, f"{which}axis")
    low, high = getattr(axes, f"get_{which}lim")()
    between = (1.0, 2.0, 5.0) if base == 10 and np.log10(high / low) <= 3 else (1.0,)
    axis.set_major_locator(LogLocator(base, between, numticks=20))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))


def zero_based(axes: Axes, text: Callable[[float], str], room: float = 1.05) -> None:
    """A linear y axis from zero to a little above the highest thing drawn, with few ticks."""
    axes.set_ylim(0, axes.dataLim.y1 * room)
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
