"""Runs a sweep on the ranks that torchrun started, on one node or on many; global rank 0 coordinates.

    torchrun --nnodes 2 --nproc-per-node 8 --max-restarts 3 ... tools/sweep.py run SWEEP --out DIR

Where `sweep.py run` plants a process for each rank and survives what happens to them, torchrun owns the processes here:
a rank that dies or hangs ends them all. With --max-restarts they come back, and rank 0 goes on in the same directory:
finished cases are kept, and the one that was running is a `crash`, so that it cannot stop the run again.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from fiabench import devices
from fiabench.cases.case import Case
from fiabench.cases.errors import InputError
from fiabench.cases.load import load_sweep
from fiabench.cases.sweep import Sweep
from fiabench.cases.variables import in_words
from fiabench.cli import running
from fiabench.cli.checkout import find_sweep
from fiabench.cli.projects import place
from fiabench.cli.table import console, print_run
from fiabench.devices.base import Device
from fiabench.results.environment import now
from fiabench.results.measurement import Measurement
from fiabench.results.rundir import HEADER, RunDirectory, read_run
from fiabench.ulysses.groups import GROUP_TIMEOUT, RankGroups
from fiabench.workers.coordinator import Coordinator
from fiabench.workers.machine import Machine
from fiabench.workers.merge import merge, unmeasured
from fiabench.workers.probe import DeviceMissing, probe
from fiabench.workers.rank import run_case

RUNNING = "running.json"
"""Names the case that is being measured; there after a restart only where that case brought torchrun down."""


@click.command()
@click.argument("sweep")
@click.option("--profile")
@click.option("--filter", "filters", multiple=True)
@click.option("--device", "wanted", default="auto")
@click.option("--project", "projects", multiple=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--peak-tflops", type=float)
@click.option("--sessions", type=int, default=1)
@click.option("--cross-check")
@click.option("--budget")
def main(
    sweep: str,
    profile: str | None,
    filters: tuple[str, ...],
    wanted: str,
    projects: tuple[str, ...],
    out: Path,
    peak_tflops: float | None,
    sessions: int,
    cross_check: str | None,
    budget: str | None,
) -> None:
    """Measures SWEEP on torchrun's ranks into the run directory --out."""
    if sessions > 1:
        raise InputError.plain(
            f"--sessions: found {sessions} under torchrun, whose ranks live as long as it does; allowed: 1 here, and "
            "`compare` takes several runs"
        )
    if cross_check:
        raise InputError.plain("--cross-check: is not to be had under torchrun; allowed: a run on one node without it")
    if budget:
        raise InputError.plain("--budget: is not to be had under torchrun; allowed: sampling: max_seconds in the sweep")
    rank, local_rank = int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"])
    try:
        facts = probe(wanted)
    except DeviceMissing as error:
        raise InputError.plain(f"--device: found {wanted!r}; it is not to be had here: {error}") from error
    device = devices.load(facts["device"])(local_rank)
    _join()
    follower = Follower(device)
    if rank:
        follower.follow()
    else:
        options = running.Options(facts["device"], filters, peak_tflops)
        _lead(follower, options, lambda: place(load_sweep(find_sweep(sweep), profile), projects), out)
    dist.destroy_process_group()


def _join() -> None:
    """Joins the world of this restart: torchrun's store may still hold the addresses of the ranks that are gone."""
    store, rank, world_size = next(rendezvous("env://"))
    store = dist.PrefixStore(f"restart{os.environ['TORCHELASTIC_RESTART_COUNT']}", store)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world_size, timeout=GROUP_TIMEOUT)


class Follower:
    """One of torchrun's ranks: does what rank 0 tells all of them to."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._groups: dict[int, RankGroups] = {}

    def follow(self) -> None:
        """Takes commands until there are no more."""
        while (command := self.tell(None)) is not None:
            self.run(command)

    def tell(self, command: dict[str, Any] | None) -> dict[str, Any] | None:
        """Rank 0's command, on every rank."""
        box = [command]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def run(self, command: dict[str, Any]) -> list[dict[str, Any]]:
        """Runs a case with all ranks; on rank 0 returns the answers of those that took part, elsewhere nothing."""
        case = Case.from_dict(command["case"])
        if case.world_size not in self._groups:
            self._groups[case.world_size] = RankGroups(self._device, case.world_size)
        groups = self._groups[case.world_size]
        groups.make(case)
        outcome = run_case(command, self._device, groups) if groups.takes_part else None
        answer = {"outcome": asdict(outcome)} if outcome else None
        answers: list[Any] | None = [None] * dist.get_world_size() if dist.get_rank() == 0 else None
        dist.gather_object(answer, answers, dst=0)
        return [found for found in answers or [] if found]


def _lead(follower: Follower, options: running.Options, load: Callable[[], Sweep], out: Path) -> None:
    notes = console(stderr=True)
    if (out / HEADER).exists():
        directory, machine, work, before = running.resume(out)
        notes.print(f"{len(before.lines)} measurements are there, {work.left} to go")
    else:
        directory, machine, work = running.start(load(), options, out, _nodes())
    machine = machine.times(_nodes())
    peak = directory.header["environment"]["peak"]
    coordinator = Coordinator(machine, directory.header["sweep"], out / running.LOGS, {})
    for case in _without_the_culprit(work.due(0), directory, machine):
        measurement = _left_out(case, machine)
        if measurement is None:
            command, deadline = coordinator.command(case)
            with _InFlight(directory, case, machine, deadline):
                follower.tell(command)
                answers = follower.run(command)
            measurement = merge(case, answers, machine, (peak or {}).get("flops", {}).get(case.dtype))
        directory.append(measurement)
        notes.print(f"{measurement.id}: {measurement.status} {measurement.reason}", soft_wrap=True, markup=False)
    follower.tell(None)
    directory.header["finished"] = now()
    directory.write_header()
    print_run(console(), read_run(out))


def _nodes() -> int:
    return int(os.environ["WORLD_SIZE"]) // int(os.environ["LOCAL_WORLD_SIZE"])


def _left_out(case: Case, machine: Machine) -> Measurement | None:
    """The measurement of a case that these ranks cannot run; None for one that they can."""
    started = dist.get_world_size()
    if case.world_size > started:
        return unmeasured(case, machine, "unsupported", f"needs {case.world_size} ranks, torchrun started {started}")
    other = [(name, value) for name, value in case.variables if os.environ.get(name) != value]
    if other:
        reason = f"needs {in_words(other)} in the environment, and torchrun has started the ranks without"
        return unmeasured(case, machine, "unsupported", reason)
    misfit = machine.misfit(case)
    return unmeasured(case, machine, "does_not_fit", misfit) if misfit else None


def _without_the_culprit(cases: list[Case], directory: RunDirectory, machine: Machine) -> list[Case]:
    """``cases`` without the one that was running when torchrun started anew, which is recorded as a crash."""
    marker = directory.path / RUNNING
    if not marker.exists():
        return cases
    culprit = json.loads(marker.read_text())["id"]
    for case in cases:
        if case.id == culprit:
            reason = "a rank ended while it ran and torchrun started them all anew; see torchrun's output"
            directory.append(unmeasured(case, machine, "crash", reason))
    marker.unlink()
    return [case for case in cases if case.id != culprit]


class _InFlight:
    """Marks a case as running; past its deadline it becomes a timeout, and the process ends for torchrun to see."""

    def __init__(self, directory: RunDirectory, case: Case, machine: Machine, seconds: float) -> None:
        self._marker = directory.path / RUNNING
        self._marker.write_text(json.dumps({"id": case.id}))
        self._overdue = unmeasured(case, machine, "timeout", f"the ranks had not ended it within {seconds:.0f} s")
        self._directory = directory
        self._timer = threading.Timer(seconds, self._end)

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._timer.cancel()
        if kind is None:
            self._marker.unlink()

    def _end(self) -> None:
        self._directory.append(self._overdue)
        self._marker.unlink()
        os._exit(1)


if __name__ == "__main__":
    try:
        main(standalone_mode=False)
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
