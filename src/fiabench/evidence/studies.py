"""Runs every study."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

from fiabench.evidence import comparing, oracle, real, simulated
from fiabench.evidence.chapters import Found
from fiabench.evidence.planted import KINDS, KNOWN

ROUNDS = 100
"""Alternating pairs on real ranks; other counts there follow from it."""
TIMINGS_A_ROUND = 20
"""Recorded on the CPU."""
Say = Callable[[str], None]


def studies(seeds: int, rounds: int, pool: ProcessPoolExecutor, say: Say) -> Found:
    """Everything; ``seeds`` simulated measurements to each kind, ``say`` is told how far it is.

    Real ranks come last, when nothing of this program runs beside them.
    """
    run: Any = partial(pool.map, chunksize=max(1, min(25, seeds // 8)))
    half, few = max(1, seeds // 2), max(1, seeds // 10)
    compared = pool.submit(comparing.study, seeds)
    pooled = pool.submit(comparing.coverage, few, 3, 20)
    rates = {}
    for name in KINDS:
        say(name)
        rates[name] = simulated.rates(name, seeds, run)
    say("sessions")
    sessions = simulated.session_rates(half, run)
    say("slow rank")
    ranks = list(run(simulated.slow_rank, range(half)))
    say("delays")
    delays = {delay: simulated.part(run(simulated.Delayed(delay), range(few))) for delay in simulated.DELAYS}
    say("oracles and comparisons")
    oracles = dict(zip((kind.name for kind in KNOWN), pool.map(oracle.oracle, KNOWN)))
    simulated_part = (rates, sessions, pooled.result(), ranks, delays, oracles, compared.result())
    say("a kernel on the CPU")
    cpu = oracle.on_cpu(TIMINGS_A_ROUND * rounds)
    return Found(*simulated_part, cpu, real.study(rounds, say))
