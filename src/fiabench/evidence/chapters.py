"""Every study with its targets: what is run, and the rows that come of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

from fiabench.evidence import comparing, oracle, real, simulated, words
from fiabench.evidence.planted import (
    DEPENDENT,
    DRIFTING,
    EQUAL_MODES,
    GAUSSIAN,
    HEAVY_TAILED,
    KINDS,
    KNOWN,
    THROTTLED,
)
from fiabench.evidence.rows import Row, row
from fiabench.evidence.words import COMPARISONS, DELAYS, EQUAL, FLAGS, REAL, SAMPLES, SETTLED, WRONG

ROUNDS = 100
"""Alternating pairs on real ranks; other counts there follow from it."""
Say = Callable[[str], None]


def studies(seeds: int, rounds: int, pool: ProcessPoolExecutor, say: Say) -> list[Row]:
    """Every row; ``seeds`` simulated measurements to each kind, ``say`` is told how far it is.

    Real ranks come last, when nothing of this program runs beside them.
    """
    run: Any = partial(pool.map, chunksize=max(1, min(25, seeds // 8)))
    compared = pool.submit(compare_rows, seeds)
    rates = {}
    for name in KINDS:
        say(name)
        rates[name] = simulated.rates(name, seeds, run)
    say("sessions")
    sessions = simulated.session_rates(seeds, run)
    say("slow rank")
    ranks = list(run(simulated.slow_rank, range(max(1, seeds // 2))))
    say("delays")
    few = max(1, seeds // 10)
    delays = {delay: simulated.part(run(simulated.Delayed(delay), range(few))) for delay in simulated.DELAYS}
    say("oracles")
    oracles = dict(zip((kind.name for kind in KNOWN), pool.map(oracle.oracle, KNOWN)))
    say("comparisons")
    comparisons = compared.result()
    rows = [*settled_rows(rates), *wrong_rows(rates, sessions, seeds), *flag_rows(rates, ranks), *delay_rows(delays)]
    say("real ranks")
    return [*rows, *sample_rows(rates, oracles, oracle.on_cpu(20 * rounds)), *real_rows(rounds, say), *comparisons]


def settled_rows(rates: dict[str, dict[str, float]]) -> Iterator[Row]:
    for kind in KNOWN:
        found = rates[kind.name]
        yield row(SETTLED, f"{kind.name}: settled", found["settled"])
        yield row(SETTLED, f"{kind.name}: settled medians within 0.75 %", found["settled_close"], least=97)
        covered = found["covered"]
        why = words.CAUTIOUS if covered > 0.95 else ""
        yield row(SETTLED, f"{kind.name}: intervals that hold the truth", covered, least=92, most=99, why=why)
    for kind in EQUAL_MODES:
        yield row(EQUAL, kind.name, rates[kind.name]["modes_or_unsettled"], least=95)


def wrong_rows(rates: dict[str, dict[str, float]], sessions: dict[int, dict[str, float]], seeds: int) -> Iterator[Row]:
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
    pooled = comparing.coverage(max(1, seeds // 10), 3, 20)
    yield row(WRONG, "3 sessions pooled with 20 cases: intervals that hold the truth", pooled, least=92, most=99)


def flag_rows(rates: dict[str, dict[str, float]], ranks: list[simulated.Ranks]) -> Iterator[Row]:
    for kind in (*DRIFTING, *THROTTLED):
        why = words.LATE_STEP if kind in THROTTLED else ""
        yield row(FLAGS, f"{kind.name}: flagged", rates[kind.name]["changed_of_disturbed"], least=95, why=why)
    yield row(FLAGS, "slow rank, 5 %: named, and alone", simulated.part(found.named for found in ranks), least=95)
    yield row(FLAGS, f"clean, {GAUSSIAN.name}, one rank: flagged", rates[GAUSSIAN.name]["flagged"], most=2)
    yield row(FLAGS, f"clean, {HEAVY_TAILED.name}, one rank: flagged", rates[HEAVY_TAILED.name]["flagged"], most=2)
    clean = simulated.part(found.clean_flagged for found in ranks)
    yield row(FLAGS, f"clean, {GAUSSIAN.name}, four ranks of an attention: flagged", clean, most=2)


def delay_rows(delays: dict[float, float]) -> Iterator[Row]:
    for delay, found in delays.items():
        yield row(DELAYS, f"{1e3 * delay:g} ms: comes back as wait, not as transfer", found, least=95)


def sample_rows(rates: dict[str, dict[str, float]], oracles: dict[str, int], cpu: oracle.OnCpu) -> Iterator[Row]:
    for kind in KNOWN:
        ratio = rates[kind.name]["mean_samples"] / oracles[kind.name]
        why = words.OPEN_DEPENDENCE if kind in KNOWN[:2] else words.SURE_OF_MODE
        yield row(SAMPLES, f"{kind.name}: samples over the oracle's", ratio, "times", most=1.3, why=why)
    why = words.RESTLESS if cpu.half_width is None else words.OPEN_DEPENDENCE
    yield row(SAMPLES, "CPU, one kernel: samples over the oracle's", cpu.ratio, "times", most=1.3, why=why)
    yield row(SAMPLES, "CPU: half-width asked for", cpu.half_width or float("nan"))
    yield row(SAMPLES, "CPU: numbers of the criterion within it", cpu.near)


def real_rows(rounds: int, say: Say) -> Iterator[Row]:
    samples = max(3, rounds * 3 // 10)
    for delay in real.DELAYS:
        say(f"a delay of {1e3 * delay:g} ms")
        wait = real.measure(real.SMALL, samples, delay).metrics["wait"]["value"]
        if not delay:
            yield row(REAL, "no delay: wait", wait, "ms")
        elif delay < 0.005:
            error = abs(wait - delay)
            yield row(REAL, f"{1e3 * delay:g} ms: wait differs by", error, "ms", most=1, why=words.SHARED_BOX)
        else:
            yield row(
                REAL, f"{1e3 * delay:g} ms: wait differs by", abs(wait / delay - 1), most=10, why=words.SHARED_BOX
            )
    say("exchanges")
    ratio = real.exchanges(rounds).ratio
    yield row(
        REAL, "aligned exchange over a bare one, median of the pairs", ratio, "times", most=1.05, why=words.SHARED_BOX
    )
    for name, case in real.LONG.items():
        say(name)
        found = real.measure(case, samples)
        residual = abs(found.metrics["closure_residual"]["value"])
        flagged = any(flag.startswith("closure") for flag in found.flags)
        yield row(REAL, f"{name}: closure residual", residual, most=3, flagged=flagged, why=words.SHARED_BOX)


def compare_rows(seeds: int) -> list[Row]:
    half, few = max(1, seeds // 2), max(1, seeds // 10)
    alone = {(count, change): comparing.alone(half, count, change) for count in (8, 3) for change in (0.0, 0.02)}
    pooled = comparing.pooled(few, 20, 3, 0.02)
    found: Iterable[Row] = [
        row(COMPARISONS, "eight sessions a side, no change: reported", alone[8, 0.0]["changed"], most=1.8),
        row(COMPARISONS, "eight sessions a side, 2 % slower: found", alone[8, 0.02]["changed"], least=95),
        row(COMPARISONS, "three a side pooled over 20 cases, no change: below the 1 % bound",
            pooled["unchanged_past_nominal"], most=1.8),
        row(COMPARISONS, "three a side pooled over 20 cases, 2 % slower: found", pooled["found"], least=95),
        row(COMPARISONS, "three a side alone, no change: reported", alone[3, 0.0]["changed"], most=1.8),
        row(COMPARISONS, "three a side alone, 2 % slower: found", alone[3, 0.02]["changed"]),
        row(COMPARISONS, "three a side alone: say what they could have seen", alone[3, 0.02]["told"], least=100),
        row(COMPARISONS, "three a side alone: what they could have seen, median", alone[3, 0.02]["median_visible"]),
    ]  # fmt: skip
    for changed in (0.0, 0.1, 0.5):
        rates = comparing.discoveries(max(1, seeds // 20), 100, 3, changed, 0.02)
        what = f"100 cases, {100 * changed:.0f} % of them changed: false discoveries"
        found = [*found, row(COMPARISONS, what, rates["false_discoveries"], most=5)]
    return list(found)
