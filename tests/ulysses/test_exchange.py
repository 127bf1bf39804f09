"""Exchanges on 2, 3 and 4 real ranks: every element in its place, nothing allocated on the way."""

from __future__ import annotations

import itertools

import pytest
import torch

from fiabench.measure.check import check_bare_exchange, check_exchange
from fiabench.ulysses.exchange import BareExchange, Exchange
from tests.ulysses.points import exchange_alone, make_case
from tests.ulysses.ranks import run_ranks
from tests.ulysses.test_layout import Calls

GEOMETRIES = {
    "all heads": {},
    "grouped": {"kv_heads": 4},
    "one kv head": {"kv_heads": 1},
    "cross attention": {"seq_len_kv": 36},
    "batch 2": {"batch": 2},
    "tensor parallel": {"heads": 24, "tp": 2},
    "kv heads fewer than tensor parallel ranks": {"heads": 48, "kv_heads": 2, "tp": 4},
}
VARIANTS = list(itertools.product(["separate", "packed"], ["BNSD", "BSND"], ["fp16", "bf16", "fp32"]))


def cases_on(ranks: int):
    """Every geometry that ``ranks`` divide, in every variant, by name."""
    sizes = {2: {}, 3: {"heads": 12}, 4: {}}[ranks]
    for name, geometry in GEOMETRIES.items():
        changes = sizes | geometry
        if ranks == 3 and changes.get("kv_heads") == 4:
            changes["kv_heads"] = 6
        for exchange, layout, dtype in VARIANTS:
            case = make_case(**changes, ulysses=ranks, exchange=exchange, layout=layout, dtype=dtype)
            yield f"{name}, {exchange} {layout} {dtype}", case


def check_all(groups, device, cases):
    group = groups.ulysses(groups.world_size)
    return {name: check_exchange(case, Exchange(case, group, device.torch_device), groups.rank) for name, case in cases}


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_every_element_arrives(ranks):
    cases = list(cases_on(ranks))
    for answer in run_ranks(ranks, check_all, cases):
        assert len(answer) == len(cases)
        assert {name: wrong for name, wrong in answer.items() if wrong} == {}


def whose_kv(groups, device, case):
    """The kv head that this rank's kernel gets, by the values it finds there."""
    exchange = Exchange(case, groups.ulysses(groups.world_size), device.torch_device)
    tokens = case.seq_len_q // case.ulysses
    query = torch.zeros(1, tokens, case.heads, case.head_dim)
    key = torch.arange(float(case.kv_heads)).view(1, 1, -1, 1).expand(1, tokens, -1, case.head_dim).contiguous()
    exchange.pack_in(query, key, -key)
    exchange.exchange_in()
    exchange.unpack_in()
    assert torch.equal(exchange.key, -exchange.value)
    return exchange.key.unique().tolist()


def test_replicated_kv_heads_go_to_the_ranks_whose_query_heads_use_them():
    """8 query heads over 2 kv heads: ranks 0 and 1 hold query heads 0 to 3, which use kv head 0."""
    assert run_ranks(4, whose_kv, make_case(ulysses=4, kv_heads=2)) == [[0], [0], [1], [1]]


def operations(groups, device, case):
    """The operations that move or make data in one iteration's local phases."""
    exchange = Exchange(case, groups.ulysses(groups.world_size), device.torch_device)
    tokens = case.seq_len_q // case.ulysses
    query = torch.zeros(case.batch, tokens, case.heads, case.head_dim)
    key = torch.zeros(case.batch, tokens, case.kv_heads, case.head_dim)
    phases = {
        "pack_in": lambda: exchange.pack_in(query, key, key),
        "unpack_in": exchange.unpack_in,
        "pack_out": lambda: exchange.pack_out(exchange.query),
        "unpack_out": exchange.unpack_out,
    }
    names = {}
    if groups.rank:  # noting costs seconds of imports, and the ranks are alike
        return names
    for phase, call in phases.items():
        with Calls() as calls:
            call()
        names[phase] = calls.names
    return names


def operations_of_each(groups, device, cases):
    return [operations(groups, device, case) for case in cases]


def test_an_iteration_copies_what_it_must_and_allocates_nothing():
    """BSND with a batch of one, exchanged apart, arrives as the kernel wants it: nothing is left to unpack."""
    unpacked = {("BNSD", "separate"): 3, ("BSND", "packed"): 3, ("BSND", "separate"): 0}
    cases = [make_case(layout=layout, exchange=exchange) for layout, exchange in unpacked]
    answers, _ = run_ranks(2, operations_of_each, cases)
    for copies, answer in zip(unpacked.values(), answers):
        wanted = {"pack_in": 3, "unpack_in": copies, "pack_out": 1, "unpack_out": 1}
        assert answer == {phase: count * ["copy_.default"] for phase, count in wanted.items()}


def bare(groups, device, case, fault):
    exchange = BareExchange(case, groups.ulysses(groups.world_size), device.torch_device)
    send = exchange.exchange_in

    def faulty():
        if fault != "skipped":
            send()
        if fault == "swapped":
            exchange.received[[0, 1]] = exchange.received[[1, 0]]
        if fault == "zeros beyond two ranks":
            exchange.received[2:] = 0

    exchange.exchange_in = faulty
    return check_bare_exchange(exchange, groups.rank)


@pytest.mark.parametrize("dtype", ["bf16", "fp32"])
def test_a_bare_exchange_is_exact(dtype):
    assert run_ranks(3, bare, exchange_alone(ulysses=3, dtype=dtype, heads=12), None) == 3 * [""]


@pytest.mark.parametrize(
    ("fault", "ranks_named"), [("skipped", [0, 1, 2]), ("swapped", [0, 1]), ("zeros beyond two ranks", [2])]
)
def test_a_faulty_bare_exchange_is_named(fault, ranks_named):
    for wrong in run_ranks(3, bare, exchange_alone(ulysses=3, heads=12), fault):
        named = [rank for rank in range(3) if f"from rank {rank} out of place" in wrong]
        assert named == ranks_named
