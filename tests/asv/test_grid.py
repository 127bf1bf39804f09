"""A sweep's axes as asv has them, against the cases that the sweep really makes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from fiabench.asv_plugin.grid import Grid, read_grid
from fiabench.cases.case import Case
from fiabench.cases.expand import expand
from fiabench.cases.load import load_sweep
from tests.asv.conftest import ROOT

SHIPPED = ROOT / "sweeps" / "history.yaml"


def grid_of(folder: Path, **keys: Any) -> Grid:
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({"name": "a", "about": "b", "geometry": {"heads": 8, "head_dim": 16}} | keys))
    return read_grid(path)


def test_the_shipped_sweep_has_a_cell_for_each_case() -> None:
    grid = read_grid(SHIPPED)
    cases = [point for point in expand(load_sweep(str(SHIPPED))) if isinstance(point, Case)]
    assert {(case.seq_len_q, case.head_shard) for case in cases} == {
        (length, shard) for length in grid.seq_lens for shard in grid.head_shards
    }


def test_head_shards_come_from_axes_zips_constants_and_included_points(tmp_path: Path) -> None:
    lengths = {"seq_len_q": [64, 128]}
    assert grid_of(tmp_path, axes=lengths) == Grid([64, 128], ["tp1 x u1"])
    assert grid_of(tmp_path, axes=lengths, constants={"tp": 2, "ulysses": 4}).head_shards == ["tp2 x u4"]
    zipped = grid_of(tmp_path, axes=lengths, zip=[{"tp": [1, 2], "ulysses": [4, 2]}])
    assert zipped.head_shards == ["tp1 x u4", "tp2 x u2"]
    added = grid_of(tmp_path, axes=lengths | {"ulysses": [1, 2]}, include=[{"seq_len_q": 256, "ulysses": 4}])
    assert added == Grid([64, 128, 256], ["tp1 x u1", "tp1 x u2", "tp1 x u4"])


def test_what_asv_cannot_tell_apart_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="differ in more than seq_len_q, tp and ulysses"):
        grid_of(tmp_path, axes={"seq_len_q": [64], "batch": [1, 2]})
    with pytest.raises(ValueError, match="as plain numbers"):
        grid_of(tmp_path, axes={"seq_len_q": [{"from": 64, "to": 128, "step": 64}]})


def test_a_process_that_hands_over_imports_neither_torch_nor_pydantic_nor_numpy() -> None:
    code = "import sys, benchmarks.attention; print(*{'torch', 'pydantic', 'numpy', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
