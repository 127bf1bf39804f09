"""Where a case stands in asv: in which group of benchmarks, at which sequence length and head shard.

A function of the case alone, so that the same case has the same history whatever sweep it comes from, and whatever else
that sweep measures.
"""

from __future__ import annotations

import re
import zlib
from typing import NamedTuple

from fiabench.asv_plugin.names import EXCHANGED, METRICS
from fiabench.cases.case import Case
from fiabench.cases.variables import in_words
from fiabench.results.measurement import Measurement


class Place(NamedTuple):
    """A benchmark's class, and its two parameters."""

    group: str
    length: int | str
    shard: str

    @property
    def parameters(self) -> tuple[str, str]:
        """As asv knows parameters: by their repr."""
        return repr(self.length), repr(self.shard)


def place(case: Case, device: str) -> Place:
    """The place of ``case``, measured on ``device``, which is what a user asked for: `auto`, `npu`, `cuda`, `cpu` or a
    simulated one.

    Cases of one group have one world size and differ in length and head shard alone.
    """
    return Place("_".join([_group(case), *_device(device)]), _length(case), case.head_shard)


def asked_case(line: Measurement) -> Case:
    """The case as its sweep has it: a measurement says how many threads ran, also where the sweep leaves that open."""
    case = line.point
    return case if case.id == line.id else case._replace(threads=0)


def metrics(case: Case) -> list[str]:
    """Those of :data:`METRICS` that the case has where it can be measured."""
    exchanged = case.exchange != "none" or case.measure == "exchange"
    missing = {name for name in EXCHANGED if not exchanged} | ({"kernel"} if case.measure == "exchange" else set())
    return [name for name in METRICS if name not in missing]


def _length(case: Case) -> int | str:
    if case.measure == "exchange":
        return f"{case.exchange_bytes} bytes"
    if case.seq_len_kv != case.seq_len_q:
        return f"{case.seq_len_q} on {case.seq_len_kv}"
    return case.seq_len_q


def _group(case: Case) -> str:
    """`World2_fia_BNSD_bf16_h8_d64`: whatever else changes what is measured, parts at their usual value left out."""
    words = [f"World{case.world_size}"]
    if case.measure == "exchange":
        words += ["exchange", case.dtype]
    else:
        words += [case.op, case.layout, case.dtype]
        words += [] if case.measure == "ulysses" else [case.measure]
        words += [] if case.mask == "none" else [case.mask]
        words += [] if case.batch == 1 else [f"b{case.batch}"]
        words += [f"h{case.heads}"] + ([] if case.kv_heads == case.heads else [f"kv{case.kv_heads}"])
        words += [f"d{case.head_dim}"]
        words += [] if case.exchange in ("none", "separate") else [case.exchange]
        words += [] if case.inputs == "contiguous" else [case.inputs]
        words += [] if case.kv_cache == "contiguous" else [case.kv_cache]
        words += [] if case.against == "none" else [f"vs_{case.against}"]
        words += [] if case.cache == "hot" else [case.cache]
        words += ["padded"] if case.padded else []
    words += [] if case.replicas == "one" else ["replicas"]
    words += [f"threads{case.threads}"] if case.threads else []
    if case.variables:
        words.append(_identifier(in_words(case.variables)))
    return "_".join(words)


def _device(device: str) -> list[str]:
    """Nothing of the best device of the machine: what was simulated, or taken on the CPU of a box with another device,
    must not go on in its history."""
    if device.startswith("sim:"):
        return ["simulated", _identifier(device.removeprefix("sim:"))]
    return ["on_cpu"] if device == "cpu" else []


def _identifier(text: str) -> str:
    """``text`` with underscores for what no name of a class may hold, told apart from its likes by a checksum."""
    name = re.sub(r"[^A-Za-z0-9]+", "_", text)
    return name if name == text else f"{name}_{zlib.crc32(text.encode()):08x}"
