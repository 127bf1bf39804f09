"""``python -m fiabench.selftest.run DEVICE [CLAIM ...]``: a JSON object a line, as they come.

First `{"facts": ...}` of the device, then for each claim `{"begins": NAME, "sentence": ...}` and its verdict: whoever
reads knows which claim took the process with it.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, TextIO

import torch

from fiabench import devices, npu_operator
from fiabench.selftest import exchange, memory, operator, timing
from fiabench.selftest.claim import Claim, verdict
from fiabench.selftest.facts import facts

CLAIMS: dict[str, Claim] = {
    claim.name: claim for module in (timing, memory, operator, exchange) for claim in module.CLAIMS
}


def main() -> None:
    name, *wanted = sys.argv[1:]
    # Libraries that write to standard output do so to standard error: the lines are the reader's.
    lines = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    torch.set_num_threads(1)  # several on a box whose cores have other work wait for each other
    npu_operator.describe()  # decides on the operators' provider before a device imports torch_npu
    device = devices.load(name)(0)
    say(lines, {"facts": facts(device)})
    for claim in wanted:
        say(lines, {"begins": claim, "sentence": CLAIMS[claim].sentence})
        say(lines, verdict(CLAIMS[claim], device))


def say(lines: TextIO, message: dict[str, Any]) -> None:
    print(json.dumps(message), file=lines, flush=True)


if __name__ == "__main__":
    main()
