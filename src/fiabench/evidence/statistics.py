"""Every rate that the statistics alone decide: ``python -m fiabench.evidence.statistics [--json] [--seeds N]``.

Simulated series, no device. Under three minutes on two cores at the default of 2,000 seeds.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

from fiabench.evidence import comparing, noise, settling


def study(seeds: int, pool: ProcessPoolExecutor) -> dict[str, Any]:
    """All rates by chapter, ``seeds`` simulated measurements to each."""
    run = partial(pool.map, chunksize=max(1, seeds // 40))
    fewer = max(1, seeds // 10)
    oracles = {kind.name: pool.submit(settling.oracle, kind) for kind in noise.SETTLING[:3]}
    slow = {
        f"{ranks} ranks, {samples} samples": pool.submit(settling.slow_rank_rates, seeds // 2, ranks, samples, 0.05)
        for ranks, samples in ((2, 10), (4, 24), (16, 24))
    }
    alone = {
        f"{count} sessions, {change:.0%}": pool.submit(comparing.alone, max(1, seeds // 2), count, change)
        for count, change in ((8, 0.0), (8, 0.02), (3, 0.0), (3, 0.02))
    }
    pooled = {
        name: pool.submit(comparing.pooled, fewer, 20, 3, 0.02, alike)
        for name, alike in (("alike", True), ("unlike", False))
    }
    found = {
        f"{part:.0%} changed": pool.submit(comparing.discoveries, max(1, seeds // 20), 100, 3, part, 0.02)
        for part in (0.0, 0.1, 0.5)
    }
    covered = {
        f"{count} sessions, {others} other cases": pool.submit(
            comparing.coverage, fewer if others else seeds, count, others
        )
        for count, others in ((1, 0), (2, 0), (3, 0), (8, 0), (1, 20), (3, 20))
    }
    kinds = {name: settling.rates(name, seeds, run) for name in (*settling.KINDS, settling.STEP)}
    return {
        "settling": kinds,
        "slow_rank_5_percent": {name: future.result() for name, future in slow.items()},
        "samples_over_oracle": {
            name: {"oracle": future.result(), "ratio": round(kinds[name]["mean_samples"] / future.result(), 3)}
            for name, future in oracles.items()
        },
        "sessions_coverage": {name: future.result() for name, future in covered.items()},
        "compare_alone": {name: future.result() for name, future in alone.items()},
        "compare_20_cases_3_sessions": {name: future.result() for name, future in pooled.items()},
        "compare_100_cases_3_sessions": {name: future.result() for name, future in found.items()},
    }


def lines(found: dict[str, Any]) -> Iterator[str]:
    """The study as text, a line to each row."""
    for chapter, rows in found.items():
        yield chapter
        for name, row in rows.items():
            values = row.items() if isinstance(row, dict) else [("covered", row)]
            yield f"  {name}: " + ", ".join(f"{key} {value:.4g}" for key, value in values)


def main() -> None:
    parser = argparse.ArgumentParser(description="Rates of the statistics on series whose truth is known.")
    parser.add_argument("--json", action="store_true", help="machine-readable")
    parser.add_argument("--seeds", type=int, default=2000)
    chosen = parser.parse_args()
    begun = time.perf_counter()
    with ProcessPoolExecutor() as pool:
        found = study(chosen.seeds, pool)
    if chosen.json:
        print(json.dumps({"seeds": chosen.seeds, "seconds": round(time.perf_counter() - begun, 1), **found}, indent=2))
    else:
        print("\n".join(lines(found)))


if __name__ == "__main__":
    main()
