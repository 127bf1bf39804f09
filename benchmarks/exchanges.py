#!/usr/bin/env python3
"""What Ulysses' exchanges cost beside a bare all_to_all_single of the same bytes between the same ranks.

`python benchmarks/exchanges.py` prints each ratio beside its target, in five to ten minutes; `--pairs 10` is a quick
look. `--sglang PATH` and `--yunchang PATH` (an unpacked release or a checkout) measure those projects' code in the same
run. Four rank processes on Gloo exchange q, k and v of 25,200 tokens, 20 heads x 128, bf16, and an output back; both
ways end in contiguous tensors. A sample is the slowest rank's time; a ratio is the median over pairs of subject and
bare exchange that ran one after the other, the first of a pair by turns. More ranks than cores share them: take the
ratios and no seconds. They are those of a CPU and of Gloo, and say nothing about an NPU.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]

RANKS, TOKENS, HEADS, HEAD_DIM = 4, 25_200, 20, 128
PAIRS = 101
SECONDS = 1800.0
"""For all ranks together, after which they are ended."""
EXCHANGE_TARGET = 1.05


class Subject(NamedTuple):
    """What is held against the bare exchange; ``target`` is the largest ratio asked for, None where none is."""

    name: str
    exchange: str
    layout: str
    target: float | None


OWN = (
    Subject("separate, BSND", "separate", "BSND", 1.5),
    Subject("packed, BSND", "packed", "BSND", 1.85),
    Subject("separate, BNSD", "separate", "BNSD", 1.5),
    Subject("packed, BNSD", "packed", "BNSD", 1.85),
)
PROJECTS = {"sglang": "sglang_usp", "yunchang": "yunchang"}
"""A project's name here to its exchange in fiabench.projects."""


class Ratios(NamedTuple):
    """One subject's, pair by pair."""

    whole: list[float]
    """Pack, exchange and unpack over the bare exchange, both ways."""
    exchange: list[float]
    """The exchange alone over the bare one; empty for a project's, whose collective stands within its code."""


class Failed(Exception):
    """A rank ended or did not end; the message ends with its last words."""


def ratios(pairs: int, paths: dict[str, str]) -> dict[str, Ratios]:
    """Every subject's ratios, ``paths`` being where each project lies. Raises Failed."""
    with tempfile.TemporaryDirectory() as folder:
        work = json.dumps({"pairs": pairs, "paths": paths, "folder": folder})
        started = []
        for rank in range(RANKS):
            with Path(folder, f"{rank}.txt").open("wb") as words:
                command = [sys.executable, __file__, "--rank", str(rank), "--work", work]
                started.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=words, stderr=words))
        try:
            for rank, process in enumerate(started):
                if process.wait(SECONDS):
                    raise Failed(f"rank {rank} ended with {process.returncode}: {_last_words(folder, rank)}")
        except subprocess.TimeoutExpired:
            raise Failed(f"no end after {SECONDS:.0f} s: {_last_words(folder, 0)}") from None
        finally:
            for process in started:
                process.kill()
        by_rank = [json.loads(Path(folder, f"{rank}.json").read_text()) for rank in range(RANKS)]
    return {
        name: Ratios(*(_over_bare([rank[name][kind] for rank in by_rank]) for kind in (0, 1))) for name in by_rank[0]
    }


def _last_words(folder: str, rank: int) -> str:
    return Path(folder, f"{rank}.txt").read_text(errors="replace").strip()[-800:]


def _over_bare(by_rank: list[list[list[float]]]) -> list[float]:
    """From each rank's pairs of [subject in, subject out, bare in, bare out]: a ratio of the slowest rank's."""
    found = []
    for pair in zip(*by_rank, strict=True):
        there, back, bare_there, bare_back = (max(seconds) for seconds in zip(*pair, strict=True))
        found.append((there + back) / (bare_there + bare_back))
    return found


# --- a rank's process ------------------------------------------------------------------------------------------------


def run_rank(rank: int, work: dict[str, Any]) -> None:
    """Measures every subject on one rank and leaves its seconds in the work's folder."""
    import torch
    import torch.distributed as dist

    from fiabench.devices.cpu import CpuDevice
    from fiabench.ulysses.groups import RankGroups

    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // RANKS))
    store = dist.FileStore(str(Path(work["folder"], "store")), RANKS)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=RANKS)
    groups = RankGroups(CpuDevice(rank), RANKS)
    rank_of = _Rank(groups, work["paths"])
    found = {subject.name: rank_of.measure(subject, work["pairs"]) for subject in rank_of.subjects}
    Path(work["folder"], f"{rank}.json").write_text(json.dumps(found))
    groups.barrier()
    dist.destroy_process_group()


class _Rank:
    def __init__(self, groups: Any, paths: dict[str, str]) -> None:
        self._groups = groups
        self._group = groups.ulysses(RANKS)
        self._paths = paths
        self.subjects = [*OWN, *(Subject(name, name, "BSND", None) for name in paths)]

    def measure(self, subject: Subject, pairs: int) -> list[list[list[float]]]:
        """[seconds of pack, exchange and unpack; of the exchange alone], of each pair [in, out, bare in, bare out]."""
        import torch

        from fiabench import layouts
        from fiabench.cases.case import LAYOUTS
        from fiabench.measure import data
        from fiabench.measure.positions import check_exchange
        from fiabench.ulysses.exchange import BareExchange, Exchange

        case, device = _case(subject), torch.device("cpu")
        own = subject.exchange not in self._paths
        moved: Any = Exchange(case, self._group, device) if own else self._project(subject.exchange)
        wrong = check_exchange(case, moved, self._groups.rank, device)
        if wrong:
            raise Failed(f"{subject.name}: {wrong}")
        inputs = [data.sequence_shard(case, name, self._groups.rank, device) for name in ("query", "key", "value")]
        of_one = inputs[0].numel() * inputs[0].element_size()
        bares = [
            BareExchange(case._replace(measure="exchange", exchange_bytes=size), self._group, device)
            for size in (3 * of_one, of_one)
        ]
        whole = torch.randn(case.batch, TOKENS, case.heads_per_rank, HEAD_DIM).bfloat16()
        attention = layouts.contiguous(whole, LAYOUTS[case.layout].output)
        bare = [bares[0].exchange_in, bares[1].exchange_in]
        comparisons = [[lambda: moved.move_in(*inputs), lambda: moved.move_out(attention)]]
        if own:
            comparisons.append([moved.exchange_in, moved.exchange_out])
        return [self._pairs(pairs, ways, bare) for ways in comparisons] + [[]] * (2 - len(comparisons))

    def _project(self, name: str) -> Any:
        from fiabench.projects.exchanges import load_exchange

        exchange, group = load_exchange(PROJECTS[name], Path(self._paths[name])), self._group

        class Moved:
            def poison(self) -> None: ...

            def move_in(self, *tensors: Any) -> tuple[Any, ...]:
                return tuple(exchange.input(tensor, group) for tensor in tensors)

            def move_out(self, attention: Any) -> Any:
                return exchange.output(attention, group)

        return Moved()

    def _pairs(self, pairs: int, ways: list[Any], bare: list[Any]) -> list[list[float]]:
        found = []
        for pair in range(-2, pairs):
            first, second = (ways, bare) if pair % 2 else (bare, ways)
            seconds = [self._seconds(call) for call in (*first, *second)]
            if pair >= 0:  # the first two warm up
                found.append(seconds if pair % 2 else seconds[2:] + seconds[:2])
        return found

    def _seconds(self, call: Any) -> float:
        """Of a call that all ranks begin together."""
        import time

        self._groups.barrier()
        started = time.perf_counter()
        call()
        return time.perf_counter() - started


def _case(subject: Subject) -> Any:
    from fiabench.cases.case import Case

    return Case(
        measure="ulysses",
        op="sdpa",
        layout=subject.layout,
        dtype="bf16",
        mask="none",
        seq_len_q=TOKENS,
        seq_len_kv=TOKENS,
        batch=1,
        heads=HEADS,
        kv_heads=HEADS,
        head_dim=HEAD_DIM,
        tp=1,
        ulysses=RANKS,
        heads_per_rank=HEADS // RANKS,
        kv_heads_per_rank=HEADS // RANKS,
        exchange=subject.exchange,
        exchange_bytes=0,
        replicas="one",
        threads=0,
    )


# --- asv and the command line ----------------------------------------------------------------------------------------


class Exchanges:
    """Ulysses' exchanges in times of a bare exchange of the same bytes."""

    version = "1"
    timeout = 60.0
    unit = "times the bare exchange"
    params = [[subject.name for subject in OWN]]
    param_names = ["exchange"]

    def setup_cache(self) -> dict[str, Any]:
        """As the commit under test measures them; empty, with its last words, where it cannot."""
        from fiabench.asv_plugin.names import CHECKOUT

        script = Path(os.environ.get(CHECKOUT, ROOT)) / "benchmarks" / Path(__file__).name
        command = [sys.executable, str(script), "--json", "--pairs", "31"]
        process = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if process.returncode:
            print(process.stderr.strip()[-500:], file=sys.stderr)
            return {}
        found: dict[str, Any] = json.loads(process.stdout)
        return found

    setup_cache.timeout = SECONDS + 60  # type: ignore[attr-defined]

    def track_whole(self, found: dict[str, Any], name: str) -> Any:
        return {"samples": found[name][0], "number": 1} if name in found else None

    def track_exchange_alone(self, found: dict[str, Any], name: str) -> Any:
        return {"samples": found[name][1], "number": 1} if name in found else None


def main(arguments: list[str]) -> None:
    """Prints every ratio; with `--json` all of them pair by pair, and nothing else."""
    import argparse

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--json", action="store_true", help="print every ratio of every pair")
    for name in PROJECTS:
        parser.add_argument(f"--{name}", metavar="PATH", default="", help=f"measure {name}'s exchange from there too")
    parser.add_argument("--rank", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.rank is not None:
        run_rank(options.rank, json.loads(options.work))
        return
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    paths = {name: path for name in PROJECTS if (path := getattr(options, name))}
    found = ratios(options.pairs, paths)
    if options.json:
        print(json.dumps(found))
        return
    targets = {subject.name: subject.target for subject in OWN}
    for name, measured in found.items():
        _show(f"{name}: pack, exchange, unpack", measured.whole, targets.get(name))
        if measured.exchange:
            _show(f"{name}: exchange alone", measured.exchange, EXCHANGE_TARGET)
    print(f"{options.pairs} pairs a row, {RANKS} ranks on {os.cpu_count()} cores; load {load} at the start")


def _show(row: str, found: list[float], target: float | None) -> None:
    """A row with the 95 % interval of its median: a target inside the interval is neither met nor missed for sure."""
    from fiabench.stats.intervals import summarise

    summary = summarise(found)
    verdict = ""
    if target is not None:
        missed = "MISSED" if summary.low > target else "not told apart"
        verdict = f"   target {target:<5} {'met' if summary.median <= target else missed}"
    print(f"{row:<44} {summary.median:>6.3f} ({summary.low:.3f} to {summary.high:.3f}){verdict}", flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "tools"))
    from _door import enter

    enter(__file__)
    main(sys.argv[1:])
