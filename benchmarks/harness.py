#!/usr/bin/env python3
"""What the suite itself costs: planning a million cases, planning at all, and the engine's share of a case.

`python benchmarks/harness.py` prints each figure beside its target, in two or three minutes. Under asv the same figures
are tracked for the commit under test, from fewer cases. They are times of a busy or quiet box like any other: read them
with the load that is printed.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]

MILLION: dict[str, Any] = {
    "name": "million",
    "about": "A million cases, to plan and not to run.",
    "geometry": {"heads": 8, "head_dim": 64},
    "axes": {
        "seq_len_q": [{"from": 8, "to": 400_000, "step": 8}],
        "ulysses": [1, 2, 4, 8],
        "batch": [1, 2, 3, 4, 5],
    },
}
PAIRS = 7
CASES = 200
RANKS = (1, 4)

_LIST_LIBRARIES = """
import contextlib, io, os, runpy, sys
sys.path.insert(0, os.path.dirname(sys.argv[0]))
own = set(sys.modules)
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    runpy.run_path(sys.argv[0], run_name="__main__")
foreign = [name for name, module in sys.modules.items() if "site-packages" in (getattr(module, "__file__", "") or "")]
print(" ".join(name for name in foreign if name not in own), file=sys.stderr)
"""
_IMPORT_LIBRARIES = """
import contextlib, importlib, sys
for name in sys.argv[1:]:
    with contextlib.suppress(ImportError):  # a few compiled modules only exist within their package
        importlib.import_module(name)
"""


class Cost(NamedTuple):
    """What a process took: wall and processor time in seconds, peak resident memory in bytes."""

    seconds: float
    processor_seconds: float
    peak_bytes: int


class Failed(Exception):
    """A process that should have worked did not; the message ends with its last words."""


def plan_million(checkout: Path) -> Cost:
    """`plan` of a sweep of 1,000,000 cases."""
    with _folder() as folder:
        return _spent(_plan(checkout, _write(folder, MILLION)), folder)


def plan_quick_ratios(checkout: Path, pairs: int) -> list[float]:
    """`plan` of `quick` over importing the libraries that it imports: the ratios of pairs that ran side by side."""
    with _folder() as folder:
        plan = _plan(checkout, checkout / "sweeps" / "quick.yaml")
        listing = folder / "libraries.txt"
        with listing.open("wb") as names:
            code = f"import sys; sys.argv = {plan[1:]!r}\n" + _LIST_LIBRARIES
            _spent([sys.executable, "-c", code], folder, errors=names)
        importing = [sys.executable, "-c", _IMPORT_LIBRARIES, *listing.read_text().split()]
        return [_spent(plan, folder).seconds / _spent(importing, folder).seconds for _ in range(pairs)]


def case_overheads(checkout: Path, ranks: int, cases: int) -> tuple[list[float], dict[str, Any]]:
    """Seconds of each case that are none of its timed iterations, warm-up and check; and what it ran on.

    What is left is the engine's: passing the case to the ranks, allocating, barriers and agreement between iterations,
    statistics. Starting the ranks falls into the first case, and so out of the median.
    """
    sweep = {
        "name": "small",
        "about": "Small cases.",
        "geometry": {"heads": 4, "head_dim": 16},
        "axes": {"seq_len_q": [64 + 4 * index for index in range(cases)]},
        "constants": {"ulysses": ranks, "dtype": "bf16"},
        "sampling": {"min_samples": 3, "max_samples": 5, "max_seconds": 0.2, "warmup_max_seconds": 0.05},
    }
    with _folder() as folder:
        out = folder / "run"
        tool = checkout / "tools" / "sweep.py"
        run = [sys.executable, str(tool), "run", str(_write(folder, sweep)), "--no-figures", "--out", str(out)]
        _spent([*run, "--device", "cpu"], folder)
        environment = json.loads((out / "run.json").read_text())["environment"]
        return [_overhead(json.loads(line)) for line in (out / "cases.jsonl").read_text().splitlines()], environment


def _overhead(measurement: dict[str, Any]) -> float:
    if measurement["status"] not in ("ok", "unsettled"):
        raise Failed(f"{measurement['id']}: {measurement['status']}: {measurement['reason']}")
    timing, samples = measurement["timing"], measurement["samples"]
    timed = sum(samples["end_to_end"]["0"])
    if len(samples) > 2:  # with one phase an iteration is its own recording; with several there are recorded ones too
        timed += sum(sum(ranks["0"]) for phase, ranks in samples.items() if phase != "end_to_end")
    seconds: float = timing["case_seconds"] - timing["warmup_seconds"] - timing["check_seconds"] - timed
    return seconds


def _plan(checkout: Path, sweep: Path) -> list[str]:
    return [sys.executable, str(checkout / "tools" / "sweep.py"), "plan", str(sweep), "--device", "cpu"]


def _write(folder: Path, sweep: dict[str, Any]) -> Path:
    path = folder / f"{sweep['name']}.yaml"
    path.write_text(json.dumps(sweep))  # JSON is YAML
    return path


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def _spent(command: list[str], folder: Path, errors: Any = subprocess.STDOUT) -> Cost:
    """What ``command`` took, its output in a file: an open pipe of a child would hang asv. Raises Failed."""
    with (folder / "output.txt").open("w+b") as output:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            words = output.read().decode(errors="replace").strip()[-500:]
            raise Failed(f"{' '.join(command[:4])} ended with {process.returncode}: {words}")
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def _checkout() -> Path:
    """The commit under test: asv's checkout, by hand the one that this file is in."""
    from fiabench.asv_plugin.names import CHECKOUT

    return Path(os.environ.get(CHECKOUT, ROOT))


def _handed(samples: list[float]) -> dict[str, Any]:
    return {"samples": samples, "number": 1}


def _or_none(measured: Any) -> Any:
    """What the function returns; None, with the reason on standard error, where the commit cannot do it."""
    try:
        return measured()
    except (Failed, OSError, KeyError, ValueError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return None


class PlanMillion:
    """`plan` of a million cases."""

    version = "1"
    timeout = 240.0

    def setup_cache(self) -> dict[str, Any]:
        cost = _or_none(lambda: plan_million(_checkout()))
        return cost._asdict() if cost else {}

    setup_cache.timeout = 240.0  # type: ignore[attr-defined]

    def track_seconds(self, cost: dict[str, Any]) -> Any:
        return cost.get("seconds")

    def track_peak_memory(self, cost: dict[str, Any]) -> Any:
        return cost.get("peak_bytes")

    track_seconds.unit = "seconds"  # type: ignore[attr-defined]
    track_peak_memory.unit = "bytes"  # type: ignore[attr-defined]


class PlanQuick:
    """`plan` of `quick` in times of importing its libraries."""

    version = "1"
    timeout = 120.0
    unit = "times its imports"

    def track_ratio(self) -> Any:
        return _or_none(lambda: _handed(plan_quick_ratios(_checkout(), PAIRS)))


class Case:
    """The engine's share of a small case."""

    version = "1"
    timeout = 240.0
    unit = "seconds"
    params = [list(RANKS)]
    param_names = ["ranks"]

    def track_overhead(self, ranks: int) -> Any:
        return _or_none(lambda: _handed(case_overheads(_checkout(), ranks, cases=CASES // 5)[0]))


def main() -> None:
    """Prints every figure as it comes."""

    def show(figure: str, value: str, target: str, met: bool) -> None:
        print(f"{figure:<44} {value:>26}   target {target:<8} {'met' if met else 'MISSED'}", flush=True)

    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    cost = plan_million(ROOT)
    seconds = f"{cost.seconds:.1f} s ({cost.processor_seconds:.1f} s CPU)"
    show("plan of 1,000,000 cases", seconds, "10 s", cost.seconds <= 10)
    show("its peak memory", f"{cost.peak_bytes / 1e6:.0f} MB", "500 MB", cost.peak_bytes <= 500e6)
    ratio = statistics.median(plan_quick_ratios(ROOT, PAIRS))
    show("plan of quick, in times of its imports", f"{ratio:.2f}", "3", ratio <= 3)
    environment: dict[str, Any] = {}
    for ranks, target in zip(RANKS, (0.020, 0.060)):
        overheads, environment = case_overheads(ROOT, ranks, CASES)
        median = statistics.median(overheads)
        tail = f"{1e3 * median:.1f} ms (95 %: {1e3 * statistics.quantiles(overheads, n=20)[-1]:.1f})"
        show(f"the engine's share of a case, {ranks} rank(s)", tail, f"{1e3 * target:.0f} ms", median <= target)
    where = f"{environment['cpu']}, {environment['cores']} cores, Python {environment['python']}"
    commit = f"{(environment['commit'] or 'none')[:10]}{', changed' if environment['dirty'] else ''}"
    print(f"on {where}; load {load} at the start; commit {commit}")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "tools"))
    from _door import enter

    enter(__file__)
    main()
