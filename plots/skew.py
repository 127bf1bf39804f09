"""Which rank is late, and which ranks wait for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from fiabench.figures import NothingToDraw, labels, series, slide, style
from fiabench.results.doubts import LATE, OFTEN
from fiabench.results.measurement import Measurement
from fiabench.results.metrics import by_rank, last_to_arrive, late_ranks
from fiabench.results.rundir import Run
from fiabench.results.units import percent, seconds
from fiabench.stats.ranks import slow_ranks

ABOUT = "Kernel and waiting in the exchanges, rank by rank, of the cases that wait most."

MAX_PANELS = 8
KERNEL, SLOW, TRANSFER = "#0072B2", "#E69F00", "#56B4E9"
WAIT: dict[str, Any] = {"facecolor": "white", "edgecolor": style.QUIET, "linewidth": 0.8, "hatch": "////"}
LATE_MARK: dict[str, Any] = {"color": "#D55E00", "linestyle": "none", "marker": "v", "markersize": 9}
GROUP_GAP = 0.8
"""Between two Ulysses groups, in bars: ranks wait for those of their own group only."""
TITLE_CHARACTERS = 24
"""What fits above a panel of a quarter of the slide's width."""


def draw(run: Run) -> Figure:
    """A panel for each case, a bar for each rank."""
    measured = [m for m in run.measurements if m.measured and exchanges(m) and m.point.ulysses > 1]
    if not measured:
        raise NothingToDraw("no exchange between several ranks was measured")
    chosen = sorted(measured, key=wait_share, reverse=True)[:MAX_PANELS]
    names, common = series.case_names(chosen)
    left = len(measured) - len(chosen)
    rows = 1 if len(chosen) < 4 else 2
    columns = -(-len(chosen) // rows)
    figure, panels = slide.slide(
        "Who is late, and who waits",
        [labels.device_line(run.environment, chosen), common],
        [
            "bars: medians by rank; waiting: an exchange's time less that of the last rank of its group to come",
            f"late: last in {percent(OFTEN)} of the iterations and more, others waiting {percent(LATE)} of the total",
            "titles: the longest wait, and its part of the total",
            f"{left} further {'case' if left == 1 else 'cases'} with less waiting not drawn" if left else "",
            labels.not_drawn_note(run.measurements),
        ],
        columns=columns,
        rows=rows,
        keys=keys(chosen),
    )
    for index, (axes, measurement) in enumerate(zip(panels, chosen)):
        panel(axes, measurement)
        entitle(axes, names[measurement.id], measurement, TITLE_CHARACTERS * 4 // max(columns, 2))
        if index // columns == rows - 1 or index + columns >= len(chosen):
            axes.set_xlabel("rank", fontsize=13)
    for axes in panels[len(chosen) :]:
        axes.remove()
    return figure


def exchanges(measurement: Measurement) -> list[str]:
    """The exchanges among a Ulysses group that were taken within the iterations."""
    return [name for name in ("exchange_in", "exchange_out") if name in measurement.samples]


def wait_share(measurement: Measurement) -> float:
    """The longest wait of any rank, relative to the total."""
    share: float = measurement.metrics["wait"]["value"] / measurement.metrics["total"]["value"]
    return share


def by_part(measurement: Measurement) -> dict[str, np.ndarray]:
    """Medians in seconds, [ranks]: of the kernel, or without one of the transfer; and of waiting in all exchanges."""
    taken = [by_rank(measurement.samples[name]) for name in exchanges(measurement)]
    least = [last_to_arrive(durations, measurement.point.ulysses) for durations in taken]
    waits = sum((durations - last for durations, last in zip(taken, least)), start=np.zeros_like(taken[0]))
    if "kernel" in measurement.samples:
        first = {"kernel": by_rank(measurement.samples["kernel"])}
    else:
        first = {"transfer": sum(least, start=np.zeros_like(taken[0]))}
    return {name: np.median(durations, axis=1) for name, durations in {**first, "wait": waits}.items()}


def slow(measurement: Measurement) -> set[int]:
    """Ranks whose kernels take longer than the others'."""
    if "kernel" not in measurement.samples:
        return set()
    return {found.rank for found in slow_ranks(by_rank(measurement.samples["kernel"]))}


def late(measurement: Measurement) -> set[int]:
    """Ranks that the others wait for, time after time."""
    least = LATE * measurement.metrics["total"]["value"]
    found = late_ranks(measurement.point, measurement.samples)
    return {its.rank for its in found if its.part >= OFTEN and its.wait >= least}


def keys(chosen: Sequence[Measurement]) -> list[Artist]:
    """The legend's entries, of what occurs."""
    parts = {name for measurement in chosen for name in by_part(measurement)}
    entries: list[Artist] = []
    if "kernel" in parts:
        entries.append(Patch(facecolor=KERNEL, label="kernel"))
    if any(map(slow, chosen)):
        entries.append(Patch(facecolor=SLOW, label="kernel of a slow rank"))
    if "transfer" in parts:
        entries.append(Patch(facecolor=TRANSFER, label="transfer"))
    entries.append(Patch(**WAIT, label="waiting in the exchanges"))
    if any(map(late, chosen)):
        entries.append(slide.guide_key("late rank", **LATE_MARK))
    return entries


def panel(axes: Axes, measurement: Measurement) -> None:
    parts = by_part(measurement)
    waits = parts.pop("wait")
    ((name, base),) = parts.items()
    ranks = np.arange(base.size)
    across = ranks + GROUP_GAP * (ranks // measurement.point.ulysses)
    slowed = slow(measurement)
    colours = [SLOW if rank in slowed else KERNEL if name == "kernel" else TRANSFER for rank in ranks]
    axes.bar(across, base, width=0.8, color=colours, label=name)
    axes.bar(across, waits, width=0.8, bottom=base, label="wait", **WAIT)
    top = float((base + waits).max())
    marked = sorted(late(measurement))
    if marked:
        heights = (base + waits)[marked] + 0.11 * top
        axes.plot(across[marked], heights, **LATE_MARK, gid="late")
    axes.set_ylim(0, 1.22 * top)
    axes.set_xlim(-0.7, across[-1] + 0.7)
    shown = [
        rank for rank in MaxNLocator(8, integer=True, steps=[1, 2, 4, 8, 10]).tick_values(0, ranks[-1]) if rank in ranks
    ]
    axes.set_xticks([across[int(rank)] for rank in shown], [f"{rank:.0f}" for rank in shown])
    axes.grid(visible=False, axis="x")
    scale, unit = labels.time_unit(top)
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / scale:,.4g}"))
    axes.set_ylabel(unit, fontsize=13)
    axes.tick_params(labelsize=12)


def entitle(axes: Axes, name: str, measurement: Measurement, characters: int) -> None:
    """The case's name above the panel, and its longest wait."""
    wait = measurement.metrics["wait"]["value"]
    said = f"wait {seconds(wait)}, {percent(wait_share(measurement))}"
    axes.set_title("\n".join([*labels.wrapped(name.split(labels.SEPARATOR), characters), said]), fontsize=12.5)
