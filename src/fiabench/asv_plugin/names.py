"""The environment variables through which asv's process tells a benchmark's process what it is to measure."""

CHECKOUT = "FIABENCH_ASV_CHECKOUT"
"""The folder that holds the commit under test. asv's own ASV_BUILD_DIR is not always set."""
RUNS = "FIABENCH_ASV_RUNS"
"""Where this machine's run directories belong, one folder a commit."""
COMMIT = "ASV_COMMIT"
"""asv's own: the commit's hash."""
