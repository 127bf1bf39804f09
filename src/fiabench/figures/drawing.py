"""Finding the figures, drawing each, writing SVG and PNG."""

from __future__ import annotations

import importlib.util
import traceback
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from fiabench.results.rundir import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("svg", "png")


class NothingToDraw(Exception):
    """A run has nothing for this figure; the message says why."""


class Drawn(NamedTuple):
    """What became of one figure: its files, or the reason why there are none."""

    name: str
    paths: list[Path]
    reason: str = ""
    failed: bool = False
    """Whether the figure raised, rather than had nothing to draw."""


def figure_files(plots_dir: Path) -> dict[str, Path]:
    """The figures in ``plots_dir`` by name, sorted; files whose names begin with `_` are not figures."""
    return {path.stem: path for path in sorted(plots_dir.glob("*.py")) if not path.name.startswith("_")}


def load_figures(plots_dir: Path) -> dict[str, ModuleType]:
    """The figures of ``plots_dir`` imported, by name. Raises what a file raises when it is imported."""
    return {name: _load(path) for name, path in figure_files(plots_dir).items()}


def draw_all(run: Run, plots_dir: Path, out_dir: Path, formats: Sequence[str] = FORMATS) -> list[Drawn]:
    """Draws every figure of ``plots_dir`` into ``out_dir``, as SVG and PNG where no other ``formats`` are named.

    A figure that raises costs itself only. Files of an earlier drawing are replaced, or removed where a figure now has
    nothing to draw. Raises OSError where ``out_dir`` cannot be written.
    """
    drawings = []
    for name, path in figure_files(plots_dir).items():
        targets = [out_dir / f"{name}.{suffix}" for suffix in formats]
        try:
            contents = _render(_load(path), run, formats)
        except Exception as error:
            for target in targets:
                target.unlink(missing_ok=True)
            nothing = isinstance(error, NothingToDraw)
            drawings.append(Drawn(name, [], str(error) if nothing else _where(error, path), failed=not nothing))
            continue
        out_dir.mkdir(parents=True, exist_ok=True)
        for target, content in zip(targets, contents, strict=True):
            target.write_bytes(content)
        drawings.append(Drawn(name, targets))
    return drawings


def _render(module: ModuleType, run: Run, formats: Sequence[str]) -> list[bytes]:
    """The figure in each of ``formats``, drawn in full before anything is written."""
    from fiabench.figures import style

    with style.applied():
        figure = module.draw(run)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # laid out once: the same in every format
        for axes in figure.axes:  # the layout's solver differs in the last bit from one process to the next
            left, bottom, width, height = (round(number, 10) for number in axes.get_position().bounds)
            axes.set_position((left, bottom, width, height))
        return [_encoded(figure, suffix) for suffix in formats]


def _encoded(figure: Figure, suffix: str) -> bytes:
    buffer = BytesIO()
    # Without its date an SVG of the same data is the same file.
    figure.savefig(buffer, format=suffix, metadata={"Date": None} if suffix == "svg" else None)
    return buffer.getvalue()


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"fiabench_plots.{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _where(error: Exception, path: Path) -> str:
    """The error with the line of the figure's file that it came from."""
    if isinstance(error, SyntaxError):
        return f"{Path(error.filename or path).name}:{error.lineno}: {type(error).__name__}: {error.msg}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    place = f"{path.name}:{lines[-1]}" if lines else path.name
    return f"{place}: {type(error).__name__}: {error}"
