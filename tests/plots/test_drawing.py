"""Finding, drawing and writing figures: formats, determinism, failures that stay alone, no torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import pytest
from PIL import Image

from fiabench.figures import draw_all, load_figures
from tests.plots import planted
from tests.plots.conftest import PLOTS

NAMES = {"bandwidth", "efficiency", "latency", "memory", "phases", "roofline", "samples", "skew", "throughput"}


@pytest.fixture(scope="module")
def out(tmp_path_factory, quick):
    folder = tmp_path_factory.mktemp("drawn")
    assert not [drawn for drawn in draw_all(quick, PLOTS, folder / "figures") if drawn.failed]
    return folder / "figures"


def test_every_figure_is_found():
    assert set(load_figures(PLOTS)) == NAMES


def test_pngs_are_slides_with_something_on_them(out):
    drawn = sorted(out.glob("*.png"))
    assert {path.stem for path in drawn} == NAMES - {"bandwidth"}
    for path in drawn:
        with Image.open(path) as image:
            assert image.size == (1920, 1080)
            colours = image.convert("RGB").getcolors(1 << 24)
        assert len(colours) > 200, path.name
        assert max(count for count, _ in colours) < 0.97 * 1920 * 1080, path.name


def test_svgs_are_xml_with_text_as_text(out):
    for path in out.glob("*.svg"):
        root = ElementTree.parse(path).getroot()
        text = " ".join("".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text"))
        assert "CPU (planted CPU, 2 cores)" in text, path.name
        assert "oversubscribed" in text, path.name


def test_words_and_legends_stay_inside_the_slide_and_apart(figures, wan, quick, tmp_path):
    from fiabench.figures import style

    for run in (quick, wan, planted.wan(tmp_path / "run", ("separate", "packed"))):
        for name in sorted(NAMES - {"bandwidth"}):
            with style.applied():
                figure = figures[name].draw(run)
                figure.draw_without_rendering()
            canvas = figure.bbox
            boxes = [text.get_window_extent() for text in figure.texts]
            legends = [axes.get_legend() for axes in figure.axes if axes.get_legend()] + figure.legends
            boxes += [legend.get_window_extent() for legend in legends]
            boxes += [axes.get_tightbbox() for axes in figure.axes if not axes.get_legend()]
            for index, box in enumerate(boxes):
                assert box.x0 >= 0, name
                assert box.y0 >= 0, name
                assert box.x1 <= canvas.x1, name
                assert box.y1 <= canvas.y1, name
                assert not box.count_overlaps(boxes[:index]), f"{name}: words run into each other"


def test_the_callers_settings_have_no_say_and_stay(out, quick, tmp_path):
    with mpl.rc_context({"font.size": 30, "svg.fonttype": "path"}):
        draw_all(quick, _only(tmp_path, "latency"), tmp_path / "out")
        assert mpl.rcParams["font.size"] == 30
    assert (tmp_path / "out" / "latency.svg").read_bytes() == (out / "latency.svg").read_bytes()


def test_a_failing_figure_costs_itself_only(quick, tmp_path):
    plots = _only(tmp_path, "latency")
    (plots / "a_raises.py").write_text("ABOUT = 'x'\n\n\ndef draw(run):\n    return run.nothing_like_that\n")
    (plots / "b_broken.py").write_text("def draw(run:\n")
    (plots / "_shared.py").write_text("raise RuntimeError('not a figure')\n")
    results = {drawn.name: drawn for drawn in draw_all(quick, plots, tmp_path / "out")}
    assert set(results) == {"a_raises", "b_broken", "latency"}
    assert results["a_raises"].failed
    assert results["a_raises"].reason.startswith("a_raises.py:5: AttributeError: ")
    assert results["b_broken"].failed
    assert "b_broken.py:1: SyntaxError" in results["b_broken"].reason
    assert not results["latency"].failed
    assert {path.name for path in results["latency"].paths} == {"latency.svg", "latency.png"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"latency.svg", "latency.png"}


def test_nothing_to_draw_is_a_reason_and_removes_the_old_file(tmp_path):
    run = planted.run_of(
        tmp_path / "run", planted.CPU, [planted.measured(planted.case(64), planted.CPU, status="crash")]
    )
    out = tmp_path / "out"
    out.mkdir()
    (out / "latency.svg").write_text("of an earlier drawing")
    results = draw_all(run, PLOTS, out)
    assert {drawn.name for drawn in results} == NAMES
    assert all(drawn.reason and not drawn.paths and not drawn.failed for drawn in results)
    assert not list(out.iterdir())


def test_importing_imports_neither_torch_nor_matplotlib():
    code = "import sys, fiabench.figures; sys.exit(bool({'torch', 'matplotlib'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_another_process_draws_the_same_files_without_pyplot_and_torch(out, quick, tmp_path):
    code = (
        "import sys; from pathlib import Path; from fiabench.figures import draw_all; "
        "from fiabench.results.rundir import read_run; "
        "draw_all(read_run(Path(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3])); "
        "sys.exit(bool({'torch', 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    arguments = [str(quick.path), str(PLOTS), str(tmp_path)]
    assert subprocess.run([sys.executable, "-c", code, *arguments]).returncode == 0
    for path in out.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def _only(folder: Path, name: str) -> Path:
    """A folder with one of the suite's figures in it."""
    plots = folder / "plots"
    plots.mkdir()
    (plots / f"{name}.py").write_bytes((PLOTS / f"{name}.py").read_bytes())
    return plots
