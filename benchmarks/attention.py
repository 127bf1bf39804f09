"""How long fused-infer attention takes at each commit, Ulysses' all-to-all apart from the kernel.

The cases are those of a sweep: sweeps/history.yaml, or the one that the environment variable FIABENCH_SWEEP names.
Those of one world size are a class (`World2_fia_BNSD_bf16_h4_d64`) with benchmarks for kernel, all_to_all, transfer,
wait, total and peak_memory by sequence length and head shard. The commit under test measures a class's cases once, into
`.asv/runs/<machine>/<commit>/`; each benchmark then hands over one metric of one case, in a process of its own that
imports neither torch nor pydantic.
"""

from fiabench.asv_plugin.benchmark import classes

globals().update(classes())
