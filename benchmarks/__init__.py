"""The asv suite: one question to a module. Nothing here imports torch."""

from asv_runner.benchmarks import benchmark_types

from fiabench.asv_plugin.benchmark import SweepBenchmark

benchmark_types.append(SweepBenchmark)
