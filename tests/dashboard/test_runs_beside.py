"""Run directories that are of no history: each is shown, whatever else is of its commit."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from fiabench.cases.case import Case
from fiabench.cases.expand import expand
from fiabench.cases.load import load_sweep
from fiabench.dashboard import build
from fiabench.dashboard.build import Built
from fiabench.dashboard.model import Asked
from fiabench.history.store import Store
from fiabench.results.measurement import Measurement
from tests.dashboard.conftest import taken
from tests.dashboard.learned import ENVIRONMENT, ROOT, write

REAL = ENVIRONMENT | {"simulated": False, "simulation": None, "device": "cpu", "device_name": "CPU (two cores)"}
CASES = [case for case in expand(load_sweep(ROOT / "sweeps" / "quick.yaml")) if isinstance(case, Case)][:4]


def line(case: Case, seconds: float, **timing: Any) -> Measurement:
    made = Measurement(case.id, case.as_dict() | {"device": "cpu", "threads": 1}, "ok", "")
    made.timing = timing
    made.metrics = {"total": {"value": seconds, "low": 0.99 * seconds, "high": 1.01 * seconds, "unit": "s"}}
    return made


def run(folder: Path, seconds: float, cases: list[Case], environment: dict[str, Any], day: str = "2026-01-01") -> Path:
    return write(folder, [line(case, seconds) for case in cases], day, environment)


def shown(folder: Path, *runs: Path) -> Built:
    store = Store(folder / "asv", "fiabench", folder / "asv.conf.json")
    return build.write(Asked(store, runs), folder / "html", folder / "kept", ROOT / "plots", figures=False)


def totals(folder: Path) -> set[tuple[str, str, float]]:
    """(machine, commit's name, total) of every point."""
    index = taken(folder / "html" / "data" / "index.js")
    names = {commit[0]: commit[3] for commit in index["commits"]}
    found = set()
    for path in (folder / "html" / "cases").glob("*.csv"):
        with path.open() as file:
            found |= {(row["machine"], names[row["commit"]], float(row["total [s]"])) for row in csv.DictReader(file)}
    return found


def test_runs_of_one_commit_stand_beside_each_other(tmp_path: Path) -> None:
    runs = [
        run(tmp_path / "before", 1e-3, CASES, REAL),
        run(tmp_path / "after", 2e-3, CASES, REAL | {"cann": "9.0"}),
        run(tmp_path / "sim", 3e-3, CASES, ENVIRONMENT),
        run(tmp_path / "sim2", 4e-3, CASES, ENVIRONMENT | {"device_name": "simulated A3"}),
    ]
    done = shown(tmp_path, *runs, runs[0])
    short = "e" * 10
    assert totals(tmp_path) == {
        ("box", short, 1e-3), ("box", f"{short} 2026-01-01 03:04:05 after", 2e-3),
        ("box (simulated 910B3)", short, 3e-3), ("box (simulated A3)", short, 4e-3),
    }  # fmt: skip
    assert not done.model.notices


def test_runs_of_one_commit_and_box_with_other_cases_stand_together(tmp_path: Path) -> None:
    runs = [run(tmp_path / "a", 1e-3, CASES[:2], REAL), run(tmp_path / "b", 2e-3, CASES[2:], REAL)]
    shown(tmp_path, *runs)
    assert {name for _, name, _ in totals(tmp_path)} == {"e" * 10}
    runs.insert(0, run(tmp_path / "older", 3e-3, CASES[:2], REAL, "2025-12-31"))
    done = shown(tmp_path, *runs)
    assert len(totals(tmp_path)) == 3
    assert "not measured" not in done.verdict.counts


def test_runs_without_a_commit_have_names_of_their_own(tmp_path: Path) -> None:
    without = REAL | {"commit": None}
    runs = [run(tmp_path / name / "run", 1e-3 * place, CASES, without) for place, name in enumerate("abc", start=1)]
    done = shown(tmp_path, *runs)
    assert len(done.model.names) == len(set(done.model.names)) == 3
    assert all(name.startswith("2026-01-01 03:04:05 run") for name in done.model.names)
    assert {total for *_, total in totals(tmp_path)} == {1e-3, 2e-3, 3e-3}


def test_a_failure_beside_the_history_offers_no_command_that_fails(tmp_path: Path) -> None:
    first = run(tmp_path / "a", 1e-3, CASES, REAL | {"commit": None})
    second = run(tmp_path / "b", 1e-3, CASES, REAL | {"commit": None}, "2026-01-02")
    lines = [json.loads(text) for text in (second / "cases.jsonl").read_text().splitlines()]
    (second / "cases.jsonl").write_text(
        "".join(json.dumps(one | {"status": "error", "reason": "gone", "metrics": {}}) + "\n" for one in lines)
    )
    shown(tmp_path, first, second)
    with (tmp_path / "html" / "csv" / "changes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {(row["state"], row["reproduce"], row["accept"]) for row in rows} == {("failing", "", "")}
