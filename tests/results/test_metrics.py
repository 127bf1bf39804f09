"""Metrics against planted samples, worked out by hand: a formula that slips changes a number here."""

from __future__ import annotations

import math
import statistics

import pytest

from fiabench.cases.schema import Claim
from fiabench.results.metrics import METRICS, compute
from tests.results.samples import ULYSSES
from tests.ulysses.points import exchange_alone, make_case

MS = 1e-3
CASE = make_case(heads=8, kv_heads=4, seq_len_q=24, head_dim=16, dtype="fp16", op="fia", batch=2)
BYTES = 2 * 2 * (24 * 4 + 24 * 2) * (16 + 16)
"""One rank's whole buffer: element, batch, tokens of 4 query and 2 kv heads, width of q with o, and of k with v."""
FLOPS = 2 * 2 * 4 * 24 * 24 * (16 + 16)

SAMPLES = {
    # rank 0 is late to the first exchange in iteration 0, rank 1 to the last in iteration 2
    "pack_in": {"0": [1, 1, 1], "1": [2, 2, 2]},
    "exchange_in": {"0": [3, 4, 4], "1": [8, 4, 4]},
    "unpack_in": {"0": [1, 1, 1], "1": [1, 1, 1]},
    "kernel": {"0": [10, 11, 12], "1": [9, 11, 14]},
    "pack_out": {"0": [1, 1, 1], "1": [1, 1, 1]},
    "exchange_out": {"0": [2, 2, 6], "1": [2, 3, 2]},
    "unpack_out": {"0": [1, 1, 1], "1": [0.5, 0.5, 0.5]},
    "end_to_end": {"0": [20, 22, 26], "1": [24, 22, 25]},
}


def in_seconds(samples):
    return {
        phase: {rank: [MS * value for value in series] for rank, series in ranks.items()}
        for phase, ranks in samples.items()
    }


def values(case=CASE, samples=SAMPLES, peak_flops=None, peak_memory=None, first_call=None):
    found = compute(case, in_seconds(samples), peak_flops, peak_memory, first_call)
    return {name: entry["value"] for name, entry in found.items()}


def test_every_metric_of_a_ulysses_case_by_hand():
    found = values(peak_flops=1e12, peak_memory=12345)
    assert found == {
        "total": pytest.approx(24 * MS),  # slowest rank: 24, 22, 26
        "kernel": pytest.approx(11 * MS),  # slowest rank: 10, 11, 14
        "transfer": pytest.approx(6 * MS),  # last to arrive: 3 + 2, 4 + 2, 4 + 2
        "completion": pytest.approx(10 * MS),  # slowest rank: 8 + 2, 4 + 3, 4 + 6 (rank 0)
        "exposed": pytest.approx(13 * MS),  # rank 0: 22 - 11; rank 1: 24 - 11
        "wait": pytest.approx(4 * MS),  # worst rank: 5, 1, 4
        "all_to_all": pytest.approx(11 * MS),  # packing 2 + 1 + 1 + 1, and the transfers
        "all_to_all_share": pytest.approx(10 / 23.5),  # median of 10 / 23.5, 11 / 22.5, 11 / 26
        "closure_residual": pytest.approx(1 / 24),  # rank 0: 22 - 21; rank 1: 24 - 23.5
        "achieved_flops": pytest.approx(FLOPS / (11 * MS)),
        "mfu": pytest.approx(FLOPS / (11 * MS) / 1e12),
        "tokens_per_s": pytest.approx(2 * 24 / (24 * MS)),
        "algbw": pytest.approx(BYTES / (6 * MS)),
        "busbw": pytest.approx(BYTES / (6 * MS) / 2),
        "peak_memory": 12345,
    }
    beside = values(PADDED, RING | TURNS, first_call=0.25)
    assert beside["ring_exchange"] == pytest.approx(2 * MS)
    assert beside["merge"] == pytest.approx(1 * MS)
    assert beside["closure_residual"] == pytest.approx(9 / 21)  # rank 0: 20 - 13; rank 1: 21 - 12
    assert beside["ratio"] == pytest.approx(2.0)  # slowest rank of each: 20 / 10, 22 / 11, 21 / 21
    assert beside["dispatch"] == pytest.approx(3 * MS)
    assert beside["dispatch_ratio"] == pytest.approx(0.75)
    assert beside["first_call"] == 0.25
    alone = values(samples=SAMPLES | ALIGNED)
    assert alone["transfer"] == pytest.approx(4.5 * MS)  # 2.5 + 2 in each
    assert alone["transfer_natural"] == found["transfer"]
    assert alone["wait"] == found["wait"]
    assert alone["completion"] == found["completion"]
    assert alone["all_to_all"] == pytest.approx(9.5 * MS)  # packing 2 + 1 + 1 + 1, and the transfers
    assert alone["busbw"] == pytest.approx(BYTES / (4.5 * MS) / 2)
    assert beside["padding"] == pytest.approx(1 - 5 * 30 / (8 * 32))
    assert set(found) | set(beside) | set(alone) == set(METRICS)


PADDED = make_case(heads=5, seq_len_q=30, ulysses=4)
RING = {
    "kernel": {"0": [10, 10, 10], "1": [9, 10, 9]},
    "ring_exchange": {"0": [2, 2, 1], "1": [1, 2, 2]},
    "merge": {"0": [1, 1, 1], "1": [1, 1, 1]},
    "end_to_end": {"0": [20, 21, 20], "1": [19, 22, 21]},
}
ALIGNED = {
    "aligned_exchange_in": {"0": [2.5, 2.5, 2.5], "1": [3, 3, 3]},
    "aligned_exchange_out": {"0": [2, 2, 2], "1": [2, 2, 2]},
}
TURNS = {
    "baseline_end_to_end": {"0": [10, 11, 21], "1": [9, 11, 20]},
    "dispatch": {"0": [3, 3, 3], "1": [2, 2, 2]},
    "baseline_dispatch": {"0": [4, 4, 4], "1": [1, 1, 1]},
}


def test_a_negative_residual_says_that_recording_cost_more_than_it_missed():
    samples = SAMPLES | {"end_to_end": {"0": [18, 18, 18], "1": [18, 18, 18]}}
    assert values(samples=samples)["closure_residual"] == pytest.approx((18 - 23.5) / 18)


def test_what_one_rank_loses_between_phases_is_not_hidden_by_the_others_waiting_for_it():
    """Rank 1 loses 10 ms between two phases; rank 0 spends them in its exchange."""
    samples = {phase: {"0": [1], "1": [1]} for phase in ULYSSES}
    samples |= {"exchange_out": {"0": [11], "1": [1]}, "end_to_end": {"0": [17], "1": [17]}}
    assert values(samples=samples)["closure_residual"] == pytest.approx(10 / 17)


def test_each_group_of_a_deployment_waits_for_its_own_last_rank():
    """Two groups at once, the second on a slower link: nobody waits, and the slower transfer counts."""
    case = make_case(heads=16, tp=2, replicas="all")
    samples = {phase: {str(rank): [1] for rank in range(4)} for phase in (*ULYSSES, "end_to_end")}
    samples["exchange_in"] = {"0": [2], "1": [3], "2": [8], "3": [8]}
    found = values(case, samples)
    assert found["transfer"] == pytest.approx(9 * MS)
    assert found["wait"] == pytest.approx(1 * MS)


def test_ranks_are_put_in_order_as_numbers():
    """Groups are neighbours: ranks 10 and 11 belong with 8 and 9, on a slower link, and not with 0 and 1."""
    case = make_case(heads=24, tp=3, ulysses=4, replicas="all")
    samples = {phase: {str(rank): [1] for rank in range(12)} for phase in (*ULYSSES, "end_to_end")}
    samples["exchange_in"] |= {str(rank): [5] for rank in (8, 9, 10, 11)}
    assert values(case, samples)["wait"] == 0


def test_a_kernel_alone_has_no_exchange():
    case = make_case(measure="kernel")
    found = values(case, {"kernel": {"0": [1, 2, 3]}, "end_to_end": {"0": [1, 2, 3]}})
    assert set(found) == {"total", "kernel", "achieved_flops", "tokens_per_s"}
    assert found["kernel"] == found["total"] == pytest.approx(2 * MS)


def test_an_exchange_alone_has_bandwidths_of_its_buffer():
    case = exchange_alone(ulysses=4, exchange_bytes=4096)
    ranks = {"0": [4, 4], "1": [5, 6], "2": [4, 4], "3": [4, 4]}
    found = values(case, {"exchange_in": ranks, "end_to_end": ranks})
    assert set(found) == {"total", "all_to_all", "transfer", "completion", "wait", "algbw", "busbw"}
    assert found["transfer"] == found["all_to_all"] == pytest.approx(4 * MS)
    assert found["wait"] == pytest.approx(1.5 * MS)
    assert found["algbw"] == pytest.approx(4096 / (4 * MS))
    assert found["busbw"] == pytest.approx(4096 * 3 / 4 / (4 * MS))


def test_a_sweep_may_claim_something_of_every_metric():
    assert set(Claim.model_json_schema()["properties"]["metric"]["enum"]) == set(METRICS)


def test_no_interval_reaches_below_zero():
    """One wild sample of three: Student's interval would, and a duration cannot."""
    wild = SAMPLES | {"end_to_end": {rank: [1, 20, 90] for rank in "01"}}
    total = compute(CASE, in_seconds(wild), None, None)["total"]
    assert total["low"] == 0.0
    assert total["high"] > total["value"] == pytest.approx(20 * MS)


def test_series_carry_their_interval_and_all_carry_unit_and_direction():
    found = compute(CASE, in_seconds(SAMPLES), 1e12, 1)
    for name, entry in found.items():
        assert (entry["unit"], entry["better"]) == (METRICS[name].unit, METRICS[name].better)
    kernel = found["kernel"]
    # Student's interval of three.
    reach = 4.302653 * math.sqrt(math.pi / 2 / 3) * statistics.stdev([10, 11, 14]) * MS
    assert kernel["high"] - kernel["value"] == pytest.approx(kernel["value"] - kernel["low"])
    assert kernel["high"] - kernel["value"] == pytest.approx(reach)
    assert (kernel["level"], kernel["scope"]) == (0.95, "within session only")
    assert kernel["count"] == 3
    assert set(kernel["quantiles"]) == {"0.05", "0.25", "0.75", "0.95"}


def test_metrics_are_declared_under_their_names_with_words_of_their_own():
    assert all(name == metric.name for name, metric in METRICS.items())
    assert all(metric.better in ("lower", "higher", "near zero") for metric in METRICS.values())
    assert len({metric.label for metric in METRICS.values()}) == len(METRICS)
    assert all(metric.about for metric in METRICS.values())
