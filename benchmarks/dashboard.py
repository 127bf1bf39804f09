#!/usr/bin/env python3
"""What the dashboard costs beside asv's own page: building it, building it after one more commit, and its weight.

`python benchmarks/dashboard.py` makes a repository of 500 commits with drawn results of 300 cases each, samples
included, and asv's results of the same; then it prints, each beside its target, what `asv publish` takes (without the
dashboard's plugin), what the dashboard takes, detection included, and what it takes after one more commit. `--commits`
and `--lengths` make it smaller: a length is twelve cases. All figures are of one run; seconds are of the wall clock
and, on a busy box the better measure, of the processor. By hand only: at full size it writes some gigabytes and takes
minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[1]
PEAK = 294.9e12
SAMPLES = 20
_DAY = 86400
_STEP = 1.05
"""What two thirds of the way is planted: every seventh case takes this much longer."""
ENVIRONMENT: dict[str, Any] = {
    "fiabench": "0.1", "commit": None, "dirty": None, "device": "npu", "device_name": "simulated 910B3",
    "device_count": 8, "simulated": True,
    "simulation": {"plants": [], "spec": {"across": {"nodes": 1}, "node": {"ranks": 8}}},
    "driver": "24.1", "cann": "8.0", "cuda": None, "cpu": "none", "cores": 64, "host": "box", "python": "3.11.7",
    "system": "Linux 5.10 aarch64", "versions": {"torch": "2.5.1"}, "variables": {}, "operator": "drawn",
    "emulated": [], "peak": {"flops": {"bf16": PEAK}, "memory_bandwidth": 1759e9, "source": "product figures"},
}  # fmt: skip


class Spent(NamedTuple):
    """Seconds of a command and its children."""

    wall: float
    processor: float
    peak_bytes: int


def spent(command: list[str], folder: Path) -> Spent:
    """Raises CalledProcessError with what the command printed."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        done.check_returncode()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Spent(time.monotonic() - started, busy, after.ru_maxrss * 1024)


def repository(path: Path, commits: int) -> list[str]:
    """A repository of so many empty commits, a day apart; gives their hashes, oldest first."""
    path.mkdir()
    git = ["git", "-C", str(path)]
    subprocess.run([*git, "init", "--quiet", "--initial-branch", "main"], check=True)
    parts = []
    for number in range(commits):
        subject = f"commit {number}"
        parts.append(
            f"commit refs/heads/main\ncommitter a user <user@localhost> {1_700_000_000 + number * _DAY} +0000\n"
            f"data {len(subject)}\n{subject}\n\n"
        )
    subprocess.run([*git, "fast-import", "--quiet"], input="".join(parts), text=True, check=True)
    listed = subprocess.run([*git, "rev-list", "--reverse", "main"], capture_output=True, text=True, check=True)
    return listed.stdout.split()


class Planted:
    """The cases, and what each takes at a commit."""

    def __init__(self, folder: Path, lengths: int) -> None:
        from fiabench.cases.case import Case
        from fiabench.cases.expand import expand
        from fiabench.cases.load import load_sweep
        from fiabench.results import metrics

        sweep = {
            "name": "history", "about": "Drawn.", "geometry": {"heads": 64, "head_dim": 64},
            "axes": {"seq_len_q": [1024 * (one + 1) for one in range(lengths)], "ulysses": [1, 2],
                     "tp": [1, 2, 4, 8, 16, 32]},
            "constants": {"op": "fia", "dtype": "bf16", "layout": "BNSD", "threads": 1, "exchange": "separate"},
        }  # fmt: skip
        path = folder / "history.yaml"
        path.write_text(yaml.safe_dump(sweep))
        loaded = load_sweep(path)
        self.sweep: dict[str, Any] = loaded.resolved()
        self.cases = [case for case in expand(loaded) if isinstance(case, Case)]
        self._metrics = metrics

    def write(self, folder: Path, number: int, commits: int) -> None:
        """One commit's run directory."""
        import numpy as np

        folder.mkdir(parents=True)
        created = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(1_700_000_000 + number * _DAY))}+00:00"
        header = {
            "format": 1, "created": created, "finished": created, "sweep": self.sweep,
            "options": {"device": "auto", "sessions": 1}, "environment": ENVIRONMENT,
        }  # fmt: skip
        (folder / "run.json").write_text(json.dumps(header))
        rng = np.random.default_rng(number)
        with (folder / "cases.jsonl").open("w") as file:
            for place, line in enumerate(self._lines(rng)):
                if place % 7 == 0 and number >= commits * 2 // 3:
                    for name in ("kernel", "end_to_end"):
                        slower = {rank: [_STEP * value for value in row] for rank, row in line["samples"][name].items()}
                        line["samples"][name] = slower
                case = self.cases[place]
                line["metrics"] = self._metrics.compute(case, line["samples"], PEAK, 2.0**30)
                file.write(json.dumps(line) + "\n")

    def _lines(self, rng: Any) -> Iterator[dict[str, Any]]:
        import numpy as np

        for case in self.cases:
            seconds = {"kernel": 1e-9 * case.seq_len_q**2 / case.ulysses / case.tp}
            if case.ulysses > 1:
                moved = 2e-8 * case.seq_len_q / case.tp
                seconds |= {f"{what}_{way}": moved for what in ("pack", "exchange", "unpack") for way in ("in", "out")}
            seconds["end_to_end"] = 1.01 * sum(seconds.values())
            mood = 1 + 0.005 * rng.standard_normal()
            samples = {}
            for name, middle in seconds.items():
                noise = np.round(middle * mood * np.exp(0.01 * rng.standard_normal((case.ulysses, SAMPLES))), 9)
                samples[name] = {str(rank): row.tolist() for rank, row in enumerate(noise)}
            yield {
                "id": case.id, "case": case.as_dict() | {"device": "npu"}, "status": "ok", "reason": "",
                "check": {"passed": True, "max_error": 0.002, "tolerance": 0.05, "rows": 64},
                "timing": {"method": "event", "world_size": case.ulysses, "described_world_size": case.ulysses},
                "samples": samples, "metrics": {}, "session": 0,
            }  # fmt: skip


def size(folder: Path, *names: str) -> int:
    """Bytes of what is in the folder, or of its files of these names."""
    files = [folder / name for name in names] if names else [path for path in folder.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files)


def measure(folder: Path, commits: int, lengths: int, say: Callable[[str], None]) -> None:
    """Makes everything in ``folder`` and says each figure."""
    from fiabench.asv_plugin.export import rebuild

    store = folder / "asv" / "projects" / "drawn"
    hashes = repository(folder / "repository", commits + 1)
    planted = Planted(folder, lengths)
    for number, name in enumerate(hashes[:-1]):
        planted.write(store / "runs" / "box" / name / "20240101-000000-000000", number, commits)
    say(f"{commits} commits x {len(planted.cases)} cases, {size(store / 'runs') / 2**20:,.0f} MiB of run directories")
    rebuild(store / "runs", store / "results", folder / "repository")
    configuration = {
        "version": 1, "project": "drawn", "project_url": "local", "repo": str(folder / "repository"),
        "branches": ["main"], "benchmark_dir": str(ROOT / "benchmarks"), "results_dir": "results",
        "html_dir": "asvs-html", "env_dir": "env", "hash_length": 10, "environment_type": "virtualenv",
    }  # fmt: skip
    (store / "asv.conf.json").write_text(json.dumps(configuration))
    publish = spent([sys.executable, "-m", "asv", "publish"], store)
    say(f"asv publish           {_said(publish)}")
    out = folder / "html"
    build = [sys.executable, str(ROOT / "tools" / "dashboard.py"), "build", "--asv", str(folder / "asv"),
             "--project", "drawn", "--out", str(out)]  # fmt: skip
    whole = spent([*build, "--no-figures"], folder)
    say(f"dashboard             {_said(whole)}; target: at most asv's {publish.wall:.1f} s")
    say(f"  it weighs           {size(out) / 1e6:.0f} MB; target: at most 300")
    first = size(out, "index.html", "data/index.js", "static/dashboard.css", "static/uPlot.min.css",
                 *(f"static/{name}.js" for name in ("core", "heat", "history", "case", "start")))  # fmt: skip
    say(f"  the first view      {first / 1e6:.2f} MB besides the chart library; target: at most 1.5")
    again = spent([*build, "--no-figures"], folder)
    say(f"nothing new           {_said(again)}")
    planted.write(store / "runs" / "box" / hashes[-1] / "20240101-000000-000000", commits, commits)
    more = spent([*build, "--no-figures"], folder)
    third = f"{max(whole.wall / 3, 1.5):.1f} s ({max(whole.processor / 3, 1.5):.1f} s of the processor)"
    say(f"one more commit       {_said(more)}; target: at most {third}")
    drawn = spent(build, folder)
    say(f"the figures, once     {_said(drawn)}")


def _said(found: Spent) -> str:
    return (
        f"{found.wall:6.1f} s ({found.processor:.1f} s of the processor, at most {found.peak_bytes / 2**20:,.0f} MiB)"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commits", type=int, default=500)
    parser.add_argument("--lengths", type=int, default=25, help="sequence lengths, of 12 cases each [default: 25]")
    parser.add_argument("--folder", type=Path, help="where the results are made, and removed again")
    given = parser.parse_args()
    if given.commits < 3 or given.lengths < 1:
        parser.error("--commits: at least 3; --lengths: at least 1")
    sys.path.insert(0, str(ROOT / "src"))
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    with tempfile.TemporaryDirectory(prefix="dashboard-", dir=given.folder) as folder:
        measure(Path(folder), given.commits, given.lengths, lambda text: print(text, flush=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
