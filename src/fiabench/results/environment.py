"""The fingerprint of a run: what it ran on, and what stood in for what. Imports no torch."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from fiabench import __version__
from fiabench.results.measurement import Measurement

VARIABLES = (
    "TASK_QUEUE_ENABLE",
    "ASCEND_LAUNCH_BLOCKING",
    "HCCL_OP_EXPANSION_MODE",
    "HCCL_DETERMINISTIC",
    "HCCL_BUFFSIZE",
    "HCCL_CONNECT_TIMEOUT",
    "HCCL_EXEC_TIMEOUT",
    "CPU_AFFINITY_CONF",
    "PYTORCH_NPU_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF",
    "ASCEND_RT_VISIBLE_DEVICES",
    "CUDA_LAUNCH_BLOCKING",
    "CUDA_VISIBLE_DEVICES",
    "NCCL_ALGO",
    "NCCL_PROTO",
    "NCCL_P2P_DISABLE",
    "GLOO_SOCKET_IFNAME",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
)
"""Environment variables that change what is measured; recorded where they are set."""


def environment(facts: dict[str, Any], peak: dict[str, Any] | None, checkout: Path) -> dict[str, Any]:
    """The fingerprint of a run on the machine whose probe gave ``facts``.

    ``peak`` is what devices.peaks knows of it; ``checkout`` is the folder whose commit is recorded.
    """
    operator = facts["operator"]["provided_by"]
    emulated = []
    if "emulated" in operator:
        emulated.append(f"npu_fused_infer_attention_score: provided by fiabench on torch's {facts['device']} kernels")
    return {
        "fiabench": __version__,
        "device": facts["device"],
        "simulated": "simulation" in facts,
        "simulation": facts.get("simulation"),
        "device_name": facts["name"],
        "device_count": facts["count"],
        "memory_bytes": facts["memory_bytes"],
        "driver": facts.get("driver"),
        "cann": facts.get("cann"),
        "cuda": facts.get("cuda"),
        "cpu": facts["cpu"],
        "cores": facts["cores"],
        "host": platform.node(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": facts["python"],
        "versions": facts["versions"],
        "operator": operator,
        "operator_note": facts["operator"]["reason"],
        "emulated": emulated,
        "peak": peak,
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        **commit(checkout),
    }


def commit(checkout: Path) -> dict[str, Any]:
    """`commit` of the git checkout and whether it is `dirty`; both None where it is none."""
    command = ["git", "-C", str(checkout)]
    head = subprocess.run([*command, "rev-parse", "HEAD"], capture_output=True, text=True)
    if head.returncode:
        return {"commit": None, "dirty": None}
    status = subprocess.run([*command, "status", "--porcelain"], capture_output=True, text=True)
    return {"commit": head.stdout.strip(), "dirty": bool(status.stdout.strip())}


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def is_simulated(environment: dict[str, Any]) -> bool:
    """Whether a run's numbers come from a model; runs from before there was one have no word of it."""
    return bool(environment.get("simulated"))


def ran_on(environment: dict[str, Any]) -> str:
    """The device in a few words, for titles: `CPU (AMD EPYC, 2 cores)`, `NPU (8 x Ascend910B3)`, `simulated 910B3
    (16 nodes of 8)`."""
    if is_simulated(environment):
        spec = environment["simulation"]["spec"]
        nodes = spec["across"]["nodes"]
        return f"{environment['device_name']} ({nodes} node{'' if nodes == 1 else 's'} of {spec['node']['ranks']})"
    if environment["device"] == "cpu":
        return f"CPU ({environment['cpu']}, {environment['cores']} cores)"
    return f"{environment['device'].upper()} ({environment['device_count']} x {environment['device_name']})"


def said_of(environment: dict[str, Any], emulated: bool) -> str:
    """`on CPU (...): emulated operator, not NPU figures`."""
    said = caution(environment, emulated)
    return f"on {ran_on(environment)}" + (f": {said}" if said else "")


def provenance(environment: dict[str, Any], measurements: Iterable[Measurement]) -> str:
    """What these numbers must not be taken for; empty where the real thing ran on an NPU."""
    return caution(environment, stood_in(measurements))


def stood_in(measurements: Iterable[Measurement]) -> bool:
    """Whether fiabench's operator stood in for the NPU's in any of them."""
    return any(measurement.timing.get("emulated") for measurement in measurements)


def caution(environment: dict[str, Any], emulated: bool) -> str:
    """:func:`provenance`, where it is known whether fiabench's operator stood in for the NPU's."""
    if is_simulated(environment):
        planted = ", ".join(environment["simulation"]["plants"])
        return "simulated, not measured anywhere" + (f", with {planted} planted" if planted else "")
    if environment["device"] == "npu":
        return ""
    if emulated:
        return "emulated operator, not NPU figures"
    return "not NPU figures"
