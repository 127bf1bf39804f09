"""Every rate of docs/detector.md: ``python -m fiabench.evidence.detector [--write FILE] [--otava PYTHON]``."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fiabench.evidence.detector import peers
from fiabench.evidence.detector.kinds import KINDS
from fiabench.evidence.detector.limit import beside_a_drift, limits, of_the_newest_session
from fiabench.evidence.detector.page import Study, page
from fiabench.evidence.detector.study import AGES, ASKED_STEP, NEAR, STEPS, Rate, Sizes, differing, rates
from fiabench.results.environment import commit

_LIMIT_SERIES = 20_000
_SCALED = 20
"""Series of each kind that the scale test is made with."""
OURS = "this project's"


def study(sizes: Sizes, otava: str) -> Study:
    """Runs everything, telling on standard error how far it is."""
    begun = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - begun:6.0f} s  {what}", file=sys.stderr, flush=True)

    own = peers.Peer(OURS, peers.ours)
    others = [peers.Peer("asv", peers.asv), peers.Peer("ruptures, PELT", peers.ruptures)]
    if otava:
        others.append(peers.Peer("Apache Otava", peers.otava(otava)))
    found = rates(own, tuple(others), KINDS, sizes, say)
    say("the scale test")
    scaled = differing(own, KINDS, 60, _SCALED)
    say("the limit")
    source = np.random.default_rng(0)
    best = []
    for noise in (0.01, 0.02):
        for step in STEPS:
            ratio = math.log1p(step) / noise
            plain = limits(source, ratio, 60, AGES, _LIMIT_SERIES)
            best.append((noise, step, plain, beside_a_drift(source, ratio, 60, AGES, NEAR, _LIMIT_SERIES)))
    newest = of_the_newest_session(source, 0.01, 0.005, math.log1p(ASKED_STEP), 60, _LIMIT_SERIES)
    made = (commit(Path(__file__).resolve().parents[4])["commit"] or "unknown")[:10]
    return Study(found, sizes, best, newest, scaled, made, time.monotonic() - begun, bool(otava))


def read(document: list[Any]) -> Study:
    """What `--json` wrote: a study and what is in it, as lists."""
    rates, sizes, best, newest, (different, total), *rest = document
    return Study(
        [Rate(*rate) for rate in rates], Sizes(*sizes), [tuple(one) for one in best], newest, (different, total), *rest
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        "python -m fiabench.evidence.detector", description="Holds the detector against known truth."
    )
    parser.add_argument("--nulls", type=int, default=500, help="series without a step, to each rate of false alarms")
    parser.add_argument("--asked", type=int, default=200, help="series to each power that is asked for")
    parser.add_argument("--others", type=int, default=50, help="series to each other power")
    parser.add_argument("--peers", type=int, default=100, help="series to each rate of another detector")
    parser.add_argument("--otava", default="", metavar="PYTHON", help="the Python of an environment with apache-otava")
    parser.add_argument("--json", type=Path, metavar="FILE", help="what was found, machine-readable")
    parser.add_argument("--found", type=Path, metavar="FILE", help="run nothing: the page of what --json wrote")
    parser.add_argument("--write", type=Path, metavar="FILE", help="the page; without it it is printed")
    chosen = parser.parse_args(arguments)
    sizes = Sizes(chosen.nulls, chosen.asked, chosen.others, chosen.peers)
    if min(sizes) < 1:
        parser.error("--nulls, --asked, --others, --peers: allowed: 1 and more")
    found = read(json.loads(chosen.found.read_text(encoding="utf-8"))) if chosen.found else study(sizes, chosen.otava)
    if chosen.json:
        chosen.json.write_text(json.dumps(found) + "\n", encoding="utf-8")
    text = page(found)
    if chosen.write:
        chosen.write.write_text(text, encoding="utf-8")
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
