"""Reading drawn data back from a figure."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D


def words(figure: Figure) -> str:
    """Title, subtitles and footnotes."""
    return "\n".join(text.get_text() for text in figure.texts)


def named(axes: Axes) -> dict[str, Line2D]:
    """The series by their names in the legend."""
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


def by_gid(axes: Axes, gid: str) -> list[Line2D]:
    return [line for line in axes.lines if line.get_gid() == gid]


def legend_of(figure: Figure) -> list[str]:
    legends = [axes.get_legend() for axes in figure.axes if axes.get_legend()] + figure.legends
    return [text.get_text() for legend in legends for text in legend.get_texts()]
