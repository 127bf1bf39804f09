"""Runs the studies: those of what is simulated, and those of what is real."""

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


def simulated_studies(seeds: int, pool: ProcessPoolExecutor, say: Say) -> Found:
    """All that is simulated, ``seeds`` measurements to each kind; ``say`` is told how far it is."""
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
    return Found(rates, sessions, pooled.result(), ranks, delays, oracles, compared.result())


def real_studies(rounds: int, say: Say) -> tuple[oracle.OnCpu, real.Real]:
    """All that really runs; nothing else of this program should run beside it."""
    say("a kernel on the CPU")
    return oracle.on_cpu(TIMINGS_A_ROUND * rounds), real.study(rounds, say)
