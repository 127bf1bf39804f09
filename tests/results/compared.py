"""Runs whose truth is known: cases through the real engine on a simulated device, as many sessions as wanted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fiabench.cases.case import Case
from fiabench.results.measurement import Measurement
from fiabench.results.rundir import Run
from tests.results.samples import ENVIRONMENT
from tests.simulation.simulated import merged, simulate
from tests.ulysses.points import make_case

NOISE = ("noise=gaussian:0.005", "session=0.002")
LENGTHS = tuple(range(1024, 9216, 1024))
CASES = tuple(make_case(seq_len_q=tokens, ulysses=1, dtype="bf16", head_dim=128) for tokens in LENGTHS)


def environment(seed: int, *plants: str) -> dict[str, Any]:
    simulation = {"spec": {"across": {"nodes": 16}, "node": {"ranks": 4}}, "plants": [*plants], "seed": seed}
    own = {"simulated": True, "simulation": simulation, "device": "sim:round", "device_name": "simulated round"}
    return ENVIRONMENT | own | {"emulated": [], "commit": "c0ffee", "dirty": False}


def header(**changes: Any) -> dict[str, Any]:
    """Of a finished run; ``changes`` are of its environment."""
    sweep = {"name": "planted", "about": "", "sampling": {"half_width": 0.005}}
    return {"format": 1, "finished": "now", "sweep": sweep, "environment": ENVIRONMENT | changes}


def simulated_run(
    name: str, seed: int, *plants: str, sessions: int = 3, cases: Sequence[Case] = CASES, path: Path | None = None
) -> Run:
    """A run of ``cases`` with NOISE and ``plants``, in memory."""
    lines = []
    for session in range(sessions):
        for case in cases:
            outcomes = simulate(case, *NOISE, *plants, seed=seed, session=session)
            line: Measurement = merged(case, outcomes)
            line.session = session
            lines.append(line)
    made = header() | {"environment": environment(seed, *NOISE, *plants)}
    return Run((path or Path()) / name, made, lines)
