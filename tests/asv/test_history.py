"""The real asv in a real clone: what it stores, shows and publishes, and what a commit that cannot measure costs."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from fiabench.results import metrics
from fiabench.results.rundir import read_run
from fiabench.stats.intervals import summarise
from tests.asv.conftest import Clone

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

KERNEL, ALL_TO_ALL, WAIT, TOTAL = (
    f"attention.Ulysses.track_{metric}" for metric in ("kernel", "all_to_all", "wait", "total")
)
ON_ONE, ON_TWO = 0, 1
"""Places in a result: one sequence length on one rank, then on two."""


@pytest.fixture(scope="module")
def history(clone: Clone) -> dict[str, Any]:
    """Three commits: one that measures, one that breaks the command, one that mends it; asv run over all of them."""
    good = clone.git("rev-parse", "HEAD")
    tool = clone.path / "tools" / "sweep.py"
    text = tool.read_text()
    tool.write_text('raise SystemExit("broken on purpose")\n')
    broken = clone.commit("Break the command")
    tool.write_text(text)
    mended = clone.commit("Mend it")
    printed = clone.asv("run", f"{good}^..{mended}", "-b", "attention", "--show-stderr", "--record-samples")
    return {"good": good, "broken": broken, "mended": mended, "printed": printed}


@pytest.mark.parametrize("name", ["good", "mended"])
def test_a_commit_is_stored_with_its_samples(clone: Clone, history: dict[str, Any], name: str) -> None:
    results = clone.results(history[name])
    assert set(results) == {KERNEL, ALL_TO_ALL, WAIT, TOTAL}
    run = read_run(next(path for path in clone.runs(history[name]) if path.is_dir()))
    assert run.environment["commit"] == history[name]
    for place, measurement in enumerate(run.measurements):
        for benchmark, metric in ((KERNEL, "kernel"), (TOTAL, "total"), (ALL_TO_ALL, "all_to_all"), (WAIT, "wait")):
            stored = results[benchmark]
            if place == ON_ONE and metric in ("all_to_all", "wait"):
                assert math.isnan(stored["result"][place])
                continue
            samples = metrics.series(measurement.point, measurement.samples)[metric]
            # asv draws the median from seven digits of each sample.
            assert stored["samples"][place] == pytest.approx(samples.tolist(), rel=1e-5)
            assert stored["result"][place] == pytest.approx(summarise(samples).median, rel=1e-5)
            assert measurement.value(metric) == pytest.approx(summarise(samples).median)
            assert stored["stats_ci_99_a"][place] <= stored["result"][place] <= stored["stats_ci_99_b"][place]


def test_the_axes_are_named_as_a_case_names_its_shard(clone: Clone, history: dict[str, Any]) -> None:
    stored = clone.results(history["good"])[KERNEL]
    run = read_run(next(path for path in clone.runs(history["good"]) if path.is_dir()))
    shards = [measurement.point.head_shard for measurement in run.measurements]
    assert stored["params"] == [["64"], [repr(shard) for shard in shards]]


def test_a_broken_commit_fails_alone_and_its_reason_is_kept(clone: Clone, history: dict[str, Any]) -> None:
    # asv's exit code was 0, else the fixture had failed: the commits after a broken one are measured and compared.
    for stored in clone.results(history["broken"]).values():
        assert stored["result"] is None or set(stored["result"]) == {None}
    reason = "tools/sweep.py run ended with exit code 1: broken on purpose"
    (kept,) = (path for path in clone.runs(history["broken"]) if path.suffix == ".failed")
    assert kept.read_text() == reason + "\n"
    assert reason in history["printed"]


def test_show_and_publish_have_kernel_and_all_to_all_apart(clone: Clone, history: dict[str, Any]) -> None:
    shown = clone.asv("show", history["good"])
    assert ALL_TO_ALL in shown
    assert "n/a" in shown
    clone.asv("publish")
    for benchmark in (KERNEL, ALL_TO_ALL):
        (graph,) = (clone.path / ".asv" / "html" / "graphs").glob(f"arch-*/**/{benchmark}.json")
        points = dict(json.loads(graph.read_text()))
        measured = [values for values in points.values() if values is not None and values[ON_TWO] is not None]
        assert len(measured) == 2
        assert all(values[ON_TWO] > 0 for values in measured)


def test_a_second_run_measures_anew(clone: Clone, history: dict[str, Any]) -> None:
    before = clone.results(history["mended"])
    clone.asv("run", f"{history['mended']}^!", "-b", "track_kernel", "--quick")
    assert len([path for path in clone.runs(history["mended"]) if path.is_dir()]) == 2
    after = clone.results(history["mended"])
    assert after[KERNEL]["result"] != before[KERNEL]["result"]
    assert after[ALL_TO_ALL] == before[ALL_TO_ALL]  # it was not asked for
