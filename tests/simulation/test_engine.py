"""The real engine on the simulated device: what comes out is what was put in."""

from __future__ import annotations

import time
from statistics import median

import numpy as np
import pytest

from fiabench.cases import costs
from fiabench.simulation import model
from fiabench.simulation.assemble import SimulatedOutOfMemory
from fiabench.simulation.predict import predict
from tests.simulation.simulated import USUAL, merged, simulate, spec
from tests.ulysses.points import make_case

KERNEL = make_case(measure="kernel", exchange="none", heads=1, head_dim=128, seq_len_q=8192, seq_len_kv=8192,
                   dtype="bf16", ulysses=1)  # fmt: skip
ULYSSES = make_case(heads=8, head_dim=128, seq_len_q=8192, seq_len_kv=8192, ulysses=4, dtype="bf16")


def test_without_noise_every_metric_is_the_models_arithmetic():
    result = merged(ULYSSES, simulate(ULYSSES))
    predicted = predict(ULYSSES, spec())
    assert result.status == "ok"
    steps = {step.phase: step.seconds for step in model.schedule(ULYSSES, spec(), 0)}
    assert result.value("total") == pytest.approx(predicted.total)
    assert result.value("kernel") == pytest.approx(steps["kernel"]) == pytest.approx(predicted.kernel)
    assert result.value("transfer") == pytest.approx(steps["exchange_in"] + steps["exchange_out"])
    assert result.value("transfer_natural") == pytest.approx(result.value("transfer"))
    assert result.value("completion") == pytest.approx(result.value("transfer"))
    assert result.value("exposed") == pytest.approx(predicted.total - predicted.kernel)
    assert result.value("all_to_all") == pytest.approx(predicted.all_to_all)
    assert result.value("wait") == pytest.approx(0, abs=1e-12)
    assert result.value("closure_residual") == pytest.approx(0, abs=1e-9)
    assert result.value("mfu") == pytest.approx(costs.kernel_flops(ULYSSES) / steps["kernel"] / 100e12)
    assert result.value("busbw") == pytest.approx(costs.wire_bytes(ULYSSES) / result.value("transfer"))
    assert result.check == {"passed": True, "simulated": True}
    assert result.timing["simulated"] is True


@pytest.mark.parametrize(
    "changes",
    [
        {"ulysses": 2, "exchange": "packed"},
        {"ulysses": 2, "ring": 2},
        {"ulysses": 1, "ring": 4, "exchange": "none"},
        {"ulysses": 2, "ring": 4, "mask": "causal"},
        {"ulysses": 8, "layout": "TND", "kv_heads": 2},
        {"measure": "exchange", "op": "none", "exchange": "none", "exchange_bytes": 2**22},
    ],
    ids=str,
)
def test_what_is_predicted_is_what_a_run_gives(changes):
    case = make_case(
        **({"heads": 8, "head_dim": 128, "seq_len_q": 8192, "seq_len_kv": 8192, "dtype": "bf16"} | changes)
    )
    assert merged(case, simulate(case)).value("total") == pytest.approx(predict(case, spec()).total)


@pytest.mark.parametrize("shape", ["gaussian:0.01", "t3:0.01", "bimodal:0.05:0.3"])
def test_planted_noise_leaves_the_median_where_it_was(shape):
    truth = predict(KERNEL, spec()).total
    found = [merged(KERNEL, simulate(KERNEL, f"noise={shape}", seed=seed)).value("total") for seed in range(20)]
    assert median(found) == pytest.approx(truth, rel=0.002)
    if not shape.startswith("bimodal"):
        assert len(set(found)) == 20


def test_the_same_seed_gives_the_same_samples_and_another_seed_or_session_others():
    plants = ("noise=gaussian:0.01", "slow-rank=2:1.05", "session=0.003")
    first, again = (simulate(ULYSSES, *plants, seed=7) for _ in range(2))
    assert [outcome.samples for outcome in first] == [outcome.samples for outcome in again]
    for other in (simulate(ULYSSES, *plants, seed=8), simulate(ULYSSES, *plants, seed=7, session=1)):
        assert first[0].samples != other[0].samples


@pytest.mark.parametrize("delay", [0.0, 0.001, 0.002, 0.005])
def test_a_delay_of_one_rank_comes_back_as_wait_and_not_as_transfer(delay):
    result, calm = merged(ULYSSES, simulate(ULYSSES, f"delay=1:{delay}")), merged(ULYSSES, simulate(ULYSSES))
    assert result.value("wait") == pytest.approx(delay, abs=2e-6)
    assert result.value("transfer") == pytest.approx(calm.value("transfer"), rel=1e-6)
    assert result.value("kernel") == pytest.approx(calm.value("kernel"), rel=1e-6)
    assert result.value("all_to_all") == pytest.approx(calm.value("all_to_all"), rel=1e-6)


def test_a_slow_rank_shows_in_its_kernel_and_as_the_others_wait():
    outcomes, calm = simulate(ULYSSES, "slow-rank=3:1.05"), predict(ULYSSES, spec()).kernel
    kernels = [median(outcome.samples["kernel"]) for outcome in outcomes]
    assert kernels == pytest.approx([calm, calm, calm, 1.05 * calm])
    result = merged(ULYSSES, outcomes)
    assert result.value("wait") > 0.04 * calm
    assert result.value("transfer") == pytest.approx(merged(ULYSSES, simulate(ULYSSES)).value("transfer"), rel=1e-6)


def test_drift_and_throttling_lie_in_the_order_of_the_samples():
    many = USUAL.__class__(**{**vars(USUAL), "half_width": 1e-9, "max_samples": 100})
    (drifting,) = simulate(KERNEL, "drift=0.05:0.1", stopping=many)
    series = np.array(drifting.samples["kernel"])
    assert (np.diff(series) > 0).all()
    launches = drifting.timing["launches_per_sample"]
    assert launches == 4, "of 500 us, so that a sample lasts 2 ms"
    assert series[-1] / series[0] == pytest.approx(1 + 0.5 * launches * series.sum(), rel=0.05)
    (throttled,) = simulate(KERNEL, "throttle=0.03:1.1", "noise=gaussian:0.0001", stopping=many)
    series = np.array(throttled.samples["kernel"])
    levels = np.round(series / series[0], 2)
    assert {1.0, 1.1} <= set(levels)
    assert np.count_nonzero((levels != 1.0) & (levels != 1.1)) <= 1, "the sample during which it begins"
    clocks = throttled.timing["sensors"]["clock_mhz"]
    assert (clocks[0], clocks[-1]) == (1000.0, pytest.approx(1000 / 1.1))
    assert np.argmax(series > 1.05 * series[0]) > 5
    assert (series[np.argmax(series > 1.05 * series[0]) :] > 1.05 * series[0]).all(), "from that moment on"


def test_a_session_has_a_level_of_its_own():
    levels = {
        round(simulate(KERNEL, "session=0.01", session=session)[0].samples["kernel"][0], 9) for session in range(5)
    }
    assert len(levels) == 5
    assert np.std(list(levels)) / np.mean(list(levels)) < 0.03


def test_a_wrong_result_on_one_rank_is_the_cases_status():
    outcomes = simulate(ULYSSES, "wrong=1")
    assert {outcome.status for outcome in outcomes} == {"wrong"}
    assert [bool(outcome.reason) for outcome in outcomes] == [False, True, False, False]
    assert outcomes[0].samples == {}


def test_running_out_of_memory_ends_the_ranks_that_would_wait():
    with pytest.raises(SimulatedOutOfMemory, match="planted on rank 2"):
        simulate(ULYSSES, "oom=2")
    assert simulate(ULYSSES, "oom=2@ulysses=8")[0].status == "ok", "planted into other cases"


SHORT = make_case(**(KERNEL.as_dict() | {"seq_len_q": 1024, "seq_len_kv": 1024}))
"""Takes 20 us."""


@pytest.mark.parametrize(
    ("case", "launch", "method", "launches"),
    [
        (KERNEL, 400.0, "graph", 4),
        (KERNEL, 100.0, "batched", 4),
        (SHORT, 400.0, "graph", 100),
        (SHORT, 5.0, "batched", 100),
    ],
)
def test_a_host_that_is_slower_than_the_kernel_does_not_show_in_its_duration(case, launch, method, launches):
    slow_host = spec(launch={"microseconds": launch})
    result = merged(case, simulate(case, of=slow_host), slow_host)
    assert result.value("total") == pytest.approx(model.kernel_seconds(slow_host, case))
    assert (result.timing["method"], result.timing["launches_per_sample"]) == (method, launches)
    assert result.timing["host_bound"] is False
    assert result.value("dispatch") == pytest.approx(launch * 1e-6)


def test_phases_shorter_than_their_launches_are_queued_behind_a_busy_device():
    slow_host = spec(launch={"microseconds": 2000.0})
    result, quick = merged(ULYSSES, simulate(ULYSSES, of=slow_host), slow_host), merged(ULYSSES, simulate(ULYSSES))
    for metric in ("total", "kernel", "transfer", "all_to_all", "wait"):
        assert result.value(metric) == pytest.approx(quick.value(metric), abs=1e-12)
    assert result.value("dispatch") == pytest.approx(7 * 2000e-6)
    assert result.timing["host_bound"] is False


def test_what_the_model_does_not_know_is_not_simulated():
    case = ULYSSES._replace(against="sdpa")
    assert simulate(case)[0].status == "unsupported"
    assert "cold cache" in simulate(ULYSSES._replace(cache="cold"))[0].reason
    fp32 = ULYSSES._replace(dtype="fp32")
    assert "fp32" in simulate(fp32)[0].reason


def test_caps_run_in_virtual_time():
    """Iterations of minutes, of which the cap lets few pass, take no time."""
    long = make_case(
        **(KERNEL.as_dict() | {"heads": 64, "heads_per_rank": 64, "seq_len_q": 2**20, "seq_len_kv": 2**20})
    )
    began = time.process_time()
    (outcome,) = simulate(long, "noise=gaussian:0.2")
    assert sum(outcome.samples["end_to_end"]) > 60
    assert time.process_time() - began < 30
    assert len(outcome.samples["end_to_end"]) == 3


def test_sixty_four_ranks():
    case = make_case(heads=40, head_dim=128, seq_len_q=25600, seq_len_kv=25600, ulysses=8, ring=8, dtype="bf16")
    outcomes = simulate(case, "noise=gaussian:0.005")
    assert len(outcomes) == 64
    assert {outcome.status for outcome in outcomes} == {"ok"}
    assert len({len(outcome.samples["kernel"]) for outcome in outcomes}) == 1
