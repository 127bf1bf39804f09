"""What of several run directories of a commit asv is given, and what asv's files become by it."""

from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path
from typing import Any

import pytest
from asv import util

from fiabench.asv_plugin.export import complete, describe, rebuild
from fiabench.asv_plugin.view import read_views
from fiabench.cases.errors import InputError
from fiabench.results.rundir import RunDirectory
from tests.asv.test_handover import ON_ONE, line

GROUP = "World1_fia_BNSD_bf16_h4_d16"
TOTAL = f"attention.{GROUP}.sweep_total"
AT = ("64", "'tp1 x u1'")


def write(
    folder: Path, name: str, status: str, total: float = 0.0, lengths: tuple[int, ...] = (64,), **note: Any
) -> None:
    """A run directory called ``name`` in which every case ended with ``status``."""
    header = {
        "finished": "now",
        "options": {"device": "auto"},
        "environment": {
            "commit": folder.name, "python": "3.11.0", "system": "Linux 6 aarch64", "versions": {"torch": "2.7"},
            "cann": "8.2", "cpu": "a CPU", "cores": 2, "device_name": "Ascend910B3",
        },
    }  # fmt: skip
    directory = RunDirectory.create(folder / name, header)
    samples = {"end_to_end": {"0": [total, total + 1]}, "kernel": {"0": [total / 2] * 2}} if status == "ok" else {}
    for length in lengths:
        case = ON_ONE._replace(seq_len_q=length, seq_len_kv=length)
        directory.append(line(case, status, samples=samples, reason="" if status == "ok" else "it broke"))
    directory.close()
    if note:
        (folder / f"{name}.asked").write_text(json.dumps({"answered": True} | note))


def total(folder: Path) -> Any:
    views, unreadable = read_views(folder)
    assert unreadable == []
    (view,) = views.values()
    return view.groups[GROUP][AT].handed["total"]


def test_the_newest_measurement_counts(tmp_path: Path) -> None:
    write(tmp_path, "1", "ok", 5.0)
    write(tmp_path, "2", "ok", 7.0)
    assert total(tmp_path) == [7.0, 8.0]


@pytest.mark.parametrize("status", ["crash", "does_not_fit"])
def test_a_failure_displaces_no_measurement_and_is_displaced_by_one(tmp_path: Path, status: str) -> None:
    write(tmp_path, "1", status)
    failed = total(tmp_path)
    assert failed is None if status == "crash" else math.isnan(failed)
    write(tmp_path, "2", "ok", 5.0)
    write(tmp_path, "3", status)
    assert total(tmp_path) == [5.0, 6.0]


def test_a_quick_look_displaces_failures_alone(tmp_path: Path) -> None:
    write(tmp_path, "1", "crash")
    write(tmp_path, "2", "ok", 5.0, quick=True, environment="")
    assert total(tmp_path) == [5.0, 6.0]
    write(tmp_path, "3", "ok", 7.0)
    write(tmp_path, "4", "ok", 9.0, quick=True, environment="")
    assert total(tmp_path) == [7.0, 8.0]


def test_appended_samples_follow_those_before(tmp_path: Path) -> None:
    write(tmp_path, "1", "ok", 5.0)
    write(tmp_path, "2", "ok", 7.0, appended=True, environment="")
    assert total(tmp_path) == [5.0, 6.0, 7.0, 8.0]
    write(tmp_path, "3", "ok", 9.0)
    assert total(tmp_path) == [9.0, 10.0]


def test_environments_are_apart_and_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    for value in ("1", "2"):
        write(tmp_path, value, "ok", 5.0, environment=f"e{value}", variables={"TASK_QUEUE_ENABLE": value})
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "run.json").write_text("{")
    views, unreadable = read_views(tmp_path)
    assert {name: view.variables["TASK_QUEUE_ENABLE"] for name, view in views.items()} == {"e1": "1", "e2": "2"}
    assert len(unreadable) == 1


@pytest.fixture
def repository(tmp_path: Path) -> tuple[Path, str]:
    """One of one commit; and its hash."""
    path = tmp_path / "repository"
    git = ["git", "-C", str(path), "-c", "user.name=a", "-c", "user.email=a@localhost"]
    subprocess.run(["git", "init", "--quiet", str(path)], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "--message", "one"], check=True)
    done = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return path, done.stdout.strip()


def stored(results: Path, machine: str) -> dict[str, Any]:
    (path,) = (path for path in (results / machine).iterdir() if path.name != "machine.json")
    content = json.loads(path.read_text())
    return {name: dict(zip(content["result_columns"], row)) for name, row in content["results"].items()}


def test_every_machine_becomes_one_of_asvs(tmp_path: Path, repository: tuple[Path, str]) -> None:
    path, commit = repository
    runs, results = tmp_path / "runs", tmp_path / "results"
    write(runs / "npu-box" / commit, "1", "ok", 5.0)
    write(runs / "other" / commit, "1", "crash")
    write(runs / "other" / ("f" * 40), "1", "ok", 5.0)
    (problem,) = rebuild(runs, results, path)
    assert "no such commit" in problem
    machine = json.loads((results / "npu-box" / "machine.json").read_text())
    assert (machine["machine"], machine["arch"], machine["torch"], machine["cann"]) == (
        "npu-box",
        "aarch64",
        "2.7",
        "8.2",
    )
    assert stored(results, "npu-box")[TOTAL]["result"] == [5.5]
    assert stored(results, "other")[TOTAL]["result"] is None
    known = json.loads((results / "benchmarks.json").read_text())
    assert known[TOTAL]["params"] == [["64"], ["'tp1 x u1'"]]


def test_completing_fills_what_asv_lost_and_leaves_what_it_stored(tmp_path: Path, repository: tuple[Path, str]) -> None:
    path, commit = repository
    folder, results = tmp_path / "runs" / "box" / commit, tmp_path / "results"
    write(folder, "1", "ok", 5.0, lengths=(64, 128))
    rebuild(tmp_path / "runs", results, path)
    (file,) = (results / "box").glob(f"{commit[:8]}*.json")
    content = json.loads(file.read_text())
    row = content["results"][TOTAL]
    row[content["result_columns"].index("result")] = [3.25, None]  # as if just stored, one case failing
    file.write_text(json.dumps(content))
    before = json.loads((results / "benchmarks.json").read_text())
    (results / "benchmarks.json").write_text(json.dumps({"version": 2}))

    write(folder, "2", "ok", 7.0, lengths=(256,))
    complete(folder.parent, results, path, [commit], before, quick=False)
    found = stored(results, "box")[TOTAL]
    assert dict(zip(found["params"][0], found["result"])) == {"64": 3.25, "128": 5.5, "256": 7.5}
    known = json.loads((results / "benchmarks.json").read_text())
    assert known[TOTAL]["params"][0] == ["64", "128", "256"]

    content = file.read_bytes()
    complete(folder.parent, results, path, [commit], {}, quick=False)
    assert file.read_bytes() == content  # nothing is lacking
    complete(folder.parent, results, path, [commit], {}, quick=True)  # the 3.25 was only a quick look
    assert stored(results, "box")[TOTAL]["result"] == [5.5, 5.5, 7.5]


def test_what_asv_knows_and_never_measured_here_is_not_failed(tmp_path: Path, repository: tuple[Path, str]) -> None:
    path, commit = repository
    results = tmp_path / "results"
    write(tmp_path / "runs" / "box" / commit, "1", "ok", 5.0, lengths=(512,))
    known = describe(TOTAL, "total") | {"params": [["512", "1024"], ["'tp1 x u1'"]]}  # as `asv run -b 512` leaves it
    other = {"params": [], "name": "others.time"}
    util.write_json(str(results / "benchmarks.json"), {TOTAL: known, "others.time": other}, 2)
    complete(tmp_path / "runs" / "box", results, path, [commit], {}, quick=False)
    found = stored(results, "box")[TOTAL]
    assert found["params"][0] == ["512", "1024"]
    assert found["result"][0] == 5.5
    assert math.isnan(found["result"][1])
    after = json.loads((results / "benchmarks.json").read_text())
    assert (after[TOTAL]["params"], after["others.time"]) == (known["params"], other)
    write(tmp_path / "runs" / "box" / commit, "2", "ok", 7.0, lengths=(1024,))
    complete(tmp_path / "runs" / "box", results, path, [commit], {}, quick=False)
    assert stored(results, "box")[TOTAL]["result"] == [5.5, 7.5]


@pytest.mark.parametrize("text", ['{"version": 99}', "{", "[]", '{"version": "x"}', "3"])
def test_a_view_that_cannot_be_read_is_written_anew(tmp_path: Path, repository: tuple[Path, str], text: str) -> None:
    path, commit = repository
    results = tmp_path / "results"
    write(tmp_path / "runs" / "box" / commit, "1", "ok", 5.0)
    (results / "box").mkdir(parents=True)
    for name in ("benchmarks.json", "box/machine.json"):
        (results / name).write_text(text)
    assert rebuild(tmp_path / "runs", results, path) == []
    assert stored(results, "box")[TOTAL]["result"] == [5.5]
    assert json.loads((results / "benchmarks.json").read_text())[TOTAL]["params"] == [["64"], ["'tp1 x u1'"]]
    assert json.loads((results / "box" / "machine.json").read_text())["machine"] == "box"


def test_no_runs_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found no folder"):
        rebuild(tmp_path / "runs", tmp_path / "results", tmp_path)
