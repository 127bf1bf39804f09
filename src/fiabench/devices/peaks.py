"""The hardware's peaks, by the name that torch reports. Imports no torch."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Any

import yaml


@cache
def _table() -> list[dict[str, Any]]:
    table: list[dict[str, Any]] = yaml.safe_load(files(__package__).joinpath("peaks.yaml").read_text("utf-8"))
    return table


def find_peak(device_name: str) -> dict[str, Any] | None:
    """The peak of one device: `flops` by dtype in FLOP/s, `memory_bandwidth` in bytes/s, `link` as
    :mod:`fiabench.results.links` takes it, `source`; None if unknown.

    No peak is known for CPUs: none is published for attention's dtypes, and a measured one would be another benchmark.
    """
    for row in _table():
        if re.search(row["match"], device_name):
            return {
                "flops": {dtype: value * 1e12 for dtype, value in row["tflops"].items()},
                "memory_bandwidth": row["memory_bandwidth"] * 1e9,
                "link": {
                    "bandwidth": row["link"]["gb_s"] * 1e9,
                    "links": row["link"]["links"],
                    "ranks": row["link"]["ranks"],
                },
                "source": row["source"],
            }
    return None
