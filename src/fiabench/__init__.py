"""Benchmarks of fused-infer attention and the all-to-all of Ulysses sequence parallelism."""

__version__ = "0.1.0"
