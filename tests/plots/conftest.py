from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from matplotlib.figure import Figure

from fiabench.figures import load_figures, style
from fiabench.results.rundir import Run
from tests.plots import planted

PLOTS = Path(__file__).parents[2] / "plots"


@pytest.fixture(scope="session")
def figures() -> dict[str, ModuleType]:
    return load_figures(PLOTS)


@pytest.fixture(scope="session")
def draw(figures: dict[str, ModuleType]) -> Callable[[str, Run], Figure]:
    def drawn(name: str, run: Run) -> Figure:
        with style.applied():
            figure = figures[name].draw(run)
            figure.draw_without_rendering()
        return figure

    return drawn


@pytest.fixture(scope="session")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return planted.quick(tmp_path_factory.mktemp("quick") / "run")


@pytest.fixture(scope="session")
def wan(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return planted.wan(tmp_path_factory.mktemp("wan") / "run")
