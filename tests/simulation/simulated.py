"""A simulated device whose numbers are easy to reckon with, and cases on it through the real engine."""

from __future__ import annotations

from typing import Any

from fiabench.cases.case import Case
from fiabench.measure.one import Outcome
from fiabench.measure.sampling import Stopping
from fiabench.simulation.assemble import Simulation, measure
from fiabench.simulation.effects import Seeds, parse_effects
from fiabench.simulation.spec import Spec
from fiabench.workers.machine import Machine
from fiabench.workers.merge import merge

ROUND = {
    "name": "round",
    "about": "Round numbers.",
    "kind": "npu",
    "peak": {"tflops": {"bf16": 100.0, "fp16": 100.0}, "source": "a test"},
    "memory": {"gib": 8.0, "gb_s": 1000.0, "share": 1.0, "source": "a test"},
    "kernel": {
        "peak_tflops": 100.0,
        "head_dim": 128,
        "anchors": [
            {"heads": 1, "tokens": 1024, "microseconds": 20.0},
            {"heads": 1, "tokens": 8192, "microseconds": 500.0},
        ],
        "source": "a test",
    },
    "launch": {"microseconds": 1.0, "source": "a test"},
    "node": {"ranks": 4, "links": "mesh", "gb_s": 30.0, "share": 1.0, "microseconds": 10.0, "source": "a test"},
    "across": {"nodes": 16, "gb_s": 5.0, "share": 1.0, "microseconds": 50.0, "source": "a test"},
}  # fmt: skip
USUAL = Stopping(half_width=0.005, min_samples=10, max_samples=200, max_seconds=60.0, warmup_max_seconds=1.0)


def spec(**changes: Any) -> Spec:
    """The round device, with other values where ``changes`` name a part: ``node={"links": "switch"}``."""
    parts: dict[str, Any] = dict(ROUND)
    for name, change in changes.items():
        parts[name] = parts.get(name, {}) | change if isinstance(change, dict) else change
    return Spec.model_validate(parts)


def simulate(
    case: Case, *plants: str, seed: int = 0, session: int = 0, stopping: Stopping = USUAL, of: Spec | None = None
) -> list[Outcome]:
    """Every rank's outcome."""
    simulation = Simulation("sim:round", of or spec(), parse_effects(plants), Seeds(seed, session))
    outcomes = simulation.run(case, lambda device, groups: measure(case, device, groups, stopping, {}))
    return [outcome for outcome in outcomes if outcome is not None]


def merged(case: Case, outcomes: list[Outcome], of: Spec | None = None) -> Any:
    """The measurement that the ranks make together, with its metrics."""
    described = of or spec()
    machine = Machine("sim:round", described.ranks, described.memory_bytes, 2, {}, described)
    answers = [{"outcome": vars(outcome)} for outcome in outcomes]
    return merge(case, answers, machine, described.peaks["flops"][case.dtype])
