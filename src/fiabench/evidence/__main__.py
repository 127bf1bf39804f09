"""Every rate of docs/accuracy.md: ``python -m fiabench.evidence [--seeds N] [--json FILE] [--write FILE]``."""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch

from fiabench.evidence.chapters import rows
from fiabench.evidence.page import Study, page
from fiabench.evidence.ranks import RANKS_IMPORT
from fiabench.evidence.studies import ROUNDS, studies
from fiabench.results.environment import commit
from fiabench.workers.machine import guess_machine


def study(seeds: int, rounds: int) -> Study:
    """Runs everything, telling on standard error how far it is."""
    begun = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - begun:6.0f} s  {what}", file=sys.stderr, flush=True)

    machine = guess_machine("cpu")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(RANKS_IMPORT)
    with ProcessPoolExecutor(
        machine.cores, mp_context=context, initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        found = studies(seeds, rounds, pool, say)
    words = f"{machine.cores} cores, {machine.device.upper()}"
    at = commit(Path(__file__).resolve().parents[3])["commit"] or "unknown"
    return Study(rows(found), seeds, rounds, words, at[:10], time.monotonic() - begun)


def as_json(found: Study) -> dict[str, Any]:
    """``found`` with each row's verdict."""
    described = [
        row._asdict() | {"value": None if math.isnan(row.value) else row.value, "verdict": row.verdict}
        for row in found.rows
    ]
    return found._asdict() | {"rows": described}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m fiabench.evidence", description="Holds fiabench against known truth.")
    parser.add_argument("--seeds", type=int, default=2000, help="simulated measurements to each kind of noise")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="alternating pairs on real ranks")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the rows, machine-readable")
    parser.add_argument("--write", type=Path, metavar="FILE", help="the page; without it it is printed")
    chosen = parser.parse_args(arguments)
    if min(chosen.seeds, chosen.rounds) < 1:
        parser.error("--seeds and --rounds: allowed: 1 and more")
    found = study(chosen.seeds, chosen.rounds)
    if chosen.json:
        chosen.json.write_text(json.dumps(as_json(found), indent=2) + "\n", encoding="utf-8")
    if chosen.write:
        chosen.write.write_text(page(found), encoding="utf-8")
    else:
        print(page(found), end="")


if __name__ == "__main__":
    main()
