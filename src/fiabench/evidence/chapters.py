"""Every finding beside its target: the rows of the page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from fiabench.evidence import words
from fiabench.evidence.comparing import Compared
from fiabench.evidence.oracle import OnCpu
from fiabench.evidence.planted import (
    DEPENDENT,
    DRIFTING,
    EQUAL_MODES,
    GAUSSIAN,
    HEAVY_TAILED,
    KNOWN,
    THROTTLED,
)
from fiabench.evidence.real import SMALL_DELAY, Real
from fiabench.evidence.rows import Row, row
from fiabench.evidence.simulated import Ranks, part
from fiabench.evidence.words import COMPARISONS, DELAYS, EQUAL, FLAGS, REAL, SAMPLES, SETTLED, WRONG

Rates = dict[str, dict[str, float]]
"""By kind."""


class Found(NamedTuple):
    """What every simulated study found."""

    rates: Rates
    sessions: dict[int, dict[str, float]]
    pooled_sessions: float
    """How often the interval of three sessions pooled with other cases holds the truth."""
    ranks: list[Ranks]
    delays: dict[float, float]
    """Seconds to the part of the runs in which they come back as wait."""
    oracles: dict[str, int]
    """By kind, samples."""
    compared: Compared


def rows(found: Found) -> list[Row]:
    """The rows of what is simulated, by chapter."""
    return [
        *_settled(found.rates),
        *_wrong(found.rates, found.sessions, found.pooled_sessions),
        *_flags(found.rates, found.ranks),
        *_delays(found.delays),
        *_samples(found.rates, found.oracles),
        *_compared(found.compared),
    ]


def real_rows(cpu: OnCpu, real: Real) -> list[Row]:
    """The rows of what really ran, by chapter."""
    return [*_samples_on_cpu(cpu), *_real(real)]


def _settled(rates: Rates) -> Iterator[Row]:
    for kind in KNOWN:
        found = rates[kind.name]
        yield row(SETTLED, f"{kind.name}: settled", found["settled"])
        yield row(SETTLED, f"{kind.name}: settled medians within 0.75 %", found["settled_close"], least=97)
        covered = found["covered"]
        why = words.CAUTIOUS if covered > 0.95 else ""
        yield row(SETTLED, f"{kind.name}: intervals that hold the truth", covered, least=92, most=99, why=why)
    for kind in EQUAL_MODES:
        yield row(EQUAL, kind.name, rates[kind.name]["modes_or_unsettled"], least=95)


def _wrong(rates: Rates, sessions: dict[int, dict[str, float]], pooled: float) -> Iterator[Row]:
    for kind in (*DEPENDENT, *DRIFTING, *THROTTLED):
        why = words.WEAK if kind in DEPENDENT[:2] else words.STRONG if kind in DEPENDENT else ""
        why = words.LATE_STEP if kind in THROTTLED else why
        yield row(WRONG, f"{kind.name}: confidently wrong", rates[kind.name]["confidently_wrong"], most=7, why=why)
    yield row(WRONG, "one session: interval labelled as within the session only", sessions[1]["labelled"], least=100)
    yield row(WRONG, "one session: that interval holds the truth all the same", sessions[1]["covered"])
    for count in (3, 8):
        found = sessions[count]
        yield row(WRONG, f"{count} sessions: confidently wrong", found["confidently_wrong"], most=7)
        yield row(WRONG, f"{count} sessions: intervals that hold the truth", found["covered"])
    yield row(WRONG, "3 sessions pooled with 20 cases: intervals that hold the truth", pooled, least=92, most=99)


def _flags(rates: Rates, ranks: list[Ranks]) -> Iterator[Row]:
    for kind in DRIFTING:
        yield row(FLAGS, f"{kind.name}: flagged", rates[kind.name]["changed"], least=95)
    for kind in THROTTLED:
        seen = rates[kind.name]["changed_of_disturbed"]
        yield row(FLAGS, f"{kind.name}: flagged", seen, least=95, why=words.LATE_STEP)
    yield row(FLAGS, "slow rank, 5 %: named, and alone", part(found.named for found in ranks), least=95)
    yield row(FLAGS, f"clean, {GAUSSIAN.name}, one rank: flagged", rates[GAUSSIAN.name]["flagged"], most=2)
    yield row(FLAGS, f"clean, {HEAVY_TAILED.name}, one rank: flagged", rates[HEAVY_TAILED.name]["flagged"], most=2)
    clean = part(found.clean_flagged for found in ranks)
    yield row(FLAGS, f"clean, {GAUSSIAN.name}, four ranks of an attention: flagged", clean, most=2)


def _delays(delays: dict[float, float]) -> Iterator[Row]:
    for delay, found in delays.items():
        yield row(DELAYS, f"{1e3 * delay:g} ms: comes back as wait, not as transfer", found, least=95)


def _samples(rates: Rates, oracles: dict[str, int]) -> Iterator[Row]:
    for kind in KNOWN:
        ratio = rates[kind.name]["mean_samples"] / oracles[kind.name]
        why = words.OPEN_DEPENDENCE if kind in KNOWN[:2] else words.SURE_OF_MODE
        yield row(SAMPLES, f"{kind.name}: samples over the oracle's", ratio, "times", most=1.3, why=why)


def _samples_on_cpu(cpu: OnCpu) -> Iterator[Row]:
    why = words.RESTLESS if cpu.half_width is None else words.OPEN_DEPENDENCE
    yield row(SAMPLES, "CPU, one kernel: samples over the oracle's", cpu.ratio, "times", most=1.3, why=why)
    yield row(SAMPLES, "CPU: half-width asked for", cpu.half_width or float("nan"))
    yield row(SAMPLES, "CPU: numbers of the criterion within it", cpu.near)


def _real(found: Real) -> Iterator[Row]:
    for delay, wait in found.waits.items():
        what, error = f"{1e3 * delay:g} ms: wait differs by", abs(wait - delay)
        if not delay:
            yield row(REAL, "no delay: wait", wait, "ms")
        elif delay < SMALL_DELAY:
            yield row(REAL, what, error, "ms", most=1, why=words.SHARED_BOX)
        else:
            yield row(REAL, what, error / delay, most=10, why=words.SHARED_BOX)
    what = "aligned exchange over a bare one, median of the pairs"
    yield row(REAL, what, found.exchange_ratio, "times", most=1.05, why=words.SHARED_BOX)
    for name, closure in found.closures.items():
        yield row(REAL, f"{name}: closure residual", abs(closure.residual), most=3, flagged=closure.flagged)


def _compared(found: Compared) -> Iterator[Row]:
    eight, three = "eight sessions a side", "three a side alone"
    unchanged, changed = found.alone[8]
    yield row(COMPARISONS, f"{eight}, no change: reported", unchanged["changed"], most=1.8)
    yield row(COMPARISONS, f"{eight}, 2 % slower: found", changed["changed"], least=95)
    pooled = "three a side pooled over 20 cases"
    yield row(
        COMPARISONS, f"{pooled}, no change: below the 1 % bound", found.pooled["unchanged_past_nominal"], most=1.8
    )
    yield row(COMPARISONS, f"{pooled}, 2 % slower: found", found.pooled["found"], least=95)
    unchanged, changed = found.alone[3]
    yield row(COMPARISONS, f"{three}, no change: reported", unchanged["changed"], most=1.8)
    yield row(COMPARISONS, f"{three}, 2 % slower: found", changed["changed"])
    yield row(COMPARISONS, f"{three}: say what they could have seen", changed["told"], least=100)
    yield row(COMPARISONS, f"{three}: what they could have seen, median", changed["median_visible"])
    for share, rates in found.discoveries.items():
        what = f"100 cases, {100 * share:.0f} % of them changed: false discoveries"
        yield row(COMPARISONS, what, rates["false_discoveries"], most=5)
