"""What a sweep claims of its measurements, and whether they bear it out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from fiabench.cases.sweep import Claim, Rule
from fiabench.results import units
from fiabench.results.measurement import Measurement
from fiabench.results.rundir import Run

HOLDS, BROKEN, UNDECIDED = "holds", "broken", "undecided"


class Verdict(NamedTuple):
    """A claim beside what was measured."""

    claim: str
    verdict: str
    """`holds`: in every case the whole interval keeps the bounds; `broken`: in some case none of it does; else
    `undecided`."""
    because: str
    """The case that decides, with its number; or why nothing can be said."""


def verdicts(run: Run) -> list[Verdict]:
    """Whether a run bears out what its sweep claims."""
    return judge([Claim(**claim) for claim in run.header["sweep"].get("claims", [])], run.measurements)


def judge(claims: Iterable[Claim], measurements: list[Measurement]) -> list[Verdict]:
    """A verdict on each claim, by the interval of the metric in every case that the claim speaks of.

    A case that failed or was left out leaves a claim undecided: nothing was seen of it.
    """
    return [_verdict(claim, measurements) for claim in claims]


def _verdict(claim: Claim, measurements: list[Measurement]) -> Verdict:
    spoken_of = [measurement for measurement in measurements if _speaks_of(claim, measurement)]
    seen = [(measurement, measurement.metrics[claim.metric]) for measurement in spoken_of if _has(measurement, claim)]
    judged = [(_kept(claim, entry), measurement, entry) for measurement, entry in seen]
    for wanted in (BROKEN, UNDECIDED):
        for verdict, measurement, entry in judged:
            if verdict == wanted:
                return Verdict(claim.claim, verdict, f"{_shown(claim, entry)} in {measurement.id}")
    unseen = next((measurement for measurement in spoken_of if not _has(measurement, claim)), None)
    if unseen is not None:
        why = unseen.status.replace("_", " ") if not unseen.measured else f"no {claim.metric}"
        return Verdict(claim.claim, UNDECIDED, f"{why} in {unseen.id}")
    if not judged:
        return Verdict(claim.claim, UNDECIDED, "the run has no case that it speaks of")
    _, measurement, entry = max(judged, key=lambda found: _nearness(claim, found[2]))
    return Verdict(claim.claim, HOLDS, f"at the nearest {_shown(claim, entry)} in {measurement.id}")


def _speaks_of(claim: Claim, measurement: Measurement) -> bool:
    rule = Rule(claim.when, "")
    return all(rule.holds(name, measurement.case[name]) for name in claim.when)


def _has(measurement: Measurement, claim: Claim) -> bool:
    return measurement.measured and claim.metric in measurement.metrics


def _interval(entry: dict[str, Any]) -> tuple[float, float]:
    return entry.get("low", entry["value"]), entry.get("high", entry["value"])


def _kept(claim: Claim, entry: dict[str, Any]) -> str:
    low, high = _interval(entry)
    most = float("inf") if claim.at_most is None else claim.at_most
    least = float("-inf") if claim.at_least is None else claim.at_least
    if low > most or high < least:
        return BROKEN
    return HOLDS if high <= most and low >= least else UNDECIDED


def _nearness(claim: Claim, entry: dict[str, Any]) -> float:
    """How near the interval comes to a bound: the greater the nearer."""
    low, high = _interval(entry)
    above = high - claim.at_most if claim.at_most is not None else float("-inf")
    below = claim.at_least - low if claim.at_least is not None else float("-inf")
    return max(above, below)


def _shown(claim: Claim, entry: dict[str, Any]) -> str:
    def number(value: float) -> str:
        return f"{value:.3g}" if entry["unit"] == "ratio" else units.human(value, entry["unit"])

    bounds = []
    if claim.at_least is not None:
        bounds.append(f"at least {number(claim.at_least)}")
    if claim.at_most is not None:
        bounds.append(f"at most {number(claim.at_most)}")
    low, high = _interval(entry)
    spread = f" ({number(low)} to {number(high)})" if high > low else ""
    return f"{claim.metric} {number(entry['value'])}{spread}, claimed {' and '.join(bounds)},"
