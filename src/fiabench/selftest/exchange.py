"""Claims about exchanges between two ranks, which are processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from fiabench.devices.base import Device
from fiabench.selftest.claim import Claim, Finding, Skipped, milliseconds, share
from fiabench.selftest.peer import RANKS

WAIT_ERROR = 0.1
ALIGNED_EXCESS = 0.2
PATIENCE = 90.0
"""Seconds: making a group takes up to half a minute on a box of many NPUs."""


def exact(device: Device) -> Finding:
    return judge_exact(told(device), device.backend)


def judge_exact(facts: dict[str, Any], backend: str) -> Finding:
    wrong = facts["wrong"]
    return Finding(wrong == 0, "every element where it belongs", f"{wrong or 'no'} elements wrong over {backend}")


def wait(device: Device) -> Finding:
    return judge_wait(told(device))


def judge_wait(facts: dict[str, Any]) -> Finding:
    """The prompt rank's wait, its time beyond the late one's, against how late that was."""
    ratio = median((prompt - late) / delay for delay, prompt, late in facts["delays"])
    delay = median(delay for delay, *_ in facts["delays"])
    return Finding(
        abs(ratio - 1) <= WAIT_ERROR,
        f"{milliseconds(delay)} within {share(WAIT_ERROR)}",
        f"{milliseconds(ratio * delay)}",
    )


def aligned(device: Device) -> Finding:
    return judge_aligned(told(device))


def judge_aligned(facts: dict[str, Any]) -> Finding:
    together, natural = median(facts["aligned"]), median(facts["natural"])
    return Finding(
        together <= (1 + ALIGNED_EXCESS) * natural,
        f"at most {share(ALIGNED_EXCESS)} above the natural one",
        f"{milliseconds(together)} aligned, {milliseconds(natural)} natural",
    )


def told(device: Device) -> dict[str, Any]:
    """What two ranks say. Raises Skipped where there is only one device, RuntimeError where they fail."""
    if device.timing_method == "event" and device.count() < RANKS:
        raise Skipped(f"needs {RANKS} devices, found {device.count()}")
    return _exchanged(device.name)


@cache
def _exchanged(name: str) -> dict[str, Any]:
    """Starts both ranks, once for all claims."""
    environment = {"GLOO_SOCKET_IFNAME": "lo"} | os.environ
    with tempfile.TemporaryDirectory() as folder:
        logs = [Path(folder, f"rank{rank}.log") for rank in range(RANKS)]
        ranks = []
        try:
            for rank, log in enumerate(logs):
                with log.open("wb") as errors:
                    command = [sys.executable, "-m", "fiabench.selftest.peer", name, str(rank), folder]
                    ranks.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=environment))
            answer = _answer(ranks)
        finally:
            for process in ranks:
                process.kill()
                process.communicate()
        if answer is None:
            words = [log.read_text(errors="replace").strip().splitlines() for log in logs]
            last = "; ".join(f"rank {rank}: {lines[-1]}" for rank, lines in enumerate(words) if lines)
            raise RuntimeError(f"two ranks gave no answer within {PATIENCE:g} s: {last or 'no words'}")
    return answer


def _answer(ranks: list[subprocess.Popen[bytes]]) -> dict[str, Any] | None:
    """What rank 0 writes; None where it ends otherwise or takes too long."""
    try:
        written, _ = ranks[0].communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return None
    if ranks[0].returncode:
        return None
    answer: dict[str, Any] = json.loads(written.splitlines()[-1])
    return answer


CLAIMS = (
    Claim("all_to_all", "a group of two ranks is made and its all-to-all is exact", exact),
    Claim("wait", "the wait for a rank that sleeps comes back as wait", wait),
    Claim("aligned", "a transfer that all begin together is no longer than a natural one", aligned),
)
