"""asv's traps, each with the real asv: samples taken twice, results erased, -b and --quick without effect."""

from __future__ import annotations

import fcntl
import json
import math
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from fiabench.asv_plugin.view import read_views
from fiabench.results.metrics import series
from fiabench.results.rundir import Run, read_run
from tests.asv.conftest import ALONE, SIMULATED, TWO, Clone

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

AS_SIMULATED = f"{ALONE}_simulated_910b3"


@pytest.fixture(scope="module")
def head(clone: Clone) -> str:
    """A commit that has been measured."""
    commit = clone.git("rev-parse", "HEAD")
    clone.asv("run", f"{commit}^!", "-b", "attention", "--record-samples")
    return commit


@pytest.fixture
def new_runs(clone: Clone, head: str) -> Callable[[], list[Run]]:
    """Gives the runs of the commit that were made in the test."""
    before = set(clone.runs(head))
    return lambda: [read_run(path) for path in clone.runs(head) if path not in before]


def totals(run: Run) -> list[list[float]]:
    """Session by session."""
    return [series(line.point, line.samples)["total"].tolist() for line in run.lines]


def asked(stored: dict[str, Any]) -> dict[tuple[str, ...], Any]:
    """asv's row of a benchmark: value by parameters, less what was not run."""
    found = zip(product(*stored["params"]), stored["result"])
    return {at: value for at, value in found if value is None or not math.isnan(value)}


def close(stored: list[float], samples: list[float]) -> bool:
    return stored == pytest.approx(samples, rel=1e-5)


def test_with_two_rounds_the_second_hands_over_the_second_session(
    clone: Clone, head: str, new_runs: Callable[[], list[Run]]
) -> None:
    clone.asv("run", f"{head}^!", "-b", f"{ALONE}.sweep_total", "-a", "rounds=2", "--record-samples")
    (run,) = new_runs()
    first, second = totals(run)
    assert set(first).isdisjoint(second)
    assert close(clone.results(head)[f"{ALONE}.sweep_total"]["samples"][0], first + second)


@pytest.mark.long
def test_appended_samples_are_new_ones(clone: Clone, head: str, new_runs: Callable[[], list[Run]]) -> None:
    before = clone.results(head)[f"{ALONE}.sweep_total"]["samples"][0]
    clone.asv("run", f"{head}^!", "-b", f"{ALONE}.sweep_total", "--append-samples")
    (run,) = new_runs()
    ((samples,), after) = totals(run), clone.results(head)[f"{ALONE}.sweep_total"]["samples"][0]
    assert close(after, before + samples)
    # The run directories say the same without asv's file.
    (view,) = read_views(run.path.parent)[0].values()
    group = view.groups[ALONE.removeprefix("attention.")]
    assert close(group["64", "'tp1 x u1'"].handed["total"], after)  # type: ignore[arg-type]


def test_quick_reaches_the_measurement_and_displaces_nothing(
    clone: Clone, head: str, new_runs: Callable[[], list[Run]]
) -> None:
    before = clone.results(head)
    clone.asv("run", f"{head}^!", "-b", f"{TWO}.sweep_kernel", "--quick")
    (run,) = new_runs()
    (line,) = run.lines
    assert (line.status, len(line.samples["kernel"]["0"]), line.point.seq_len_q) == ("unsettled", 3, 64)
    after = clone.results(head)
    assert after[f"{TWO}.sweep_kernel"]["result"] == before[f"{TWO}.sweep_kernel"]["result"]
    assert after[f"{TWO}.sweep_total"] == before[f"{TWO}.sweep_total"]


BREAKS_THE_ENGINE = """
import os, sys
if any(word.endswith("sweep.py") for word in sys.orig_argv):
    os.write(2, b"broken on purpose")
    os._exit(2)
"""


def test_a_broken_group_erases_nothing_and_says_why(
    clone: Clone, head: str, new_runs: Callable[[], list[Run]], tmp_path: Path
) -> None:
    before = clone.results(head)
    (tmp_path / "sitecustomize.py").write_text(BREAKS_THE_ENGINE)
    printed = clone.asv("run", f"{head}^!", "-b", ALONE, "--show-stderr", PYTHONPATH=str(tmp_path))
    assert "exit code 2" in printed
    assert new_runs() == []
    for metric in ("kernel", "total", "peak_memory"):
        name = f"{ALONE}.sweep_{metric}"
        assert clone.results(head)[name]["result"] == before[name]["result"]
        assert clone.results(head)[name].get("stats_ci_99_a") == before[name].get("stats_ci_99_a")
    failed = max((clone.path / ".asv" / "runs").glob(f"*/{head}/*.failed"))
    assert "broken on purpose" in failed.read_text()


def test_a_device_that_is_not_there_is_nobodys_failure(clone: Clone, head: str) -> None:
    before = sorted((clone.path / ".asv" / "runs").rglob("*"))
    printed = clone.asv("run", f"{head}^!", "-b", ALONE, code=1, FIABENCH_DEVICE="npuu")
    assert "FIABENCH_DEVICE=npuu: --device: found 'npuu'" in printed
    assert sorted((clone.path / ".asv" / "runs").rglob("*")) == before


def test_b_measures_only_what_it_names_and_a_narrower_sweep_erases_nothing(
    clone: Clone, head: str, new_runs: Callable[[], list[Run]]
) -> None:
    wide = clone.write_sweep("wide", axes={"seq_len_q": [64, 128], "ulysses": [1, 2]})
    clone.asv("run", f"{head}^!", "-b", f"{AS_SIMULATED}.sweep_total", FIABENCH_SWEEP=wide, **SIMULATED)
    (run,) = new_runs()
    assert [line.point.seq_len_q for line in run.lines] == [64, 128]
    total, wider = f"{AS_SIMULATED}.sweep_total", clone.results(head)
    assert wider[total]["params"][0] == ["64", "128"]

    narrow = clone.write_sweep("narrow", axes={"seq_len_q": [128, 256], "ulysses": [1]})
    only = ("-b", rf"{total}\(256")
    clone.asv("run", f"{head}^!", *only, FIABENCH_SWEEP=narrow, **SIMULATED)
    assert [line.point.seq_len_q for line in new_runs()[1].lines] == [256]
    after = clone.results(head)[total]
    values = dict(zip(after["params"][0], after["result"]))
    assert [values[length] for length in ("64", "128")] == wider[total]["result"]
    assert values["256"] is not None
    known = json.loads((clone.path / ".asv" / "results" / "benchmarks.json").read_text())
    assert set(known[total]["params"][0]) == {"64", "128", "256"}  # asv publish shows no other
    assert f"{TWO}.sweep_kernel" in known


@pytest.mark.long
def test_interleaved_rounds_measure_afresh(clone: Clone, head: str, new_runs: Callable[[], list[Run]]) -> None:
    clone.asv(
        "run", f"{head}^!", "-b", f"{AS_SIMULATED}.sweep_kernel", "--interleave-rounds", "-a", "rounds=2",
        "--record-samples", **SIMULATED,
    )  # fmt: skip
    runs = new_runs()
    assert [len(run.lines) for run in runs] == [1, 1]
    count = sum(len(line.samples["kernel"]["0"]) for run in runs for line in run.lines)
    assert len(clone.results(head)[f"{AS_SIMULATED}.sweep_kernel"]["samples"][0]) == count


def test_an_interrupted_run_erases_nothing_and_is_gone_on_with(
    clone: Clone, head: str, new_runs: Callable[[], list[Run]]
) -> None:
    slow = {"criterion": "fixed_time", "max_seconds": 2.0, "max_samples": 100_000, "warmup_max_seconds": 0.1}
    sweep = clone.write_sweep("slow", axes={"seq_len_q": [64, 96]}, sampling=slow)
    before = clone.results(head)
    command = ("run", f"{head}^!", "-b", ALONE)

    def one_case_is_done() -> bool:
        return any(run.lines for run in new_runs())

    clone.interrupt_asv(*command, when=one_case_is_done, FIABENCH_SWEEP=sweep)
    (broken,) = new_runs()
    assert (len(broken.lines), broken.header["finished"]) == (1, None)
    after = clone.results(head)
    assert {name: asked(after[name]) for name in before} == {name: asked(row) for name, row in before.items()}
    assert after[f"{ALONE}.sweep_total"]["params"][0] == ["64", "96"]  # is not run, and not failed

    clone.asv(*command, FIABENCH_SWEEP=sweep)
    (whole,) = new_runs()  # in the same directory
    assert whole.header["finished"]
    assert [line.point.seq_len_q for line in whole.lines] == [64, 96]
    assert whole.lines[0] == broken.lines[0]
    assert None not in clone.results(head)[f"{ALONE}.sweep_total"]["result"]


@pytest.mark.long
def test_variables_come_through_the_matrix_and_builds_are_cached(
    clone: Clone, head: str, new_runs: Callable[[], list[Run]]
) -> None:
    builds = clone.path.parent / "builds"
    configuration = json.loads(
        "\n".join(
            line
            for line in (clone.path / "asv.conf.json").read_text().splitlines()
            if not line.strip().startswith("//")
        )
    )
    build = f"import pathlib; open({str(builds)!r}, 'a').write('built\\n'); pathlib.Path('made.txt').write_text('')"
    (clone.path.parent / "build.py").write_text(build)
    (clone.path.parent / "install.py").write_text("import pathlib, sys; assert pathlib.Path(sys.argv[1]).exists()")
    configuration |= {
        "matrix": {"env_nobuild": {"TASK_QUEUE_ENABLE": ["1", "2"]}},
        "build_command": [f"in-dir={{build_cache_dir}} python {clone.path.parent / 'build.py'}"],
        "install_command": [f"python {clone.path.parent / 'install.py'} {{build_cache_dir}}/made.txt"],
        "build_cache_size": 4,
    }
    path = clone.path / "matrix.conf.json"
    path.write_text(json.dumps(configuration))
    clone.asv("run", "--config", str(path), f"{head}^!", "-b", f"{AS_SIMULATED}.sweep_kernel", **SIMULATED)
    for commit in (clone.git("rev-parse", f"{head}^"), head):
        clone.asv("run", "--config", str(path), f"{commit}^!", "-b", "just-discover", **SIMULATED)
    path.unlink()
    variables = [run.environment["variables"]["TASK_QUEUE_ENABLE"] for run in new_runs()]
    assert sorted(variables) == ["1", "2"]
    files = list((clone.path / ".asv" / "results").glob(f"*/{head[:8]}*TASK_QUEUE_ENABLE*.json"))
    assert sorted(json.loads(path.read_text())["env_vars"]["TASK_QUEUE_ENABLE"] for path in files) == ["1", "2"]
    assert len(builds.read_text().splitlines()) == 2  # one a commit


def test_two_asvs_at_once_are_kept_apart(clone: Clone, head: str) -> None:
    with (clone.path / ".asv" / "env" / "lock").open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert "another asv" in clone.asv("run", f"{head}^!", "-b", ALONE, code=1)


def test_a_sweep_that_cannot_be_read_is_said(clone: Clone, head: str) -> None:
    wrong = clone.write_sweep("wrong", axes={"sequence": [1]})
    assert "sequence" in clone.asv("run", f"{head}^!", "-b", ALONE, code=1, FIABENCH_SWEEP=wrong)
    missing = str(Path(wrong).with_name("missing.yaml"))
    assert "missing.yaml" in clone.asv("run", f"{head}^!", "-b", ALONE, code=1, FIABENCH_SWEEP=missing)
