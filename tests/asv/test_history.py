"""The real asv over three commits of a real clone: what it stores, shows and publishes, and what a broken one costs."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from fiabench.asv_plugin.export import rebuild
from fiabench.asv_plugin.names import EXCHANGED, METRICS
from fiabench.results import metrics
from fiabench.results.rundir import read_run
from fiabench.stats.intervals import summarise
from tests.asv.browser import CHROMIUM, served, visit
from tests.asv.conftest import ALONE, TWO, Clone

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_groups_are_measured_apart_each_into_a_run_directory(clone: Clone, history: dict[str, Any]) -> None:
    runs = [read_run(path) for path in clone.runs(history["good"])]
    assert [[line.point.world_size for line in run.lines] for run in runs] == [[1], [2]]
    assert {run.environment["commit"] for run in runs} == {history["good"]}


@pytest.mark.parametrize("name", ["good", "slower"])
def test_a_commit_is_stored_with_its_samples(clone: Clone, history: dict[str, Any], name: str) -> None:
    results = clone.results(history[name])
    everything = {f"{group}.sweep_{metric}" for group in (ALONE, TWO) for metric in METRICS}
    assert set(results) == everything - {f"{ALONE}.sweep_{metric}" for metric in EXCHANGED}
    for path, group in zip(clone.runs(history[name]), (ALONE, TWO)):
        (measurement,) = read_run(path).measurements
        series = metrics.series(measurement.point, measurement.samples)
        for metric in METRICS:
            if f"{group}.sweep_{metric}" not in results:
                continue
            stored = results[f"{group}.sweep_{metric}"]
            assert stored["params"] == [["64"], [repr(measurement.point.head_shard)]]
            if metric == "peak_memory":
                assert stored["result"] == [measurement.value("peak_memory")]
                continue
            # asv draws the median from seven digits of each sample.
            assert stored["samples"][0] == pytest.approx(series[metric].tolist(), rel=1e-5)
            assert stored["result"][0] == pytest.approx(summarise(series[metric]).median, rel=1e-5)
            assert stored["stats_ci_99_a"][0] <= stored["result"][0] <= stored["stats_ci_99_b"][0]


@pytest.mark.parametrize("group", [ALONE, TWO])
def test_history_moves_at_the_commit_that_runs_kernels_thirty_times(
    clone: Clone, history: dict[str, Any], group: str
) -> None:
    kernel = f"{group}.sweep_kernel"
    before, after = (clone.results(history[name])[kernel]["samples"][0] for name in ("good", "slower"))
    assert min(after) > 3 * min(before)  # only that commit's own engine does so


def test_a_broken_commit_fails_alone_and_its_reason_is_kept(clone: Clone, history: dict[str, Any]) -> None:
    # asv's exit code was 0, else the fixture had failed: the commits after a broken one are measured and compared.
    for stored in clone.results(history["broken"]).values():
        assert stored["result"] is None or set(stored["result"]) == {None}
    reason = "tools/sweep.py run ended with exit code 1: broken on purpose"
    kept = sorted((clone.path / ".asv" / "runs").glob(f"*/{history['broken']}/*.failed"))
    assert [path.read_text() for path in kept] == [reason + "\n"] * 2
    assert reason in history["printed"]
    assert "emulated operator, not NPU figures" in history["printed"]


def test_the_page_shows_what_was_measured_by_length_and_shard(clone: Clone, history: dict[str, Any]) -> None:
    assert f"{TWO}.sweep_all_to_all" in clone.asv("show", history["good"])
    clone.asv("publish")
    html = clone.path / ".asv" / "html"
    page = (html / "index.html").read_text()
    heat = page.split('id="heat-tables"')[1].split("</section>")[0]
    assert [part.split("<")[0] for part in heat.split('<th scope="col">')[1:]] == ["tokens", "tp1 x u1", "tp1 x u2"]
    assert '<th scope="row">64</th>' in heat
    phases = (html / "csv" / "phases.csv").read_text().splitlines()
    assert "kernel of the mean rank [s],pack of the mean rank [s],transfer of the mean rank [s]" in phases[0]
    assert [line.split(",")[3] for line in phases[1:]] == ["1", "2"]
    assert "broken on purpose" in page
    assert "emulated operator, not NPU figures</p>" in page
    assert "emulated operator, not NPU figures</p>" in (html / "asv.html").read_text()
    graphs = list((html / "graphs").glob(f"arch-*/**/{TWO}.sweep_kernel.json"))
    assert [point is not None for _, point in json.loads(graphs[0].read_text())].count(True) >= 2  # asv's own data


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_a_browser_shows_the_page_and_asks_nobody_for_anything(
    clone: Clone, history: dict[str, Any], tmp_path: Path
) -> None:
    clone.asv("publish")
    with served(clone.path / ".asv" / "html") as address:
        page, asked = visit(f"{address}/index.html", tmp_path)
        _, asvs = visit(f"{address}/asv.html", tmp_path)
    assert asked == {urlsplit(address).netloc}  # the folder that is served, and nobody else
    assert "code.jquery.com" in asvs  # so that a question would have been seen
    assert "tp1 x u2" in page.split('id="heat-tables"')[1].split("</section>")[0]
    assert "all-to-all" in page.split('id="choose-metric"')[1].split("</select>")[0]  # its scripts have run


def test_results_are_rebuilt_from_run_directories(clone: Clone, history: dict[str, Any]) -> None:
    asv = clone.path / ".asv"
    elsewhere = clone.path.parent / "rebuilt"
    passed_over = rebuild(asv / "runs", elsewhere, clone.path)
    assert passed_over == []
    for name in ("good", "slower"):
        (path,) = elsewhere.glob(f"*/{history[name][:8]}*.json")
        made = json.loads(path.read_text())
        columns = made["result_columns"]
        found = {key: dict(zip(columns, row)) for key, row in made["results"].items()}
        for key, stored in clone.results(history[name]).items():
            assert found[key]["result"] == pytest.approx(stored["result"])
            assert found[key].get("stats_ci_99_a") == stored.get("stats_ci_99_a")
            assert (found[key]["params"], found[key]["version"]) == (stored["params"], stored["version"])
    assert set(json.loads((elsewhere / "benchmarks.json").read_text())) >= {f"{TWO}.sweep_kernel"}
    (machine,) = elsewhere.glob("*/machine.json")
    assert json.loads(machine.read_text())["torch"]


def test_values_whose_run_directory_is_gone_stay(clone: Clone, history: dict[str, Any]) -> None:
    kept, runs = clone.path.parent / "kept", clone.path.parent / "runs"
    shutil.copytree(clone.path / ".asv" / "results", kept)
    shutil.copytree(clone.path / ".asv" / "runs", runs)
    (machine,) = runs.iterdir()
    shutil.rmtree(machine / history["good"])
    rebuild(runs, kept, clone.path)
    (path,) = kept.glob(f"*/{history['good'][:8]}*.json")
    assert json.loads(path.read_text())["results"][f"{TWO}.sweep_kernel"][0] is not None


def test_a_process_that_hands_over_imports_neither_torch_nor_pydantic_nor_numpy(
    clone: Clone, history: dict[str, Any]
) -> None:
    plan = next((clone.path / ".asv" / "env").glob("plan-*.json"))
    code = (
        "import sys, benchmarks.attention as a; assert any(n.startswith('World2') for n in vars(a));"
        # numpy comes with asv's own runner, where it is installed
        "print(*{'torch', 'pydantic', 'scipy', 'yaml', 'fiabench.cases'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=clone.path, capture_output=True, text=True, check=True,
        env=os.environ | {"FIABENCH_ASV_PLAN": str(plan)},
    )  # fmt: skip
    assert done.stdout.strip() == ""
    assert not math.isnan(clone.results(history["good"])[f"{ALONE}.sweep_total"]["result"][0])


def test_continuous_compares_although_one_side_failed(clone: Clone, history: dict[str, Any]) -> None:
    compared = clone.asv("continuous", history["broken"], history["slower"], "-b", f"{ALONE}.sweep_kernel")
    assert "failed" in compared
    assert "BENCHMARKS" in compared
