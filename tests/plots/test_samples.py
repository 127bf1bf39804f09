"""The samples' figure draws each sample where it was taken, and what was planted among them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fiabench.results import metrics
from fiabench.results.doubts import doubts
from fiabench.results.measurement import Measurement
from fiabench.results.rundir import Run
from tests.plots import planted
from tests.plots.reading import by_gid, legend_of, words

CASE = planted.case(1024, 2)
STEADY = 0.001 * (1 + 0.004 * np.random.default_rng(1).standard_normal(60))


def line(seconds: np.ndarray, case: Any = CASE, session: int = 0, clock: list[float] | None = None) -> Measurement:
    """A measurement whose totals are ``seconds``; rank 1 is the slowest in every iteration."""
    made = planted.measured(case, planted.NPU, kernel=0.0008, transfer=0.0001)
    made.samples[metrics.END_TO_END] = {"0": (0.9 * seconds).tolist(), "1": seconds.tolist()}
    made.metrics = metrics.compute(case, made.samples, None, None)
    made.session = session
    made.timing["wanted_half_width"] = 0.005
    if clock is not None:
        taken = np.linspace(0, seconds.size, len(clock)).tolist()
        made.timing["sensors"] = {
            "0": {"samples": taken, "clock_mhz": [1000.0] * len(clock)},
            "1": {"samples": taken, "clock_mhz": clock},
        }
    made.timing["flags"] = doubts(case, made.samples, None, made.timing.get("sensors", {}), 0.005)
    return made


def run_of(path: Path, *lines: Measurement) -> Run:
    return planted.run_of(path / "run", planted.NPU, lines)


def drawn_samples(axes: Axes) -> np.ndarray:
    """All that is drawn of the samples, [samples, 2], from left to right."""
    found = [made.get_xydata() for gid in ("sample", "outlier", "severe") for made in by_gid(axes, gid)]
    return np.array(sorted(np.concatenate(found).tolist()))


def titles(figure: Figure) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes]


def said(axes: Axes) -> str:
    return " ".join(text.get_text().replace("\n", " ") for text in axes.texts)


def test_every_sample_of_the_slowest_rank_is_a_dot_in_its_place(draw, tmp_path):
    (axes,) = draw("samples", run_of(tmp_path, line(STEADY))).axes
    points = drawn_samples(axes)
    assert points[:, 0] == pytest.approx(np.arange(1, 61))
    assert points[:, 1] == pytest.approx(STEADY)
    (median,) = by_gid(axes, "median")
    assert median.get_ydata() == pytest.approx([float(np.median(STEADY))] * 2)


def test_the_band_is_the_interval(draw, tmp_path):
    made = line(STEADY)
    (axes,) = draw("samples", run_of(tmp_path, made)).axes
    (band,) = [found for found in axes.collections if found.get_gid() == "interval"]
    heights = band.get_paths()[0].vertices[:, 1]
    total = made.metrics["total"]
    assert (heights.min(), heights.max()) == pytest.approx((total["low"], total["high"]))


def test_outliers_are_marked_and_the_farthest_named_at_the_edge(draw, tmp_path):
    seconds = STEADY.copy()
    seconds[[10, 30]] = 0.00102, 0.003
    figure = draw("samples", run_of(tmp_path, line(seconds)))
    (axes,) = figure.axes
    ((near,),) = [made.get_xydata() for made in by_gid(axes, "outlier")]
    ((far,),) = [made.get_xydata() for made in by_gid(axes, "severe")]
    assert near == pytest.approx([11, 0.00102])
    assert far[0] == 31
    assert far[1] == pytest.approx(axes.get_ylim()[1])
    assert axes.get_ylim()[1] < 0.0015, "one sample does not flatten the others"
    assert "+200%" in said(axes)
    assert {"outlier", "severe"} <= set(legend_of(figure))
    assert len(drawn_samples(axes)) == 60, "none is dropped"


def test_a_step_is_drawn_where_it_was_planted(draw, tmp_path):
    seconds = np.concatenate([STEADY[:20], 1.05 * STEADY[20:]])
    figure = draw("samples", run_of(tmp_path, line(seconds)))
    (axes,) = figure.axes
    (course,) = by_gid(axes, "change")
    assert course.get_xdata()[1] == 20.5
    before, after = course.get_ydata()[0], course.get_ydata()[-1]
    assert after / before == pytest.approx(1.05, rel=2e-3)
    assert "the level rose by" in said(axes)
    assert "after sample 20" in said(axes)
    assert "step or drift" in legend_of(figure)
    assert not by_gid(axes, "severe"), "the samples before a step are no outliers"


def test_a_drift_is_drawn_from_first_to_last(draw, tmp_path):
    (axes,) = draw("samples", run_of(tmp_path, line(STEADY * np.linspace(1, 1.1, 60)))).axes
    (course,) = by_gid(axes, "change")
    (first, last), ends = course.get_ydata(), course.get_xdata()
    assert list(ends) == [0.5, 60.5]
    assert last / first == pytest.approx(1.1, rel=5e-3)


def test_steady_samples_have_neither_change_nor_outliers_in_the_legend(draw, tmp_path):
    entries = legend_of(draw("samples", run_of(tmp_path, line(STEADY))))
    assert entries == ["sample", "median and interval, within a session"]


def test_sessions_stand_side_by_side_with_the_interval_over_them(draw, tmp_path):
    levels = (1.0, 1.02, 0.99)
    lines = [line(level * STEADY[:20], session=number) for number, level in enumerate(levels)]
    run = run_of(tmp_path, *lines)
    figure = draw("samples", run)
    (axes,) = figure.axes
    points = drawn_samples(axes)
    assert points[:, 1] == pytest.approx(np.concatenate([level * STEADY[:20] for level in levels]))
    gaps = np.diff(points[:, 0])
    assert np.flatnonzero(gaps > 1).tolist() == [19, 39]
    medians = [made.get_ydata()[0] for made in by_gid(axes, "median")]
    assert medians == pytest.approx([level * float(np.median(STEADY[:20])) for level in levels])
    (value,) = by_gid(axes, "value")
    total = run.measurements[0].metrics["total"]
    assert value.get_ydata()[0] == pytest.approx(total["value"])
    (band,) = [found for found in axes.collections if found.get_gid() == "between"]
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((total["low"], total["high"]))
    assert [text.get_text() for text in axes.get_xticklabels()] == ["session 1", "2", "3"]
    assert "60 samples" in titles(figure)[0]


def test_the_clock_that_fell_is_drawn_beneath(draw, tmp_path):
    clock = [1000.0, 1000.0, 900.0, 900.0]
    figure = draw("samples", run_of(tmp_path, line(STEADY, clock=clock)))
    (axes,) = figure.axes
    (below,) = axes.child_axes
    (read,) = by_gid(below, "clock")
    assert read.get_ydata() == pytest.approx(clock)
    assert read.get_xdata() == pytest.approx([0.5, 20.5, 40.5, 60.5])
    assert "clock of rank 1: 900 to 1,000 MHz" in said(below)
    assert "throttling: the clock of rank 1 fell by 10 %" in said(axes)
    assert drawn_samples(axes)[:, 1].min() > axes.get_ylim()[0] + 0.1 * np.ptp(axes.get_ylim())


def test_without_readings_there_is_no_room_for_a_clock(draw, tmp_path):
    (axes,) = draw("samples", run_of(tmp_path, line(STEADY))).axes
    assert not axes.child_axes


def test_doubtful_cases_come_first_then_unsettled_then_the_longest(draw, tmp_path):
    lines = [line((number + 1) * STEADY, planted.case(1024 * (number + 1), 2)) for number in range(6)]
    lines[1].status, lines[1].reason = "unsettled", "the interval is wide"
    lines[0].timing["flags"] = ["the level rose by 5.0 % after sample 12"]
    figure = draw("samples", run_of(tmp_path, *lines))
    assert [title.split(" ")[0] for title in titles(figure)] == ["1,024", "2,048", "6,144", "5,120"]
    first, second, third, _ = figure.axes
    assert said(first) == "the level rose by 5.0 % after sample 12"
    assert said(second) == "unsettled: the interval is wide"
    assert said(third) == ""
    assert "2 further cases are not drawn, 0 of them with doubts" in words(figure)


def test_doubts_stay_within_their_panels(draw, tmp_path):
    lines = [line((number + 1) * STEADY, planted.case(1024 * (number + 1), 2)) for number in range(4)]
    for made in lines:
        made.timing["flags"] = ["rank 12 comes last in 100% of exchange_out: the others wait 3.00 ms, 9.1 % of all" * 2]
    figure = draw("samples", run_of(tmp_path, *lines))
    boxes = [text.get_window_extent() for axes in figure.axes for text in axes.texts if text.get_text()]
    assert len(boxes) == 4
    for index, box in enumerate(boxes):
        assert box.x1 <= figure.bbox.x1
        assert not box.count_overlaps(boxes[:index])
        assert not box.count_overlaps([axes.title.get_window_extent() for axes in figure.axes])


def test_exchanges_alone_are_named_by_their_bytes(draw, tmp_path):
    figure = draw("samples", planted.all_to_all(tmp_path / "run"))
    assert titles(figure)[0].startswith("512 MiB a rank · 8 ranks"), "the unsettled one is first"
    assert "PLANTED NUMBERS" in words(figure)
