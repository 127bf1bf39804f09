"""What asv knew before it ran comes back, also where the process before it was killed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

RUN = """
import os, sys
from pathlib import Path
from types import SimpleNamespace
from asv import util
from fiabench.asv_plugin.keeping import Keeper, keep_out_others

folder = Path(sys.argv[1])
keep_out_others(folder)
results = folder / "results"
Keeper.of(SimpleNamespace(results_dir=str(results), repo=str(folder)), folder / "runs", folder, False)
util.write_json(str(results / "benchmarks.json"), {sys.argv[2]: {"params": [["1"], ["2"]]}}, 2)  # as asv does
if sys.argv[3] == "killed":
    os._exit(9)
"""


def run(folder: Path, name: str, how: str = "") -> None:
    done = subprocess.run([sys.executable, "-c", RUN, str(folder), name, how], capture_output=True, text=True)
    assert done.returncode == (9 if how else 0), done.stderr


def known(folder: Path) -> set[str]:
    return set(json.loads((folder / "results" / "benchmarks.json").read_text())) - {"version"}


def test_benchmarks_that_a_killed_process_dropped_come_back(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    first, second, third = (f"attention.World{ranks}_fia.sweep_total" for ranks in (1, 2, 4))
    run(tmp_path, first)
    assert known(tmp_path) == {first}
    run(tmp_path, second, "killed")
    assert known(tmp_path) == {second}
    run(tmp_path, third)
    assert known(tmp_path) == {first, second, third}
    assert not (tmp_path / "benchmarks.before").exists()
