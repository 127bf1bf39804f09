"""The self-test's process: started, listened to, started again without the claim that it did not survive."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import psutil

from fiabench.workers.child import child_environment

COMMAND = [sys.executable, "-m", "fiabench.selftest.run"]
CLAIM_SECONDS = 240.0
"""Without a word for longer, a claim hangs: two ranks are waited for 90 s, an NPU's profiler can take minutes."""
_OPENING = {"begins": "device", "sentence": "the device can be opened and used"}


def check(device: str, claims: Sequence[str], each: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Checks ``claims`` in turn and hands each verdict to ``each``; returns the device's facts.

    A claim that ends the process, or hangs, has failed, and those after it are checked in a new one. Where the device
    cannot even be opened, that is the only claim, and there are no facts.
    """
    facts: dict[str, Any] = {}
    left = list(claims)
    while True:
        begun = _OPENING
        for message in _listen([*COMMAND, device, *left]):
            if "facts" in message:
                facts = message["facts"]
            elif "begins" in message:
                begun = message
                left.remove(message["begins"])
            elif "ended" in message:
                each(_failed(begun, message["ended"]))
            else:
                each(message)
        if not left or begun is _OPENING:
            return facts


def _failed(begun: dict[str, Any], how: str) -> dict[str, Any]:
    told = {"claim": begun["begins"], "sentence": begun["sentence"]}
    return told | {"verdict": "FAILED", "expected": "an answer", "found": how}


def _listen(command: list[str]) -> Iterator[dict[str, Any]]:
    """What the process says; last of all `ended`, in words, where it ended otherwise than in peace."""
    with tempfile.TemporaryFile() as log, selectors.DefaultSelector() as selector:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=child_environment())
        assert process.stdout is not None
        selector.register(process.stdout, selectors.EVENT_READ)
        pending = b""
        try:
            while selector.select(CLAIM_SECONDS):
                received = os.read(process.stdout.fileno(), 1 << 16)
                if not received:
                    break
                *lines, pending = (pending + received).split(b"\n")
                yield from map(json.loads, lines)
            else:
                yield {"ended": f"gave no answer within {CLAIM_SECONDS:g} s"}
                return
            if process.wait():
                log.seek(0)
                yield {"ended": _ending(process.returncode, log.read().decode(errors="replace"))}
        finally:
            _end(process)


def _ending(code: int, words: str) -> str:
    how = f"the process was killed by {signal.Signals(-code).name}" if code < 0 else f"it ended with exit code {code}"
    lines = words.strip().splitlines()
    return f"{how}; its last words: {lines[-1]}" if lines else how


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the process and what it started."""
    if process.poll() is None:
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    child.kill()
        process.kill()
    process.communicate()
