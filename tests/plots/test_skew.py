"""The ranks' figure draws who is late and who waits, as it was planted."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fiabench.figures import NothingToDraw
from tests.plots import planted
from tests.plots.reading import by_gid, legend_of, words


def heights(axes: Axes, name: str) -> list[float]:
    (bars,) = [found for found in axes.containers if found.get_label() == name]
    return [bar.get_height() for bar in bars]


def titles(figure: Figure) -> list[str]:
    return [axes.get_title(loc="left").replace("\n", " ") for axes in figure.axes]


def one(tmp_path, **seconds):
    made = planted.measured(planted.case(1024, 4), planted.NPU, **seconds)
    return planted.run_of(tmp_path / "run", planted.NPU, [made])


def test_the_others_wait_for_the_late_rank(draw, tmp_path):
    # Rank 0's kernel takes 10 ms, the others are done 2 ms earlier and wait for it.
    figure = draw("skew", one(tmp_path, kernel=0.010, transfer=0.004, wait=0.002))
    (axes,) = figure.axes
    assert heights(axes, "kernel") == pytest.approx([0.010, 0.008, 0.008, 0.008], rel=1e-3)
    assert heights(axes, "wait") == pytest.approx([0, 0.002, 0.002, 0.002], abs=1e-5)
    (late,) = by_gid(axes, "late")
    assert list(late.get_xdata()) == [0]
    assert {"late rank", "kernel of a slow rank"} <= set(legend_of(figure))
    assert "wait 2.00 ms, 14 %" in titles(figure)[0]


def test_alike_ranks_are_neither_slow_nor_late(draw, tmp_path):
    figure = draw("skew", one(tmp_path, kernel=0.010, transfer=0.004))
    assert not by_gid(figure.axes[0], "late")
    assert legend_of(figure) == ["kernel", "waiting in the exchanges"]


def test_waiting_in_both_exchanges_is_summed(figures, tmp_path):
    made = planted.measured(planted.case(1024, 2), planted.NPU, kernel=0.010, transfer=0.004)
    rng = np.random.default_rng(3)
    late_in, late_out = 0.001 + 1e-5 * rng.random(20), 0.003 + 1e-5 * rng.random(20)
    made.samples["exchange_in"]["1"] = (np.array(made.samples["exchange_in"]["0"]) + late_in).tolist()
    made.samples["exchange_out"]["1"] = (np.array(made.samples["exchange_out"]["0"]) + late_out).tolist()
    assert figures["skew"].by_part(made)["wait"] == pytest.approx([0, float(np.median(late_in + late_out))])


def test_groups_wait_for_their_own_ranks_and_stand_apart(draw, tmp_path):
    made = planted.measured(planted.case(1024, 2, tp=2, replicas="all"), planted.NPU, kernel=0.010, transfer=0.004)
    for rank in ("2", "3"):  # the second group's exchange is slow, and nobody waits in it
        made.samples["exchange_in"][rank] = [10 * value for value in made.samples["exchange_in"][rank]]
    (axes,) = draw("skew", planted.run_of(tmp_path / "run", planted.NPU, [made])).axes
    assert heights(axes, "wait") == pytest.approx([0, 0, 0, 0])
    places = [bar.get_x() for bar in axes.containers[0]]
    assert np.diff(places) == pytest.approx([1.0, 1.8, 1.0])
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0", "1", "2", "3"]


def test_cases_that_wait_most_are_drawn_first_and_the_rest_counted(draw, tmp_path):
    lines = [
        planted.measured(
            planted.case(1024 * (number + 1), 2), planted.NPU, kernel=1.0, transfer=0.1, wait=0.01 * number
        )
        for number in range(10)
    ]
    figure = draw("skew", planted.run_of(tmp_path / "run", planted.NPU, lines))
    assert [title.split(" ")[0] for title in titles(figure)] == [f"{1024 * (n + 1):,}" for n in range(9, 1, -1)]
    assert "2 further cases with less waiting not drawn" in words(figure)


def test_an_exchange_alone_shows_its_transfer(draw, tmp_path):
    planted_case = planted.case(0, 4, measure="exchange", op="none", exchange="none", exchange_bytes=1 << 20)
    made = planted.measured(planted_case, planted.NPU, transfer=0.001, wait=0.0005)
    figure = draw("skew", planted.run_of(tmp_path / "run", planted.NPU, [made]))
    (axes,) = figure.axes
    assert heights(axes, "transfer") == pytest.approx([0.001] * 4, rel=1e-3)
    assert heights(axes, "wait") == pytest.approx([0, 0.0005, 0.0005, 0.0005], abs=1e-6)
    assert titles(figure)[0].startswith("1 MiB a rank")


def test_ranks_that_exchange_nothing_have_no_figure(figures, tmp_path):
    lines = [planted.measured(planted.case(1024), planted.NPU, kernel=1.0)]
    lines.append(planted.measured(planted.case(1024, ring=4), planted.NPU, kernel=1.0, around=0.2, merge=0.1))
    run = planted.run_of(tmp_path / "run", planted.NPU, lines)
    with pytest.raises(NothingToDraw, match="no exchange between several ranks"):
        figures["skew"].draw(run)
