"""The claims' names in the order in which they are checked. Imports no torch."""

from __future__ import annotations

NAMES = (
    "clock",
    "marks",
    "hold",
    "behind_hold",
    "capture",
    "flush_cache",
    "out_of_memory",
    "peak_memory",
    "sensors",
    "fia_values",
    "wrong_heads",
    "fia_v2_values",
    "fusion_attention_values",
    "prompt_flash_attention_values",
    "profiler",
    "all_to_all",
    "wait",
    "aligned",
)
