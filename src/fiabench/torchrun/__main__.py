"""``python -m fiabench.torchrun ASKED``, in each process: a rank. ASKED is what `run` was asked for, as JSON."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import torch.distributed as dist
from rich.console import Console

from fiabench.cases.errors import InputError
from fiabench.cases.load import load_sweep
from fiabench.cli import running
from fiabench.cli.checkout import find_sweep
from fiabench.cli.ending import BAD_INPUT, INTERRUPTED, interrupted
from fiabench.cli.finishing import exit_code, finish
from fiabench.cli.launched import require_possible
from fiabench.cli.projects import place
from fiabench.cli.table import console
from fiabench.cli.work import Work
from fiabench.results.rundir import HEADER, RunDirectory, read_run
from fiabench.torchrun import in_flight
from fiabench.torchrun.rank import LaunchedRanks, Rank, meet
from fiabench.workers.machine import Machine
from fiabench.workers.probe import DeviceMissing


def main() -> int:
    """Does a rank's part; returns the exit code, the same on each."""
    asked = json.loads(sys.argv[1])
    path = Path(asked["resume"] or asked["out"])
    meet()
    _heed_interrupts(path)
    rank = Rank()
    if dist.get_rank():
        code = rank.follow()
    else:
        code = _lead(rank, path, asked)
        rank.tell({"exit": code})
    # The first that ends with another code than 0 makes torchrun end the others, which are to end by themselves.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    dist.barrier()
    dist.destroy_process_group()
    return code


def _heed_interrupts(path: Path) -> None:
    """Ends the process at Ctrl-C, which torchrun passes on: at once, though it may be in an exchange that never ends.

    The main thread would hear of it only afterwards, and torchrun waits for half a minute and then kills.
    """
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write)
    signal.signal(signal.SIGINT, lambda number, frame: None)  # of many ranks each would print where it was

    def wait() -> None:
        while os.read(read, 1) != bytes([signal.SIGINT]):
            pass
        if not dist.get_rank():
            in_flight.forget(path)
            print(interrupted(path), file=sys.stderr)
        os._exit(INTERRUPTED)

    threading.Thread(target=wait, daemon=True).start()


def _lead(rank: Rank, path: Path, asked: dict[str, Any]) -> int:
    """Runs the sweep with all ranks into ``path``; returns the run's exit code."""
    notes = console(stderr=True)
    try:
        if (path / HEADER).exists() and (before := read_run(path)).header["finished"]:
            notes.print(f"{path}: is a finished run", soft_wrap=True)
            return exit_code(before)
        directory, machine, work = _open(path, asked, notes)
        rank.tell({"device": machine.device})
        rank.begin(machine.device)
        each = running.write_json_line if asked["as_json"] else lambda measurement: None
        if crash := in_flight.culprit(directory, work.due(0), machine):
            directory.append(crash)
            work.ended([crash])
            each(crash)
            notes.print(f"{crash.id}: {crash.status} {crash.reason}", soft_wrap=True, markup=False)
        running.measure_cases(directory, machine, work, notes, each, LaunchedRanks(rank, directory, machine))
        return finish(read_run(path), notes, asked["as_json"], asked["figures"])
    except InputError as error:
        print(error, file=sys.stderr)
        return BAD_INPUT


def _open(path: Path, asked: dict[str, Any], notes: Console) -> tuple[RunDirectory, Machine, Work]:
    """The run in ``path``, which an earlier start of the ranks may have begun."""
    nodes = int(os.environ["WORLD_SIZE"]) // int(os.environ["LOCAL_WORLD_SIZE"])
    if asked["resume"] or (path / HEADER).exists():
        directory, machine, work, before = running.resume(path)
        require_possible(before.header["options"])
        notes.print(f"{len(before.lines)} measurements are there, {work.left} to go")
    else:
        sweep = place(load_sweep(find_sweep(asked["sweep"]), asked["profile"]), asked["projects"])
        options = running.Options(asked["device"], tuple(asked["filters"]), asked["peak_tflops"])
        directory, machine, work = running.start(sweep, options, path, nodes)
    return directory, machine.times(nodes), work


if __name__ == "__main__":
    try:
        sys.exit(main())
    except DeviceMissing as error:
        print(f"--device: it is not to be had on {os.uname().nodename}: {error}", file=sys.stderr)
        sys.exit(BAD_INPUT)
