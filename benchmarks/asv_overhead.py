#!/usr/bin/env python3
"""What asv costs beside measuring: of a run of 108 combinations, of each combination's process, of each further commit.

`python benchmarks/asv_overhead.py` makes a repository of two commits of a small attention, runs asv over one and over
both, and prints each figure beside its target, in some minutes; `--lengths 2` is a shorter look. asv forks the process
of a combination from one that has imported the suite, as `history run` asks it to; by itself it starts a Python for
each, which is measured beside it. All figures are of one run; ratios are to an empty benchmark in it. They are times of
a busy or quiet box like any other: read them with the load that is printed. By hand only: it starts asv itself.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
LENGTHS = 12
"""Sequence lengths; each gives three combinations on one rank and six on two."""
_STEP = 16
_ATTENTION = """import torch

def forward(query, key, value):
    return torch.nn.functional.scaled_dot_product_attention(query, key, value)
"""
_EMPTY = """{first}
class Empty:
    params = [list(range({count}))]
    version = "1"

    def setup_cache(self):
        return {{}}

    def track_nothing(self, cache, number):
        return 1.0
"""


class Spent(NamedTuple):
    """Seconds of one `asv run`."""

    beside: float
    """Of asv, beside the engine's processes that measure and the empty benchmark."""
    measuring: float
    """Of the engine's processes."""
    combination: float
    """Of the process of one combination of the sweep, on average."""
    empty: float
    """Of the process of one combination of an empty benchmark."""
    plain: float
    """The same where the suite imports torch, as plain asv's would."""


FORK, SPAWN = "forkserver", "spawn"
"""asv's launch methods: the suite is imported once, or by each process."""


def spent(folder: Path, lengths: int, commits: int, launch: str) -> Spent:
    """What `asv run` takes over ``commits`` commits with ``lengths`` sequence lengths. Raises CalledProcessError."""
    folder.mkdir()
    hashes = _repository(folder / "layer", commits)
    suite = _suite(folder / "suite", lengths)
    history = folder / "history"
    history.mkdir()
    settings = {
        "version": 1, "project": "layer", "repo": str(folder / "layer"), "dvcs": "git", "branches": ["HEAD"],
        "benchmark_dir": str(suite / "benchmarks"), "env_dir": "env", "results_dir": "results", "html_dir": "html",
        "plugins": [".fiabench.asv_plugin.environment"], "environment_type": "inplace",
    }  # fmt: skip
    (history / "asv.conf.json").write_text(json.dumps(settings))
    (history / "hashes").write_text("\n".join(hashes) + "\n")
    variables = {"FIABENCH_SWEEP": str(suite / "sweep.yaml"), "FIABENCH_PROJECT": "layer", "HOME": str(folder)}
    _asv(history, variables, "machine", "--yes")
    started = time.perf_counter()
    _asv(history, variables, "run", "--launch-method", launch, "HASHFILE:hashes", "-b", "attention", "-b", r"empty\.")
    whole = time.perf_counter() - started
    if launch == SPAWN:
        _asv(history, variables, "run", "--launch-method", launch, f"{hashes[0]}^!", "-b", "plain")
    notes = [json.loads(path.read_text()) for path in (history / "runs").glob("*/*/*.asked")]
    (path,) = (history / "results").glob(f"*/{hashes[0][:8]}*.json")
    each = _durations(json.loads(path.read_text()))
    swept = [seconds for name, seconds in each.items() if name.startswith("attention.")]
    measuring, empty = sum(note["seconds"] for note in notes), each["empty.Empty.track_nothing"]
    beside = whole - measuring - commits * 3 * lengths * empty
    return Spent(beside, measuring, sum(swept) / len(swept), empty, each.get("plain.Empty.track_nothing", math.nan))


def _durations(results: dict[str, Any]) -> dict[str, float]:
    """Seconds of one combination's process, by benchmark."""
    columns = results["result_columns"]
    each = {}
    for name, row in results["results"].items():
        stored = dict(zip(columns, row))
        count = 1
        for values in stored["params"]:
            count *= len(values)
        each[name] = stored["duration"] / count
    return each


def _repository(path: Path, commits: int) -> list[str]:
    path.mkdir()
    git = ["git", "-C", str(path), "-c", "user.name=a user", "-c", "user.email=user@localhost"]
    subprocess.run([*git, "init", "--quiet", "--initial-branch", "main"], check=True)
    hashes = []
    for number in range(commits):
        (path / "layer.py").write_text(f"{_ATTENTION}\n# {number}\n")
        subprocess.run([*git, "add", "--all"], check=True)
        subprocess.run([*git, "commit", "--quiet", "--message", f"Commit {number}"], check=True)
        done = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
        hashes.append(done.stdout.strip())
    return hashes


def _suite(path: Path, lengths: int) -> Path:
    """This suite's benchmarks from sweeps, beside an empty one and one that imports torch."""
    benchmarks = path / "benchmarks"
    benchmarks.mkdir(parents=True)
    for name in ("__init__.py", "attention.py"):
        (benchmarks / name).write_text((ROOT / "benchmarks" / name).read_text())
    (benchmarks / "empty.py").write_text(_EMPTY.format(first="", count=3 * lengths))
    (benchmarks / "plain.py").write_text(_EMPTY.format(first="import torch", count=4))
    for name in ("src", "tools"):
        (path / name).symlink_to(ROOT / name)
    sweep = {
        "name": "overhead",
        "about": "Many small cases.",
        "geometry": {"heads": 4, "head_dim": 16},
        "axes": {"seq_len_q": [_STEP * (number + 1) for number in range(lengths)], "ulysses": [1, 2]},
        "constants": {"op": "layer", "layout": "BNSD", "dtype": "bf16", "threads": 1},
        "projects": {"layer": {"adapter": "any_callable", "target": "layer:forward"}},
        "sampling": {"max_samples": 20, "max_seconds": 1, "warmup_max_seconds": 0.2},
    }
    (path / "sweep.yaml").write_text(json.dumps(sweep))  # JSON is YAML
    return path


def _asv(folder: Path, variables: dict[str, str], *arguments: str) -> None:
    """Runs asv; what it prints is shown where it fails."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("ASV", "FIABENCH"))}
    command = [sys.executable, "-m", "asv", *arguments]
    done = subprocess.run(command, cwd=folder, env=own | variables, capture_output=True, text=True)
    if done.returncode:
        print(done.stdout, done.stderr, file=sys.stderr)
        done.check_returncode()


def main(arguments: list[str]) -> None:
    """Prints every figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", type=int, default=LENGTHS, help="sequence lengths: nine combinations each")
    options = parser.parse_args(arguments)
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        one = spent(folder / "one", options.lengths, 1, FORK)
        two = spent(folder / "two", options.lengths, 2, FORK)
        fresh = spent(folder / "fresh", options.lengths, 1, SPAWN)
    combinations, further = 9 * options.lengths, two.beside - one.beside

    def show(figure: str, value: str, target: str, met: bool | None) -> None:
        verdict = "" if met is None else "met" if met else "MISSED"
        print(f"{figure:<58} {value:>10}   target {target:<6} {verdict}", flush=True)

    ratio = fresh.combination / fresh.empty
    show(f"asv run of {combinations} combinations, beside measuring", f"{one.beside:.1f} s", "25 s", one.beside <= 25)
    show("a further commit, beside measuring", f"{further:.1f} s", "10 s", further <= 10)
    show("a combination's process, forked", f"{1000 * one.combination:.0f} ms", "-", None)
    show("an empty one, forked", f"{1000 * one.empty:.0f} ms", "-", None)
    show("with a Python for each: asv run, beside measuring", f"{fresh.beside:.1f} s", "-", None)
    show("a combination's process, in times of an empty one", f"{ratio:.2f}", "1.3", ratio <= 1.3)
    show("plain asv's process with torch, in times of an empty one", f"{fresh.plain / fresh.empty:.2f}", "-", None)
    print(f"an empty Python of asv's takes {fresh.empty:.3f} s; measuring took {one.measuring:.0f} s; "
          f"load {load} at the start")  # fmt: skip


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "tools"))
    from _door import enter

    enter(__file__)
    main(sys.argv[1:])
