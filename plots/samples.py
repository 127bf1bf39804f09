"""The samples of the most doubtful cases, in the order taken."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from fiabench.figures import NothingToDraw, labels, series, slide, style
from fiabench.results.measurement import Measurement
from fiabench.results.metrics import END_TO_END, by_rank
from fiabench.results.rundir import Run
from fiabench.stats.findings import examine
from fiabench.stats.levels import Change
from fiabench.stats.outliers import MILD, SEVERE, label_outliers

ABOUT = "Samples of the most doubtful cases in the order taken, with outliers, steps, drift, sessions and clocks."

MAX_PANELS = 4
"""More would be too small to read on a slide."""
SAMPLE, OUTLIER = "#0072B2", "#D55E00"
CHANGE = "#009E73"
OUTLIERS: tuple[tuple[int, str, dict[str, Any]], ...] = (
    (1, "outlier", {"color": OUTLIER, "linestyle": "none", "marker": "o", "markersize": 7, "markerfacecolor": "white"}),
    (2, "severe", {"color": OUTLIER, "linestyle": "none", "marker": "X", "markersize": 8}),
)
"""Distances as in stats/outliers, what they are called, and how they are drawn."""
GAP = 0.06
"""Between two sessions, as a part of all samples."""
EDGE = 0.015
"""Before the first and after the last sample, as a part of all."""
REACH = 12.0
"""The axis ends this many robust standard deviations from the median; what lies beyond is drawn at its edge."""
LEAST_SPAN = 0.005
"""What the axis spans at least to either side, relative to the median: less is not worth a magnifying glass."""
CLOCK_ROOM = 0.3
"""The part of a panel, from below, that is the clock's; half of it where the panel has the slide to itself."""
TITLE_CHARACTERS, DOUBT_CHARACTERS, DOUBT_LINES = 56, 60, 2
"""What fits above a panel of half the slide's width."""
DOUBT_SIZE = 12.0
MOST_NAMED = 3
"""Samples beyond the axis whose distance is written."""


class Session(NamedTuple):
    """One session's samples and where they stand."""

    start: int
    """On the x axis, of its first sample."""
    seconds: np.ndarray
    """In the order taken, [samples]."""
    line: Measurement

    @property
    def across(self) -> np.ndarray:
        return self.start + np.arange(self.seconds.size)


def draw(run: Run) -> Figure:
    """A panel for each of a few cases."""
    measured = [m for m in run.measurements if m.measured]
    if not measured:
        raise NothingToDraw("no case was measured")
    chosen = choose(measured)
    names, common = series.case_names(chosen)
    left = len(measured) - len(chosen)
    doubtful = sum(bool(m.flags) for m in measured) - sum(bool(m.flags) for m in chosen)
    columns, rows = 1 if len(chosen) < 3 else 2, 1 if len(chosen) == 1 else 2
    figure, panels = slide.slide(
        "Samples in the order taken",
        [labels.device_line(run.environment, chosen), common],
        [
            "dot: one iteration, end to end, slowest rank",
            f"outlier, severe: {MILD:g} and {SEVERE:g} robust standard deviations from the level; none is dropped",
            "time axes do not begin at zero",
            f"{left} further cases are not drawn, {doubtful} of them with doubts" if left else "",
            labels.not_drawn_note(run.measurements),
        ],
        columns=columns,
        rows=rows,
        keys=keys(chosen),
    )
    for axes, measurement in zip(panels, chosen):
        panel(axes, measurement, CLOCK_ROOM * rows / 2)
        taken = measurement.metrics["total"]["count"]
        name = f"{names[measurement.id]}{labels.SEPARATOR}{taken} samples"
        entitle(axes, name, doubt(measurement), 2 // columns)
    for axes in panels[len(chosen) :]:
        axes.remove()
    return figure


def choose(measured: Sequence[Measurement]) -> list[Measurement]:
    """Those with doubts first, then unsettled ones, then the longest."""

    def order(measurement: Measurement) -> tuple[bool, bool, float]:
        return not measurement.flags, measurement.status != "unsettled", -measurement.metrics["total"]["value"]

    return sorted(measured, key=order)[:MAX_PANELS]


def doubt(measurement: Measurement) -> str:
    """The first doubt in words, or why the case is unsettled; empty where there is neither."""
    if measurement.flags:
        return measurement.flags[0]
    return f"unsettled: {measurement.reason}" if measurement.status == "unsettled" else ""


def keys(chosen: Sequence[Measurement]) -> list[Artist]:
    """The legend's entries, of what occurs."""
    found = [session for measurement in chosen for session in sessions(measurement)]
    dot: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 6}
    entries: list[Artist] = [slide.guide_key("sample", color=SAMPLE, **dot)]
    degrees = np.concatenate([degrees_of(session) for session in found])
    for degree, name, look in OUTLIERS:
        if (degrees == degree).any():
            entries.append(slide.guide_key(name, **look))
    entries.append(Patch(facecolor=SAMPLE, alpha=0.25, label="median and interval, within a session"))
    if any(measurement.sessions for measurement in chosen):
        entries.append(Patch(facecolor=style.INK, alpha=0.15, label="over all sessions"))
    if any(change(session) for session in found):
        entries.append(slide.guide_key("step or drift", color=CHANGE, linestyle="-", linewidth=2.2))
    if readings(found):
        entries.append(slide.guide_key("clock", color=style.QUIET, linestyle="-", linewidth=1.2))
    return entries


def sessions(measurement: Measurement) -> list[Session]:
    """Each session's totals, from left to right with gaps between."""
    totals = [by_rank(line.samples[END_TO_END]).max(axis=0) for line in measurement.each_session]
    gap = max(2, round(GAP * sum(values.size for values in totals)))
    found, start = [], 1
    for values, line in zip(totals, measurement.each_session, strict=True):
        found.append(Session(start, values, line))
        start += values.size + gap
    return found


def change(session: Session) -> Change | None:
    """The step or drift that the session's own doubts speak of."""
    found = examine(session.seconds, session.line.timing.get("wanted_half_width", 0.0)).changes
    return found[0] if found else None


def degrees_of(session: Session) -> np.ndarray:
    """How far out each sample lies, as in stats/outliers: of its level, where the level changes."""
    found = change(session)
    level = np.interp(session.across, *course(session, found)) if found else 0.0
    return np.abs(label_outliers(session.seconds - level))


def panel(axes: Axes, measurement: Measurement, room: float) -> None:
    """``room`` is the part of it, from below, that is the clock's where there are readings."""
    found = sessions(measurement)
    everything = np.concatenate([session.seconds for session in found])
    low, high = limits(everything)
    clocks = readings(found)
    axes.set_ylim(low - (high - low) * room / (1 - room) if clocks else low, high)
    axes.set_xlim(0.5 - EDGE * found[-1].across[-1], (1 + EDGE) * found[-1].across[-1] + 0.5)
    if measurement.sessions:
        between(axes, measurement, found)
    for session in found:
        draw_session(axes, session, low, high)
    name_far(axes, found, low, high)
    if clocks:
        draw_clocks(axes, clocks, room)
    scale, unit = labels.time_unit(high)
    ticks = MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / scale:,.5g}"))
    axes.set_ylabel(unit, fontsize=13)
    axes.tick_params(labelsize=12)
    if len(found) == 1:
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    else:
        numbers = [str(session.line.session + 1) for session in found]
        axes.set_xticks([session.across.mean() for session in found], [f"session {numbers[0]}", *numbers[1:]])
        axes.grid(visible=False, axis="x")


def limits(seconds: np.ndarray) -> tuple[float, float]:
    """Where the vertical axis begins and ends: around every sample but the farthest, which would flatten the rest."""
    median = float(np.median(seconds))
    least, near, far, most = np.quantile(seconds, [0.0, 0.05, 0.95, 1.0]).tolist()
    reach = REACH * 1.4826 * float(np.median(np.abs(seconds - median))) or most - least
    spare = far - near
    low = min(max(least, min(median - reach, near - spare)), median * (1 - LEAST_SPAN))
    high = max(min(most, max(median + reach, far + spare)), median * (1 + LEAST_SPAN))
    pad = 0.08 * (high - low)
    return low - pad, high + pad


def between(axes: Axes, measurement: Measurement, found: list[Session]) -> None:
    """The value over the sessions with its interval, across all of them."""
    total = measurement.metrics["total"]
    ends = (found[0].across[0] - 0.5, found[-1].across[-1] + 0.5)
    axes.fill_between(ends, total["low"], total["high"], color=style.INK, alpha=0.15, linewidth=0, gid="between")
    axes.plot(ends, [total["value"]] * 2, color=style.INK, linewidth=1.2, gid="value")


def draw_session(axes: Axes, session: Session, low: float, high: float) -> None:
    """A dot a sample, the median with its interval, and the step or drift that was found."""
    total = session.line.metrics["total"]
    ends = (session.start - 0.5, session.across[-1] + 0.5)
    axes.fill_between(ends, total["low"], total["high"], color=SAMPLE, alpha=0.25, linewidth=0, gid="interval")
    axes.plot(ends, [total["value"]] * 2, color=SAMPLE, linewidth=1.6, gid="median")
    degrees = degrees_of(session)
    drawn = np.clip(session.seconds, low, high)
    size = 5 if session.seconds.size < 100 else 3.5
    usual = degrees == 0
    dot: dict[str, Any] = {
        "color": SAMPLE,
        "linestyle": "none",
        "marker": "o",
        "markersize": size,
        "markeredgewidth": 0,
    }
    axes.plot(session.across[usual], drawn[usual], **dot, gid="sample", clip_on=False, zorder=2.5)
    for degree, name, look in OUTLIERS:
        those = degrees == degree
        if those.any():
            axes.plot(session.across[those], drawn[those], **look, gid=name, clip_on=False, zorder=3)
    if found := change(session):
        axes.plot(*course(session, found), color=CHANGE, linewidth=2.2, gid="change", zorder=2.8)


def course(session: Session, found: Change) -> tuple[list[float], list[float]]:
    """The level before and after a step, or a drift's line, as points."""
    first, last = session.start - 0.5, session.across[-1] + 0.5
    if found.kind == "step":
        before, after = (float(np.median(part)) for part in np.split(session.seconds, [found.at]))
        at = first + found.at
        return [first, at, at, last], [before, before, after, after]
    median = float(np.median(session.seconds))
    return [first, last], [median * (1 - found.size / 2), median * (1 + found.size / 2)]


def name_far(axes: Axes, found: list[Session], low: float, high: float) -> None:
    """Of the samples beyond the axis the farthest, with how far they are."""
    across = np.concatenate([session.across for session in found])
    seconds = np.concatenate([session.seconds for session in found])
    median = float(np.median(seconds))
    beyond = np.flatnonzero((seconds < low) | (seconds > high))
    for index in beyond[np.argsort(-np.abs(seconds[beyond] - median))][:MOST_NAMED]:
        edge, down = (high, -4) if seconds[index] > high else (low, 4)
        right = across[index] > 0.7 * across[-1]
        axes.annotate(
            f"{seconds[index] / median - 1:+.0%}",
            (across[index], edge),
            xytext=(-8 if right else 8, down),
            textcoords="offset points",
            fontsize=11.5,
            color=OUTLIER,
            ha="right" if right else "left",
            va="top" if down < 0 else "bottom",
        )


def readings(found: list[Session]) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Of each session that has any, the clock that fell most: its rank, where it was read on the x axis, and MHz."""
    clocks = []
    for session in found:
        sensors: dict[str, dict[str, list[float]]] = session.line.timing.get("sensors", {})
        known = {rank: np.array(its["clock_mhz"]) for rank, its in sensors.items() if its.get("clock_mhz")}
        if known:
            rank = min(known, key=lambda rank: known[rank].min() / known[rank].max())
            taken = np.array(sensors[rank]["samples"])
            clocks.append((rank, session.start - 0.5 + taken, known[rank]))
    return clocks


def draw_clocks(axes: Axes, clocks: list[tuple[str, np.ndarray, np.ndarray]], room: float) -> None:
    """The clocks beneath the samples, from 0.8 of the highest up, so that no flicker looks like throttling."""
    below = axes.inset_axes((0, 0, 1, room), sharex=axes, zorder=2)
    below.set_axis_off()
    mhz = np.concatenate([values for _, _, values in clocks])
    most = float(mhz.max())
    floor = min(0.8 * most, float(mhz.min()))
    below.set_ylim(floor - (most - floor), most + 0.25 * (most - floor))
    for _, across, values in clocks:
        below.step(across, values, where="post", color=style.QUIET, linewidth=1.2, alpha=0.8, gid="clock")
    ranks = ", ".join(dict.fromkeys(rank for rank, _, _ in clocks))
    span = f"{most:,.0f}" if mhz.min() == most else f"{mhz.min():,.0f} to {most:,.0f}"
    below.text(
        0.01, 0.02, f"clock of rank {ranks}: {span} MHz", transform=below.transAxes, fontsize=11, color=style.QUIET
    )


def entitle(axes: Axes, name: str, said: str, columns: int) -> None:
    """The case's name above the panel, and between them its doubt."""
    below = textwrap.wrap(said, DOUBT_CHARACTERS * columns, max_lines=DOUBT_LINES, placeholder=" ...")
    above = labels.wrapped(name.split(labels.SEPARATOR), TITLE_CHARACTERS * columns)
    axes.set_title("\n".join(above), pad=6 + 1.3 * DOUBT_SIZE * len(below), fontsize=14)
    text = axes.annotate(
        "\n".join(below),
        (0, 1),
        xycoords="axes fraction",
        xytext=(0, 5),
        textcoords="offset points",
        fontsize=DOUBT_SIZE,
        color=style.QUIET,
        va="bottom",
        annotation_clip=False,
    )
    text.set_in_layout(False)  # the title's padding has room for it, and its width has none to give
