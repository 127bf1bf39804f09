"""What asv's process, the process of a benchmark and a user's shell call the same things. Imports nothing."""

CHECKOUT = "FIABENCH_ASV_CHECKOUT"
"""The folder that holds the commit under test. asv's own ASV_BUILD_DIR is not always set."""
PLAN = "FIABENCH_ASV_PLAN"
"""Environment variable through which asv's process tells a benchmark's process where its plan lies."""
COMMIT = "ASV_COMMIT"
"""asv's own: the commit's hash."""

SWEEP = "FIABENCH_SWEEP"
"""A user's: the sweep file whose cases are benchmarks; sweeps/history.yaml beside the benchmarks if not set."""
PROJECT = "FIABENCH_PROJECT"
"""A user's: the sweep's project that the commit's checkout is; not set where the commit's own engine is asked."""
DEVICE = "FIABENCH_DEVICE"
"""A user's: what to measure on, as `tools/sweep.py run --device` has it."""

MODULE = "attention"
"""The module in benchmarks/ whose benchmarks come from the sweep."""
PREFIX = "sweep_"
"""Begins the names of its benchmarks, so that asv knows their type."""
VERSION = "1"
"""Of the method: raised when samples before and after cannot be compared, not when a sweep changes."""
ENVIRONMENT = "inplace"
"""asv's name for commits that are run where they are checked out."""
PARAMETERS = ["seq_len", "head_shard"]

METRICS = {
    "kernel": "seconds",
    "all_to_all": "seconds",
    "transfer": "seconds",
    "wait": "seconds",
    "total": "seconds",
    "peak_memory": "bytes",
}
"""What asv gets of a case, with asv's unit; lower is better, as asv always has it."""
EXCHANGED = ("all_to_all", "transfer", "wait")
"""Those that a case without exchanges does not have."""
NUMBERS = ("peak_memory",)
"""Those that are one number a case, of which the greatest of its sessions counts."""


def benchmark(group: str, metric: str) -> str:
    """The benchmark's name in asv."""
    return f"{MODULE}.{group}.{PREFIX}{metric}"
