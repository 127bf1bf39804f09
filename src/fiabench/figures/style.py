"""How figures look: a 16:9 slide, a palette that colour-blind readers can tell apart, text that stays text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#B8A800")
"""Okabe and Ito's colours, blue and vermillion first; their yellow darkened, since it is a line's colour on white."""
INK = "#222222"
QUIET = "#666666"
"""Subtitles, footnotes and guide lines."""
FAINT = "#D9D9D9"

LINE_STYLES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")

RC: dict[str, Any] = {
    "figure.figsize": (12.8, 7.2),
    "figure.dpi": 150,
    "savefig.dpi": 150,
    "font.size": 15,
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "sans-serif"],
    "text.color": INK,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.titlesize": 15,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": False,
    "grid.color": FAINT,
    "grid.linewidth": 0.8,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 14,
    "ytick.labelsize": 14,
    "lines.linewidth": 2.2,
    "lines.markersize": 8,
    "lines.markeredgewidth": 1.8,
    "legend.frameon": False,
    "legend.fontsize": 13,
    "legend.handlelength": 2.6,
    "svg.fonttype": "none",  # text stays text: it can be searched, copied and edited
    "svg.hashsalt": "fiabench",  # ids in the file follow from its content
}


@contextmanager
def applied() -> Iterator[None]:
    """The suite's own look inside, the caller's settings untouched after; the user's matplotlibrc has no say."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(RC)
        yield


def colours(count: int) -> list[Any]:
    """Colours for ``count`` things in their order: the palette, or beyond it an even walk through viridis."""
    if count <= len(PALETTE):
        return list(PALETTE[:count])
    viridis = mpl.colormaps["viridis"]
    return [viridis(0.95 * index / (count - 1)) for index in range(count)]
