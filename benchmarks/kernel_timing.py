#!/usr/bin/env python3
"""Whether the suite's kernel times are right: beside a profiler's, event pairs around one call, and triton's do_bench.

`python benchmarks/kernel_timing.py` measures each shape in fresh sessions, with a profiler looking at it once more in
the same processes, and prints one table. On CUDA and NPU the shapes are those at which naive timing is known to fail at
both ends: a few microseconds, which the host bounds, and milliseconds, which clocks move. On a CPU, where no event and
no do_bench is, they are short ones, and the table only shows that the parts fit together.

It was written on a box without an accelerator: on CUDA and NPU it has not been run.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]

HEAD_DIM = 128
SHAPES = ((5, 256), (5, 1024), (5, 2048), (5, 4096), (5, 25_200), (20, 25_200))
CPU_SHAPES = ((2, 256), (2, 512), (4, 1024))
"""Heads and tokens, batch 1."""
OPERATORS = {"cuda": ("sdpa_flash", "sdpa_cudnn"), "npu": ("fia", "fusion_attention"), "cpu": ("sdpa",)}
SESSIONS = 5
NEAR, SHORT = 0.03, 1.5e-6
"""How near the profiler's sum of kernels has to be: this part of it, or these seconds, whichever is more."""
LONG, AGREE = 1e-3, 0.02
"""From these seconds on the medians of fresh sessions agree within this part."""
EVENT_PAIRS = 100


class Row(NamedTuple):
    """One operator and shape; seconds, None for what could not be had."""

    operator: str
    heads: int
    tokens: int
    ours: float
    profiler: float | None
    spread: float
    """(Slowest - fastest) / median of the sessions' medians."""
    method: str
    event_pair: float | None
    do_bench: float | None

    @property
    def near(self) -> bool | None:
        """Whether ours is as near to the profiler's as asked for; None where there is no profiler."""
        if self.profiler is None:
            return None
        return abs(self.ours - self.profiler) <= max(NEAR * self.profiler, SHORT)

    @property
    def agree(self) -> bool | None:
        """Whether fresh sessions agree as asked for; None for a short kernel, of which it is not asked."""
        return self.spread <= AGREE if self.ours >= LONG else None


def measure(device: str, sessions: int, folder: Path) -> list[dict[str, Any]]:
    """The lines of cases.jsonl of all shapes and operators on ``device``."""
    shapes = CPU_SHAPES if device == "cpu" else SHAPES
    lines: list[dict[str, Any]] = []
    for heads in sorted({heads for heads, _ in shapes}):
        sweep = {
            "name": f"timing-{heads}",
            "about": "Kernels to be timed in several ways.",
            "measure": "kernel",
            "geometry": {"heads": heads, "head_dim": HEAD_DIM},
            "axes": {"op": list(OPERATORS[device]), "seq_len_q": [tokens for h, tokens in shapes if h == heads]},
            "constants": {"dtype": "bf16", "layout": "BNSD"},
        }
        path, out = folder / f"{sweep['name']}.yaml", folder / f"run-{heads}"
        path.write_text(json.dumps(sweep))  # JSON is YAML
        run = [sys.executable, str(ROOT / "tools" / "sweep.py"), "run", str(path), "--device", device, "--no-figures"]
        run += ["--out", str(out), "--sessions", str(sessions), "--cross-check", "profiler"]
        subprocess.run(run, check=True, stdout=subprocess.DEVNULL)
        lines += [json.loads(line) for line in (out / "cases.jsonl").read_text().splitlines()]
    return lines


def table(lines: list[dict[str, Any]], peers: dict[str, dict[str, float | None]]) -> list[Row]:
    """A row for each case that was measured; ``peers`` are :func:`time_peers`' by case id."""
    by_case: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        if line["status"] in ("ok", "unsettled"):
            by_case.setdefault(line["id"], []).append(line)
        else:
            print(f"{line['id']}: {line['status']}: {line['reason']}", file=sys.stderr)
    rows = []
    for name, found in by_case.items():
        medians = [line["metrics"]["kernel"]["value"] for line in found]
        seen = [line["timing"]["cross_check"]["0"].get("covered_seconds") for line in found]
        case, ours = found[0]["case"], median(medians)
        beside = peers.get(name, {})
        rows.append(
            Row(
                operator=case["op"],
                heads=case["heads"],
                tokens=case["seq_len_q"],
                ours=ours,
                profiler=median(value for value in seen if value) if any(seen) else None,
                spread=(max(medians) - min(medians)) / ours,
                method=found[0]["timing"]["method"],
                event_pair=beside.get("event_pair"),
                do_bench=beside.get("do_bench"),
            )
        )
    return rows


def time_peers(lines: list[dict[str, Any]], device: str) -> dict[str, dict[str, float | None]]:
    """What others' ways give for the same calls, by case id; in a process of its own, as it imports torch."""
    cases = {line["id"]: line["case"] for line in lines if line["status"] in ("ok", "unsettled")}
    command = [sys.executable, __file__, "--peers", json.dumps({"device": device, "cases": cases})]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, dict[str, float | None]] = json.loads(done.stdout.splitlines()[-1])
    return found


def run_peers(work: dict[str, Any]) -> dict[str, dict[str, float | None]]:
    """In the process that :func:`time_peers` starts: seconds of a launch by event pairs and do_bench, by case id."""
    if work["device"] == "cpu":
        return {}
    from fiabench import devices, ops
    from fiabench.cases.case import LAYOUTS, Case
    from fiabench.layouts import contiguous
    from fiabench.measure import data

    device = devices.load(work["device"])(0)
    found: dict[str, dict[str, float | None]] = {}
    for name, described in work["cases"].items():
        case = Case.from_dict(described)
        axes = LAYOUTS[case.layout]
        tensors = [
            contiguous(data.sequence_shard(case, tensor, 0, device.torch_device), axes.input)
            for tensor in ("query", "key", "value")
        ]
        launch = ops.load(case.op).prepare(case, *tensors)
        for _ in range(10):
            launch()
        pairs = []
        for _ in range(EVENT_PAIRS):
            start = device.mark()
            launch()
            end = device.mark()
            device.synchronize()
            pairs.append(device.seconds(start, end))
        do_bench: float | None = None
        try:
            from triton.testing import do_bench as triton_do_bench
        except ImportError:
            pass  # there is no triton for every device: the column stays empty
        else:
            do_bench = 1e-3 * float(triton_do_bench(launch, return_mode="median"))
        found[name] = {"event_pair": median(pairs), "do_bench": do_bench}
    return found


def show(rows: list[Row]) -> None:
    """The table, seconds as microseconds."""
    print(f"{'operator':<18}{'heads':>6}{'tokens':>8}{'ours':>12}{'profiler':>12}{'apart':>8}  {'':<8}", end="")
    print(f"{'sessions':>9}  {'':<8}{'event pair':>12}{'do_bench':>12}  timed as")
    for row in rows:
        apart = row.ours / row.profiler - 1 if row.profiler else math.nan
        print(
            f"{row.operator:<18}{row.heads:>6}{row.tokens:>8,}{_us(row.ours)}{_us(row.profiler)}{apart:>+8.1%}  "
            f"{_verdict(row.near):<8}{row.spread:>9.2%}  {_verdict(row.agree):<8}"
            f"{_us(row.event_pair)}{_us(row.do_bench)}  {row.method}"
        )


def _us(seconds: float | None) -> str:
    return f"{'n/a' if seconds is None else f'{1e6 * seconds:,.1f} us':>12}"


def _verdict(met: bool | None) -> str:
    return "" if met is None else "met" if met else "MISSED"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--device", choices=list(OPERATORS), default="cpu")
    parser.add_argument("--sessions", type=int, default=SESSIONS)
    parser.add_argument("--json", action="store_true", help="the rows as JSON")
    parser.add_argument("--peers", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peers:
        print(json.dumps(run_peers(json.loads(options.peers))))
        return
    with tempfile.TemporaryDirectory() as folder:
        lines = measure(options.device, options.sessions, Path(folder))
    rows = table(lines, time_peers(lines, options.device))
    if options.json:
        print(json.dumps([row._asdict() | {"near": row.near, "agree": row.agree} for row in rows], indent=2))
    else:
        show(rows)
        near = f"within {NEAR:.0%} or {1e6 * SHORT:.1f} us of the profiler, whichever is more"
        print(f"asked for: {near}; medians of {1e3 * LONG:g} ms and more within {AGREE:.0%} of each other")
        print(f"{options.sessions} sessions on {options.device}")
        if options.device != "npu":
            print("no NPU figures")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "tools"))
    from _door import enter

    enter(__file__)
    main()
