"""The box as the coordinator sees it: devices, memory, rough rates for estimates. Imports no torch."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from fiabench import devices
from fiabench.cases import costs
from fiabench.cases.case import DTYPE_BYTES, Case
from fiabench.cases.errors import InputError
from fiabench.devices.peaks import find_peak
from fiabench.simulation.predict import memory_misfit
from fiabench.simulation.spec import PREFIX, Spec, load_spec
from fiabench.workers.child import child_environment

RANK_BYTES = 400 * 2**20
"""What a rank takes of the host's memory before any case, nearly all of it torch."""
MAX_CPU_RANKS = 64

_ACCELERATOR_FILES = {"npu": "/dev/davinci_manager", "cuda": "/dev/nvidiactl"}
_CPU_FLOPS = 60e9
"""Attention on one core of a current server CPU; estimates only, the first measured cases correct it."""
_CPU_COPY = 1.0e9
"""Bytes/s of a rank's Gloo exchange with packing, likewise."""
_SHARE_OF_PEAK = 0.4
_UNKNOWN_PEAK = 100e12
_LINK = 50e9


@dataclass(frozen=True)
class Machine:
    """Where cases run. Sizes in bytes, rates for one rank in FLOP/s and bytes/s."""

    device: str
    count: int
    memory_available: int
    cores: int
    facts: dict[str, Any]
    """What the probe said; for `plan` on a CPU, which needs no probe, empty."""
    spec: Spec | None = None
    """What is simulated; None for a real device."""

    def times(self, nodes: int) -> Machine:
        """``nodes`` boxes like this one, as one machine."""
        return replace(
            self,
            count=self.count * nodes,
            cores=self.cores * nodes,
            memory_available=self.memory_available * (nodes if self.device == "cpu" else 1),
        )

    @property
    def max_ranks(self) -> int:
        if self.device == "cpu":
            return min(MAX_CPU_RANKS, max(1, self.memory_available // RANK_BYTES))
        return self.count

    @cached_property
    def peak(self) -> dict[str, Any] | None:
        return self.spec.peaks if self.spec else find_peak(self.facts.get("name", ""))

    def threads(self, case: Case) -> int:
        """CPU threads of each rank: the case's own count, else the cores divided among the ranks.

        One where ranks are simulated, so that no result depends on the box.
        """
        if self.spec:
            return case.threads or 1
        return case.threads or max(1, self.cores // case.world_size)

    def oversubscribed(self, case: Case) -> bool:
        """Whether ranks share cores, so that they slow each other down as they would not on devices of their own."""
        return self.device == "cpu" and case.world_size * self.threads(case) > self.cores

    def fits(self, case: Case, needed: int) -> bool:
        """Whether ``case`` fits in memory where each rank needs ``needed`` bytes: :meth:`misfit` without its words."""
        if self.spec:
            return not memory_misfit(case, self.spec)
        if self.device == "cpu":
            return case.world_size * (needed + RANK_BYTES) <= self.memory_available
        return needed <= self.memory_available

    def misfit(self, case: Case) -> str:
        """Why ``case`` cannot fit in memory; empty where it can."""
        if self.spec:
            return memory_misfit(case, self.spec)
        each = costs.memory_bytes(case)
        if self.fits(case, each):
            return ""
        needed, there = f"needs {each / 2**30:,.1f} GiB on a rank", f"{self.memory_available / 2**30:,.1f} GiB"
        if self.device != "cpu":
            return f"{needed}, a device has {there}"
        ranks = case.world_size
        return f"{needed} ({ranks * (each + RANK_BYTES) / 2**30:,.1f} GiB for {ranks} with torch), {there} are free"

    def iteration_seconds(self, case: Case) -> float:
        """A rough guess at one iteration, right to within a factor of a few."""
        flops, exchanged = costs.kernel_flops(case), costs.exchanged_bytes(case)
        if self.device != "cpu":
            return 100e-6 + flops / self._flops[case.dtype] + exchanged / _LINK
        threads = min(self.threads(case), self.cores)
        crowd = case.world_size * threads / self.cores
        return 1e-3 + (flops / (_CPU_FLOPS * threads) + exchanged / _CPU_COPY) * max(1.0, crowd)

    @cached_property
    def _flops(self) -> dict[str, float]:
        """The rate that estimates grant an accelerator, by dtype: looked up once, asked for every case."""
        peaks = self.peak["flops"] if self.peak else {}
        return {dtype: _SHARE_OF_PEAK * peaks.get(dtype, _UNKNOWN_PEAK) for dtype in DTYPE_BYTES}


def find_machine(wanted: str) -> Machine:
    """The box with its best device, or the one ``wanted``; InputError where that is not there.

    Takes the seconds of importing torch.
    """
    known = ("auto", *devices.NAMES)
    if wanted not in known:
        raise InputError.plain(f"--device: found {wanted!r}; allowed: {', '.join(known)}")
    command = [sys.executable, "-m", "fiabench.workers.probe", wanted]
    probe = subprocess.run(command, env=child_environment(), capture_output=True, text=True)
    if probe.returncode:
        words = probe.stderr.strip().splitlines() or ["no message"]
        raise InputError.plain(f"torch could not be asked for devices: {words[-1]}; try `make env`")
    facts = json.loads(probe.stdout.splitlines()[-1])
    if "missing" in facts:
        raise InputError.plain(f"--device: found {wanted!r}; it is not to be had here: {facts['missing']}")
    free = psutil.virtual_memory().available if facts["device"] == "cpu" else facts["memory_bytes"]
    return Machine(facts["device"], facts["count"], free, facts["cores"], facts)


def simulated_machine(wanted: str, plants: Sequence[str] = (), seed: int = 0) -> Machine:
    """The device `sim:NAME` or `sim:PATH.yaml` with what is planted into it, without asking torch for anything.

    Raises InputError where there is no such device.
    """
    spec, cores = load_spec(wanted), len(os.sched_getaffinity(0))
    facts = {
        "device": wanted,
        "name": f"simulated {spec.name}",
        "count": spec.ranks,
        "memory_bytes": spec.memory_bytes,
        "cpu": platform.processor() or platform.machine(),
        "cores": cores,
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in ("torch", "numpy")},
        "operator": {"provided_by": "simulated", "reason": ""},
        "simulation": {"device": wanted, "spec": spec.model_dump(mode="json"), "plants": [*plants], "seed": seed},
    }
    return Machine(wanted, spec.ranks, spec.memory_bytes, cores, facts, spec)


def guess_machine(wanted: str) -> Machine:
    """As :func:`find_machine`, but at once where the device is the CPU: for estimates."""
    if wanted.startswith(PREFIX):
        return simulated_machine(wanted)
    if wanted == "auto":
        wanted = next((name for name, path in _ACCELERATOR_FILES.items() if Path(path).exists()), "cpu")
    if wanted != "cpu":
        return find_machine(wanted)
    cores = len(os.sched_getaffinity(0))
    return Machine("cpu", cores, psutil.virtual_memory().available, cores, {})
