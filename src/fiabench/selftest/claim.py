"""A claim, and what came of checking it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from fiabench.devices.base import Device

OK, FAILED, SKIPPED = "ok", "FAILED", "skipped"


class Skipped(Exception):
    """Why a claim cannot be checked here."""


class Finding(NamedTuple):
    """What was expected and what was found, in words."""

    holds: bool
    expected: str
    found: str


class Claim(NamedTuple):
    """One thing that the suite takes for granted of a device."""

    name: str
    sentence: str
    check: Callable[[Device], Finding]
    """Raises Skipped where there is nothing to check; whatever else it raises is a claim that failed."""


def verdict(claim: Claim, device: Device) -> dict[str, Any]:
    """JSON-able: `claim`, `sentence`, `verdict`, `expected` and `found`; of a skipped one `found` is the reason."""
    told = {"claim": claim.name, "sentence": claim.sentence}
    try:
        finding = claim.check(device)
    except Skipped as reason:
        return {**told, "verdict": SKIPPED, "expected": "", "found": str(reason)}
    except Exception as error:  # the next claim may hold all the same
        words = (str(error).strip().splitlines() or ["no message"])[0]
        return {**told, "verdict": FAILED, "expected": "no error", "found": f"{type(error).__name__}: {words}"}
    return {**told, "verdict": OK if finding.holds else FAILED, "expected": finding.expected, "found": finding.found}


def share(part: float) -> str:
    """`1.5 %` of 0.015."""
    return f"{100 * part:.3g} %"


def milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.4g} ms"
