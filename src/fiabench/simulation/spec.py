"""What is simulated: a device and its links, from YAML with a source for every number. Imports no torch."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from fiabench.cases.errors import InputError, Problem, describe, nearest

PREFIX = "sim:"
"""Begins the name of a simulated device."""
_DEVICES = Path(__file__).with_name("devices")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Peak(_Part):
    tflops: dict[Literal["fp16", "bf16", "fp32"], PositiveFloat]
    """Dense, in 10^12 FLOP/s. A dtype that is not there is unsupported."""
    source: str


class Memory(_Part):
    gib: PositiveFloat
    gb_s: PositiveFloat
    """Peak bandwidth in 10^9 bytes/s."""
    share: float = Field(gt=0, le=1)
    """The part of it that copies and memory-bound kernels reach."""
    source: str


class Anchor(_Part):
    """A measured call without a mask, batch 1, as many keys as queries."""

    heads: PositiveInt
    tokens: PositiveInt
    microseconds: PositiveFloat


class Kernel(_Part):
    peak_tflops: PositiveFloat
    """Of the device that the anchors were measured on."""
    head_dim: PositiveInt
    anchors: tuple[Anchor, ...] = Field(min_length=1)
    source: str


class Launch(_Part):
    microseconds: float = Field(ge=0)
    """What the host takes to launch one operation or exchange."""
    source: str


class Node(_Part):
    ranks: PositiveInt
    links: Literal["mesh", "switch"]
    """`mesh`: each pair of ranks has a link of its own, gb_s / (ranks - 1); `switch`: any pair may have it all."""
    gb_s: PositiveFloat
    """One rank's bandwidth one way, all links together, in 10^9 bytes/s."""
    share: float = Field(gt=0, le=1)
    """The part of it that exchanges reach."""
    microseconds: float = Field(ge=0)
    """Latency of an exchange."""
    source: str


class Across(_Part):
    """Between nodes; each rank has its own link."""

    nodes: PositiveInt
    gb_s: PositiveFloat
    share: float = Field(gt=0, le=1)
    microseconds: float = Field(ge=0)
    source: str


class Buffer(_Part):
    """A communicator's buffer, through which exchanges go."""

    mb: PositiveFloat
    """In 2^20 bytes; a communicator takes two."""
    beyond: Literal["rounds", "refuse"]
    """A larger exchange goes in several rounds, each with its latency, or is unsupported."""
    source: str


class Spec(_Part):
    """A simulated device with its topology."""

    name: str = Field(min_length=1)
    about: str
    kind: Literal["npu", "cuda"]
    """Whose operators run on it."""
    peak: Peak
    memory: Memory
    kernel: Kernel
    launch: Launch
    node: Node
    across: Across
    buffer: Buffer | None = None

    @property
    def ranks(self) -> int:
        """Ranks of the whole topology."""
        return self.node.ranks * self.across.nodes

    @property
    def memory_bytes(self) -> int:
        return int(self.memory.gib * 2**30)

    @property
    def buffer_bytes(self) -> int:
        """What goes through a communicator's buffer at once; 0 where there is no such limit."""
        return int(self.buffer.mb * 2**20) if self.buffer else 0

    @property
    def peaks(self) -> dict[str, Any]:
        """As :func:`fiabench.devices.peaks.find_peak` has them."""
        return {
            "flops": {dtype: value * 1e12 for dtype, value in self.peak.tflops.items()},
            "memory_bandwidth": self.memory.gb_s * 1e9,
            "link": {"bandwidth": self.node.gb_s * 1e9, "links": self.node.links, "ranks": self.node.ranks},
            "source": self.peak.source,
        }


def names() -> list[str]:
    """The devices that are shipped, as they are named after `sim:`."""
    return sorted(path.stem for path in _DEVICES.glob("*.yaml"))


def allowed() -> str:
    """What a simulated device may be called, in words."""
    return f"{', '.join(PREFIX + name for name in names())}, {PREFIX}PATH.yaml"


@lru_cache
def load_spec(device: str) -> Spec:
    """The device called `sim:NAME` or `sim:PATH.yaml`. Raises InputError with everything that is wrong."""
    wanted = device.removeprefix(PREFIX)
    if wanted in names():
        path = _DEVICES / f"{wanted}.yaml"
    elif wanted.endswith((".yaml", ".yml")):
        path = Path(wanted)
    else:
        hint = nearest(wanted, names())
        raise InputError([Problem("", None, None, "--device", repr(device), allowed(), hint)])
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError.plain(f"--device {device}: cannot be read ({error})") from error
    if not isinstance(data, dict):
        raise InputError.plain(f"{wanted}: found {describe(data)}; allowed: a device as in simulation/devices")
    try:
        return Spec.model_validate(data)
    except ValidationError as error:
        raise InputError([_problem(wanted, details) for details in error.errors()]) from error


def _problem(path: str, details: Any) -> Problem:
    key = ".".join(map(str, details["loc"]))
    found = "" if details["type"] == "missing" else describe(details["input"])
    return Problem(path, None, None, key, found, details["msg"][:1].lower() + details["msg"][1:])
