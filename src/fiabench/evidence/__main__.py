"""Every rate of docs/accuracy.md: ``python -m fiabench.evidence [--seeds N] [--json FILE] [--write FILE]``.

What is real suffers from whatever else the box does: ``--real-again PAGE`` runs it anew and keeps the rest.
"""

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

from fiabench.evidence.chapters import real_rows, rows
from fiabench.evidence.page import Study, page, read
from fiabench.evidence.ranks import RANKS_IMPORT
from fiabench.evidence.studies import ROUNDS, real_studies, simulated_studies
from fiabench.results.environment import commit
from fiabench.workers.machine import guess_machine


def study(seeds: int, rounds: int) -> Study:
    """Runs everything, telling on standard error how far it is. Real ranks come last, with nothing beside them."""
    say = _Saying()
    machine = guess_machine("cpu")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(RANKS_IMPORT)
    with ProcessPoolExecutor(
        machine.cores, mp_context=context, initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        found = rows(simulated_studies(seeds, pool, say))
    found += real_rows(*real_studies(rounds, say))
    words = f"{machine.cores} cores, {machine.device.upper()}"
    return Study(found, seeds, rounds, words, _commit(), say.seconds)


def with_real_again(before: Study, rounds: int) -> Study:
    """``before`` with what is real run anew: how busy the box is changes no rate of what is simulated."""
    say = _Saying()
    anew = real_rows(*real_studies(rounds, say))
    replaced = {(row.chapter, row.what) for row in anew}
    kept = [row for row in before.rows if (row.chapter, row.what) not in replaced]
    return before._replace(rows=kept + anew, rounds=rounds, real_commit=_commit())


class _Saying:
    """Tells on standard error what is begun, and when."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begun

    def __call__(self, what: str) -> None:
        print(f"{self.seconds:6.0f} s  {what}", file=sys.stderr, flush=True)


def _commit() -> str:
    return (commit(Path(__file__).resolve().parents[3])["commit"] or "unknown")[:10]


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
    parser.add_argument(
        "--real-again", type=Path, metavar="PAGE", help="run anew what is real, and keep the rest of a page"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="the rows, machine-readable")
    parser.add_argument("--write", type=Path, metavar="FILE", help="the page; without it it is printed")
    chosen = parser.parse_args(arguments)
    if min(chosen.seeds, chosen.rounds) < 1:
        parser.error("--seeds and --rounds: allowed: 1 and more")
    if chosen.real_again:
        found = with_real_again(read(chosen.real_again.read_text(encoding="utf-8")), chosen.rounds)
    else:
        found = study(chosen.seeds, chosen.rounds)
    if chosen.json:
        chosen.json.write_text(json.dumps(as_json(found), indent=2) + "\n", encoding="utf-8")
    if chosen.write:
        chosen.write.write_text(page(found), encoding="utf-8")
    else:
        print(page(found), end="")


if __name__ == "__main__":
    main()
