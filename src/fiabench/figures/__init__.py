"""Figures of a run: the pieces that the files in ``plots/`` share, and drawing them all into a folder.

A figure is one file with ``ABOUT``, a line on what it shows, and ``draw(run) -> matplotlib.figure.Figure``, which
raises :class:`NothingToDraw` where the run has nothing for it. Importing this package imports no matplotlib.
"""

from fiabench.figures.drawing import Drawn, NothingToDraw, draw_all, load_figures

__all__ = ["Drawn", "NothingToDraw", "draw_all", "load_figures"]
