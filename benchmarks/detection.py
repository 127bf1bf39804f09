#!/usr/bin/env python3
"""What detecting costs: 1,000 series of 200 values, without steps and with one each.

`python benchmarks/detection.py` prints the figures beside the target. Under asv they are tracked for the commit under
test. They are times of a busy or quiet box like any other: read them with the load that is printed.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

SERIES, VALUES = 1000, 200
TARGET = 5.0
"""Seconds."""
WITH_STEP = {"none": 0.0, "one in twenty": 0.05, "all": 1.0}
"""The part of the series in which the last ten values are 5 % more."""


def made(part: float) -> str:
    """The filter's input: Gaussian noise of 1 %, ``part`` of the series with a step."""
    import numpy as np

    logs = 0.01 * np.random.default_rng(0).standard_normal((SERIES, VALUES))
    logs[: round(part * SERIES), -10:] += math.log(1.05)
    return json.dumps({"series": (100 * np.exp(logs)).tolist()})


def seconds(checkout: Path, part: float) -> float:
    """What `history.py detect` takes as a whole. RuntimeError, with its last words, where it fails."""
    text = made(part)
    command = [sys.executable, str(checkout / "tools" / "history.py"), "detect"]
    begun = time.perf_counter()
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    taken = time.perf_counter() - begun
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    flags = json.loads(done.stdout)["flags"]
    if len(flags) != SERIES:
        raise RuntimeError(f"{' '.join(command)}: found {len(flags)} answers to {SERIES} series")
    return taken


class Detect:
    """`detect` of 1,000 series of 200 values."""

    version = "1"
    timeout = 240.0
    unit = "seconds"
    params = [list(WITH_STEP)]
    param_names = ["with_step"]

    def track_seconds(self, with_step: str) -> Any:
        from fiabench.asv_plugin.names import CHECKOUT

        try:
            return seconds(Path(os.environ.get(CHECKOUT, ROOT)), WITH_STEP[with_step])
        except RuntimeError as error:
            print(error, file=sys.stderr)  # a commit that has no such command yet
            return None


def main() -> None:
    """Prints every figure as it comes."""
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    for name, part in WITH_STEP.items():
        taken = seconds(ROOT, part)
        asked = f"target {TARGET:g} s   {'met' if taken <= TARGET else 'MISSED'}" if not part else ""
        print(f"{SERIES} series of {VALUES}, with a step: {name:<15} {taken:6.1f} s   {asked}", flush=True)
    print(f"load {load} at the start")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "tools"))
    from _door import enter

    enter(__file__)
    main()
