"""What of a box's settings spoils or changes measurements, in words. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

HCCL_BUFFER_MB = 200
"""HCCL's default for each direction of a communicator."""
PACKED_MB = 3 * (75_600 // 8) * 40 * 128 * 2 / 1e6
"""Query, key and value of one rank in one exchange: 75,600 tokens on 8 ranks, 40 heads of 128, 2 bytes each."""


class Advice(NamedTuple):
    """What to say of one environment variable; ``applies`` takes its value, empty where it is not set."""

    variable: str
    applies: Callable[[str], bool]
    says: str


def _is_on(value: str) -> bool:
    return value.strip().lower() not in ("", "0", "false", "off")


def _is_set(value: str) -> bool:
    return bool(value)


def _small_buffer(value: str) -> bool:
    return not value or (value.isdecimal() and int(value) < PACKED_MB)


ADVICE = {
    "npu": (
        Advice("ASCEND_LAUNCH_BLOCKING", _is_on, "every launch waits for the device, which spoils timing: unset it"),
        Advice(
            "TASK_QUEUE_ENABLE",
            lambda value: not value,
            "torch_npu's default is 1; 0 makes launching slow, 2 makes it fast and graph capture impossible: set it, "
            "so that runs agree",
        ),
        Advice("TASK_QUEUE_ENABLE", lambda value: value == "0", "no task queue, so that short kernels are the host's"),
        Advice("TASK_QUEUE_ENABLE", lambda value: value == "2", "graphs cannot be captured"),
        Advice(
            "HCCL_BUFFSIZE",
            _small_buffer,
            f"{HCCL_BUFFER_MB} MB where it is unset; a packed exchange of 75,600 tokens on 8 ranks has {PACKED_MB:.0f}",
        ),
        Advice("HCCL_DETERMINISTIC", _is_on, "collectives keep an order, which costs time"),
        Advice("CPU_AFFINITY_CONF", _is_set, "torch_npu binds its threads itself, and fiabench leaves ranks unbound"),
    ),
    "cuda": (
        Advice("CUDA_LAUNCH_BLOCKING", _is_on, "every launch waits for the device, which spoils timing: unset it"),
        Advice("NCCL_P2P_DISABLE", _is_on, "exchanges take the way through the host"),
        Advice("NCCL_ALGO", _is_set, "NCCL may not choose for itself"),
        Advice("NCCL_PROTO", _is_set, "NCCL may not choose for itself"),
    ),
    "cpu": (),
}


def advice(device: str, variables: Mapping[str, str], governors: Collection[str]) -> list[str]:
    """A sentence for each setting on which there is something to say; ``governors`` are those of the host's cores."""
    said = []
    for variable, applies, says in ADVICE[device]:
        value = variables.get(variable, "")
        if applies(value):
            said.append(f"{variable}={value}: {says}" if value else f"{variable} is not set: {says}")
    others = sorted(set(governors) - {"performance"})
    if others:
        said.append(f"the cores' frequency governor is {', '.join(others)}: with performance their clocks are steadier")
    return said
