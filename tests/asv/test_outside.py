"""The history of another repository through the real asv: the installed engine measures, the commit's files are run."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from fiabench.results.rundir import read_run
from tests.asv.conftest import ROOT, Clone

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

ATTEND = """import torch

def forward(query, key, value):
    attend = torch.nn.functional.scaled_dot_product_attention
    {lines}
    return attend(query, key, value)
"""


def test_history_moves_at_the_commit_that_attends_more_often(tmp_path: Path) -> None:
    for folder in ("home", "layer/python/layer", "history"):
        (tmp_path / folder).mkdir(parents=True)
    layer = Clone(tmp_path / "layer", tmp_path / "home")
    layer.git("init", "--quiet", "--initial-branch", "main")
    module = layer.path / "python" / "layer" / "__init__.py"
    module.write_text(ATTEND.format(lines="pass"))
    fast = layer.commit("Attend")
    module.write_text(ATTEND.format(lines="[attend(query, key, value) for _ in range(7)]"))
    slow = layer.commit("Attend more often")
    module.write_text("import nothing_of_that_name\n")
    broken = layer.commit("Import what is not there")

    place = Clone(tmp_path / "history", tmp_path / "home")
    sweep = tmp_path / "layer.yaml"
    sweep.write_text(
        "name: layer\nabout: A layer.\ngeometry: {heads: 4, head_dim: 64}\n"
        "axes: {seq_len_q: [512]}\nconstants: {op: layer, layout: BNSD, dtype: bf16, threads: 1}\n"
        "projects: {layer: {adapter: any_callable, target: 'layer:forward'}}\n"
        "sampling: {min_samples: 8, max_samples: 8, max_seconds: 2, warmup_max_seconds: 0.2}\n"
    )
    settings = {
        "version": 1, "project": "layer", "repo": str(layer.path), "repo_subdir": "python", "branches": ["HEAD"],
        "benchmark_dir": str(ROOT / "benchmarks"), "env_dir": "env", "results_dir": "results", "html_dir": "html",
        "plugins": [".fiabench.asv_plugin.environment"], "environment_type": "inplace", "dvcs": "git",
    }  # fmt: skip
    (place.path / "asv.conf.json").write_text(json.dumps(settings))
    place.asv("machine", "--yes")
    variables = {"FIABENCH_SWEEP": str(sweep), "FIABENCH_PROJECT": "layer"}
    hashes = tmp_path / "hashes"
    hashes.write_text(f"{fast}\n{slow}\n{broken}\n")
    place.asv("run", f"HASHFILE:{hashes}", "-b", "World1", "--record-samples", **variables)

    kernel = {}
    for commit in (fast, slow):
        (folder,) = (path for path in (place.path / "runs").glob(f"*/{commit}/*") if path.is_dir())
        (line,) = read_run(folder).lines
        assert line.timing["projects"]["layer"]["commit"] == commit
        assert Path(line.timing["projects"]["layer"]["file"]).is_relative_to(place.path / "env")
        (path,) = (place.path / "results").glob(f"*/{commit[:8]}*.json")
        results = json.loads(path.read_text())
        row = results["results"]["attention.World1_layer_BNSD_bf16_h4_d64_threads1.sweep_kernel"]
        kernel[commit] = min(row[results["result_columns"].index("samples")][0])
    assert kernel[slow] > 3 * kernel[fast]
    (path,) = (place.path / "results").glob(f"*/{broken[:8]}*.json")
    assert all(row[0] is None for row in json.loads(path.read_text())["results"].values())
    (folder,) = (path for path in (place.path / "runs").glob(f"*/{broken}/*") if path.is_dir())
    assert "nothing_of_that_name" in read_run(folder).lines[0].reason
    # The checkout under test is asv's own clone: what lies in the user's folder does not matter.
    assert subprocess.run(["git", "-C", layer.path, "status", "--porcelain"], capture_output=True).stdout == b""
