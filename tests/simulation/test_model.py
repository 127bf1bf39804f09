"""The model against sums done by hand on round numbers."""

from __future__ import annotations

import pytest

from fiabench.cases import costs
from fiabench.simulation import model
from fiabench.simulation.model import Exchange, Work
from fiabench.simulation.spec import load_spec
from tests.simulation.simulated import spec
from tests.ulysses.points import make_case

MEGABYTE = 10**6


def seconds(case, of=None):
    return model.kernel_seconds(of or spec(), case)


def kernel(**changes):
    usual = {"measure": "kernel", "head_dim": 128, "dtype": "bf16", "heads": 1, "kv_heads": 1, "ulysses": 1}
    return make_case(**(usual | changes))


@pytest.mark.parametrize("device", ["sim:910b3", "sim:a3-die", "sim:h100"])
def test_a_kernel_takes_what_the_published_call_took(device):
    """Where the device is the one that was measured; 910B3 has another peak than the 910B2 of its anchors."""
    described = load_spec(device)
    for anchor in described.kernel.anchors:
        case = kernel(heads=anchor.heads, kv_heads=anchor.heads, seq_len_q=anchor.tokens, seq_len_kv=anchor.tokens)
        scale = described.kernel.peak_tflops / described.peak.tflops["bf16"]
        assert 1 - 1e-9 <= seconds(case, described) / (anchor.microseconds * 1e-6) <= scale + 1e-9


def test_the_share_of_the_peak_grows_up_to_the_largest_call_and_stays():
    shares = [
        costs.kernel_flops(case) / seconds(case) / 100e12
        for case in (kernel(seq_len_q=tokens, seq_len_kv=tokens) for tokens in (1024, 2048, 4096, 8192, 16384, 32768))
    ]
    assert shares[:4] == sorted(shares[:4])
    assert shares[3:] == pytest.approx([4 * 8192**2 * 128 / 500e-6 / 100e12] * 3)


def test_work_counts_and_not_the_length():
    """Four heads of half the length are as much as one of the whole."""
    of = [kernel(seq_len_q=4096, seq_len_kv=4096), kernel(seq_len_q=2048, seq_len_kv=2048, heads=4, kv_heads=4)]
    assert seconds(of[0]) == pytest.approx(seconds(of[1]))


def test_decoding_takes_what_reading_the_cache_takes():
    case = kernel(heads=8, kv_heads=8, seq_len_q=1, seq_len_kv=131072, batch=4)
    assert seconds(case) == pytest.approx(costs.kernel_min_bytes(case) / 1e12)


@pytest.mark.parametrize(
    ("changes", "ranks", "expected"),
    [
        # Each of 4 parts of 1 MB over its own link of 10 GB/s.
        ({}, (0, 1, 2, 3), 10e-6 + 1e6 / 10e9),
        # The same over two links only, with parts of 2 MB.
        ({}, (0, 1), 10e-6 + 2e6 / 10e9),
        # Three parts one after the other through the switch.
        ({"node": {"links": "switch"}}, (0, 1, 2, 3), 10e-6 + 3e6 / 30e9),
        # Four parts of half a MB leave the node at 5 GB/s, which takes longer than those within.
        ({}, tuple(range(8)), 50e-6 + 4 * 0.5e6 / 5e9),
        # One of three is alone on its node.
        ({}, (2, 3, 4), 50e-6 + 2 * 4e6 / 3 / 5e9),
    ],
)
def test_an_all_to_all_takes_the_way_that_its_topology_gives(changes, ranks, expected):
    assert model.all_to_all_seconds(spec(**changes), ranks, 4 * MEGABYTE) == pytest.approx(expected)


def test_a_small_buffer_costs_a_latency_a_round():
    buffer = {"mb": 1.0, "beyond": "rounds", "source": "a test"}
    small, whole = spec(buffer=buffer), spec()
    size = 3 * 2**20
    more = model.all_to_all_seconds(small, (0, 1), size) - model.all_to_all_seconds(whole, (0, 1), size)
    assert more == pytest.approx(2 * 10e-6)


def test_a_device_can_refuse_what_its_buffer_does_not_hold():
    case = make_case(heads=8, head_dim=64, seq_len_q=4096, seq_len_kv=4096, ulysses=2, exchange="packed", dtype="bf16")
    strict = spec(buffer={"mb": 1.0, "beyond": "refuse", "source": "a test"})
    assert "buffer: exchanges 6 MiB at once" in model.unsupported(case, strict)
    assert model.unsupported(case, spec()) == ""


def test_a_ring_goes_at_the_pace_of_its_slowest_link():
    assert model.pass_on_seconds(spec(), (0, 1, 2), MEGABYTE) == pytest.approx(10e-6 + 1e6 / 10e9)
    assert model.pass_on_seconds(spec(), (0, 2, 4), MEGABYTE) == pytest.approx(50e-6 + 1e6 / 5e9)


@pytest.mark.parametrize("exchange", ["separate", "packed"])
def test_a_schedule_moves_the_bytes_that_the_case_exchanges(exchange):
    case = make_case(heads=8, kv_heads=2, head_dim=64, seq_len_q=512, seq_len_kv=1024, ulysses=4, exchange=exchange,
                     dtype="bf16")  # fmt: skip
    plain = spec(node={"microseconds": 0.0})
    steps = model.schedule(case, plain, 1)
    exchanged = sum(step.seconds for step in steps if isinstance(step, Exchange))
    assert exchanged == pytest.approx(costs.exchanged_bytes(case) / 4 / 10e9)
    latencies = sum(step.seconds for step in model.schedule(case, spec(), 1) if isinstance(step, Exchange)) - exchanged
    assert latencies == pytest.approx((4 if exchange == "separate" else 2) * 10e-6)
    copied = sum(step.seconds for step in steps if isinstance(step, Work) and step.phase != "kernel")
    assert copied == pytest.approx(2 * 2 * costs.exchanged_bytes(case) / 1e12)


def test_every_rank_of_a_causal_ring_has_the_same_phases_and_its_own_kernels():
    case = make_case(heads=4, head_dim=64, seq_len_q=4096, seq_len_kv=4096, ulysses=1, ring=4, mask="causal",
                     dtype="bf16", exchange="none")  # fmt: skip
    schedules = [model.schedule(case, spec(), rank) for rank in range(4)]
    assert len({tuple(step.phase for step in steps) for steps in schedules}) == 1
    kernels = [sum(step.seconds for step in steps if step.phase == "kernel") for steps in schedules]
    assert kernels == sorted(kernels)
    assert kernels[3] > 2 * kernels[0], "the last sees four blocks, the first its own"


def test_groups_are_neighbours_and_rings_go_across():
    case = make_case(heads=8, ulysses=2, ring=2)
    assert [model.ulysses_group(case, rank) for rank in (0, 3, 5)] == [(0, 1), (2, 3), (4, 5)]
    assert [model.ring_group(case, rank) for rank in (0, 3, 5)] == [(0, 2), (1, 3), (5, 7)]
