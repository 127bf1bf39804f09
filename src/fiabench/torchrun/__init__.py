"""Runs a sweep on the ranks that torchrun started, on one node or on many; global rank 0 coordinates.

    torchrun --nnodes 2 --nproc-per-node 8 --max-restarts 3 ... tools/sweep.py run SWEEP --out DIR

Where `sweep.py run` plants a process for each rank and survives what happens to them, torchrun owns the processes here:
a rank that dies or hangs ends them all. With --max-restarts they come back, and rank 0 goes on in the same directory:
finished cases are kept, and the one that was running is a `crash`, so that it cannot stop the run again.

Ranks end with the run's exit code, all with the same. torchrun takes any but 0 for a reason to restart, so they do only
when the run is marked as finished; those that come back find it so and end at once, in the same way.
"""
