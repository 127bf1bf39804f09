"""The learning history, measured by nobody: its real repository with run directories whose numbers are drawn.

The effects are those that the real layer has on a CPU; each run is marked as simulated.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fiabench.cases.case import Case
from fiabench.cases.expand import expand
from fiabench.cases.filters import parse_filters
from fiabench.cases.load import load_sweep
from fiabench.history import learning
from fiabench.history.learning import SYMPTOMS
from fiabench.history.repository import Commit, Repository
from fiabench.history.store import Store
from fiabench.results import metrics
from fiabench.results.measurement import Measurement

ROOT = Path(__file__).resolve().parents[2]
SLOWER = {"kernel": {"none": 1.45, "causal": 1.3}, "memory": {"none": 1.3, "causal": 1.2}}
MEMORY = {"kernel": {"none": 1.0, "causal": 1.25}, "memory": {"none": 1.0, "causal": 2.3}}
"""What the two lasting events make of a case, by mask."""
ENVIRONMENT: dict[str, Any] = {
    "fiabench": "0.1", "commit": "e" * 40, "dirty": False, "device": "npu", "device_name": "simulated 910B3",
    "device_count": 8, "simulated": True, "simulation": {
        "plants": [], "spec": {"across": {"nodes": 1}, "node": {"ranks": 8, "gb_s": 168}},
    },
    "memory_bytes": 2**36, "driver": "24.1.rc2", "cann": "8.0.RC2", "cuda": None, "cpu": "Planted CPU", "cores": 64,
    "host": "box", "system": "Linux 5.10 aarch64", "python": "3.11.1", "versions": {"torch": "2.5.1", "numpy": "2.0"},
    "variables": {}, "operator": "fiabench (simulated)", "operator_note": None, "emulated": [],
    "peak": {"flops": {"bf16": 294.9e12}, "memory_bandwidth": 1759e9,
             "link": {"bandwidth": 196e9, "links": "mesh", "ranks": 8}, "source": "product figures"},
}  # fmt: skip


class Learned(NamedTuple):
    place: Path
    """What --asv takes."""
    store: Store
    commits: list[Commit]
    truth: dict[str, learning.Event]
    cases: list[Case]


def make(folder: Path, seed: int = 0, samples: int = 20, until: int | None = None) -> Learned:
    """The history in ``folder``, of the first ``until`` commits."""
    repository_path = folder / "littledit"
    learning.make(repository_path, seed)
    commits = Repository(repository_path).commits("main")
    cases = [case for case in expand(load_sweep(ROOT / "sweeps" / "learning.yaml")) if isinstance(case, Case)]
    place = folder / "asv"
    store = Store.of(place, "littledit")
    store.folder.mkdir(parents=True)
    store.configuration.write_text(json.dumps({"project": "littledit", "repo": str(repository_path)}))
    learned = Learned(place, store, commits, learning.truth(seed), cases)
    for number in range(until or len(commits)):
        add(learned, number, samples)
    return learned


def copied(made: Learned, folder: Path, until: int | None = None) -> Learned:
    """The same history in another folder, of the first ``until`` commits; the repository stays where it is."""
    store = Store.of(folder / "asv", made.store.name)
    shutil.copytree(made.store.folder, store.folder)
    for commit in made.commits[until or len(made.commits) :]:
        shutil.rmtree(store.runs / "box" / commit.hash)
    return made._replace(place=folder / "asv", store=store)


def add(learned: Learned, number: int, samples: int = 20, machine: str = "box", **facts: Any) -> Path:
    """Measures one commit; ``facts`` are of the environment."""
    lines = list(_lines(learned, number, samples))
    folder = learned.store.runs / machine / learned.commits[number].hash / f"202601{number + 1:02d}-000000-000000"
    return write(folder, lines, f"2026-01-{number + 1:02d}", ENVIRONMENT | {"host": machine} | facts)


def write(folder: Path, lines: list[Measurement], day: str, environment: dict[str, Any]) -> Path:
    folder.mkdir(parents=True)
    header = {
        "format": 1, "created": f"{day}T03:04:05+00:00", "finished": f"{day}T03:05:05+00:00",
        "sweep": {"name": "learning", "projects": {"layer": {}}}, "options": {"device": "auto", "sessions": 1},
        "environment": environment,
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(header))
    (folder / "cases.jsonl").write_text("".join(json.dumps(line.as_dict()) + "\n" for line in lines))
    return folder


def _lines(learned: Learned, number: int, samples: int) -> Iterator[Measurement]:
    origin = {"commit": learned.commits[number].hash, "dirty": False, "path": "littledit", "file": "attention.py"}
    for case in learned.cases:
        rng = np.random.default_rng([number, case.seq_len_q, case.ulysses])
        status, reason = _ending(learned, case, number)
        line = Measurement(case.id, case.as_dict() | {"device": "npu", "threads": 1}, status, reason)
        line.timing = {"method": "event", "world_size": case.ulysses, "projects": {"layer": origin}}
        if line.measured:
            scale = {"kernel": 1.0, "memory": 1.0}
            for name, effects in (("slowdown", SLOWER), ("memory", MEMORY)):
                if number >= learned.truth[name].introduced:
                    scale = {what: value * effects[what][case.mask] for what, value in scale.items()}
            line.samples = drawn(case, rng, samples, scale["kernel"])
            line.metrics = metrics.compute(case, line.samples, 294.9e12, 2.0**23 * scale["memory"])
            line.check = {"passed": True, "max_error": 0.002, "tolerance": 0.05, "rows": 64}
            read = {"samples": [0, 10, 20], "clock_mhz": [1800.0] * 3, "temperature_c": [41.0, 43.0, 44.0],
                    "memory_bytes": [2.0**23, 2.0**24, 2.0**24]}  # fmt: skip
            line.timing |= {"sensors": {str(rank): read for rank in range(2)}}
        yield line


def drawn(case: Case, rng: np.random.Generator, samples: int, scale: float = 1.0) -> dict[str, dict[str, list[float]]]:
    """Each phase's seconds with noise of a percent; with what the kernel takes scaled."""
    kernel = 4e-3 * scale * (case.seq_len_q / 512) ** 2 / case.ulysses
    seconds = {"kernel": kernel}
    if case.ulysses > 1:
        seconds |= {"pack_in": 2e-4, "exchange_in": 9e-4, "unpack_in": 2e-4, "pack_out": 1e-4, "exchange_out": 4e-4,
                    "unpack_out": 1e-4}  # fmt: skip
    mood = 1 + 0.003 * rng.standard_normal()

    def around(middle: float) -> dict[str, list[float]]:
        noise = mood * np.exp(0.01 * rng.standard_normal((case.ulysses, samples)))
        return {str(rank): (middle * row).tolist() for rank, row in enumerate(noise)}

    found = {name: around(middle) for name, middle in seconds.items()}
    return found | {"end_to_end": around(1.01 * sum(seconds.values()))}


def _ending(learned: Learned, case: Case, number: int) -> tuple[str, str]:
    for name, said in (
        ("crash", "[CheckQShape] query layout is BSND"),
        ("wrong", "head 3: error 2.86, tolerance 0.05"),
    ):
        introduced, fixed = learned.truth[name]
        affected = parse_filters([SYMPTOMS[name].cases] if SYMPTOMS[name].cases else [], [], {})
        if introduced <= number < (fixed or len(learned.commits)) and affected(case):
            return SYMPTOMS[name].status, said
    return "ok", ""
