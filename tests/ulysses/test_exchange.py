"""Exchanges on 2, 3 and 4 real ranks: every element in its place, nothing allocated on the way."""

from __future__ import annotations

import itertools

import pytest
import torch

from fiabench import layouts
from fiabench.cases.case import LAYOUTS
from fiabench.measure.positions import check_bare_exchange, check_exchange
from fiabench.ulysses.exchange import BareExchange, Exchange, unsupported
from tests.ulysses.points import exchange_alone, make_case
from tests.ulysses.ranks import run_ranks
from tests.ulysses.test_layout import Calls

GEOMETRIES = {
    "all heads": {},
    "grouped": {"kv_heads": 4},
    "one kv head": {"kv_heads": 1},
    "cross attention": {"seq_len_kv": 36},
    "batch 2": {"batch": 2},
    "cfg-parallel": {"batch": 4, "cfg": 2},
    "tensor parallel": {"heads": 24, "tp": 2},
    "kv heads fewer than tensor parallel ranks": {"heads": 48, "kv_heads": 2, "tp": 4},
    "padded heads": {"heads": 7},
    "padded heads, grouped": {"heads": 14, "kv_heads": 7, "batch": 2},
    "padded tokens": {"seq_len_q": 25, "seq_len_kv": 35, "heads": 5},
    "ranks of padding alone": {"seq_len_q": 5, "seq_len_kv": 1},
}
VARIANTS = [
    (*variant, ("fp16", "bf16", "fp32")[index % 3])
    for index, variant in enumerate(itertools.product(["separate", "packed"], LAYOUTS))
]


def cases_on(ranks: int):
    """Every geometry on ``ranks`` ranks, in every layout, by name."""
    for name, geometry in GEOMETRIES.items():
        changes = geometry
        if ranks == 3 and changes.get("kv_heads") == 4:
            changes = changes | {"heads": 12, "kv_heads": 6}
        for exchange, order, dtype in VARIANTS:
            case = make_case(**changes, ulysses=ranks, exchange=exchange, layout=order, dtype=dtype)
            yield f"{name}, {exchange} {order} {dtype}", case
    for order in ("BNSD", "BNSD_BSND", "BNSD_NBSD", "NTD_TND"):
        for name, geometry in {"plain": {}, "padded": {"heads": 7, "seq_len_q": 25}}.items():
            yield f"strided {order}, {name}", make_case(**geometry, ulysses=ranks, inputs="strided", layout=order)


def check_all(groups, device, cases, ulysses):
    group = groups.ulysses(ulysses)
    where = device.torch_device
    wrong = {}
    for name, case in cases:
        exchange = Exchange(case, group, where)
        wrong[name] = check_exchange(case, exchange, groups.rank % case.sequence_ranks, where)
        for tensor in (exchange.query, exchange.key, exchange.value):
            strided = case.inputs == "strided" and tensor.size(1) > 1 and case.heads_per_rank > 1
            assert tensor.is_contiguous() != strided, name
    return wrong


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_every_element_arrives(ranks):
    cases = list(cases_on(ranks))
    for answer in run_ranks(ranks, check_all, cases, ranks):
        assert len(answer) == len(cases)
        assert {name: wrong for name, wrong in answer.items() if wrong} == {}


def test_every_element_arrives_in_the_groups_of_a_ring():
    """Each Ulysses group gathers its own chunk of the sequence."""
    cases = [
        (order, make_case(ulysses=2, ring=2, layout=order, seq_len_q=26, heads=7, dtype="bf16")) for order in LAYOUTS
    ]
    for answer in run_ranks(4, check_all, cases, 2):
        assert answer == dict.fromkeys(LAYOUTS, "")


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
    attention = torch.zeros(
        layouts.shape(LAYOUTS[case.layout].output, case.batch, case.seq_len_q, case.heads_per_rank, case.head_dim)
    )
    exchange.pack_out(attention)  # the buffer to send from is made when it is first needed
    phases = {
        "pack_in": lambda: exchange.pack_in(query, key, key),
        "unpack_in": exchange.unpack_in,
        "pack_out": lambda: exchange.pack_out(attention),
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
    """Where tokens are the outermost axis (one kv head, too), what arrives is as the operator wants it, and its output
    as it is sent."""
    unpacked_and_packed = {
        ("BNSD", "separate"): (3, 1),
        ("BNSD_BSND", "separate"): (3, 0),
        ("BSND", "packed"): (3, 0),
        ("BSND", "separate"): (0, 0),
        ("BSH", "separate"): (0, 0),
        ("TND", "separate"): (0, 0),
        ("NTD_TND", "separate"): (3, 0),
    }
    cases = [make_case(layout=order, exchange=exchange) for order, exchange in unpacked_and_packed]
    cases += [make_case(kv_heads=1), make_case(batch=2, layout="BSND"), make_case(inputs="strided")]
    answers, _ = run_ranks(2, operations_of_each, cases)
    for (unpacked, packed), answer in zip([*unpacked_and_packed.values(), (1, 1), (3, 1), (0, 1)], answers):
        wanted = {"pack_in": 3, "unpack_in": unpacked, "pack_out": packed, "unpack_out": 1}
        assert answer == {phase: count * ["copy_.default"] for phase, count in wanted.items()}


STRIDED = {"inputs": "strided"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (STRIDED | {"layout": "BSND"}, "heads arrive contiguous in layout BSND"),
        (STRIDED | {"layout": "BSH"}, "no view of the other order of tokens and heads in layout BSH"),
        (STRIDED | {"exchange": "packed"}, "packed with batch 1 a rank leaves no view"),
        (STRIDED | {"batch": 2}, "separate with batch 2 a rank leaves no view"),
        (STRIDED | {"ring": 2}, "a ring passes contiguous keys and values on"),
        (STRIDED | {"measure": "kernel", "layout": "BSH"}, "no view of the other order"),
        (STRIDED | {"exchange": "theirs", "batch": 2, "layout": "NTD_TND"}, "no view of packed sequences"),
        ({"exchange": "theirs", "ring": 2}, "only fiabench's own exchanges are measured in a ring"),
        ({"exchange": "theirs", "heads": 7}, "7 query and 7 kv heads on ulysses 2 would be padded or replicated"),
        ({"exchange": "theirs", "kv_heads": 1}, "8 query and 1 kv heads on ulysses 2 would be padded or replicated"),
    ],
)
def test_what_cannot_be_handed_on_is_said_beforehand(changes, words):
    assert words in unsupported(make_case(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        STRIDED,
        STRIDED | {"batch": 2, "cfg": 2},
        STRIDED | {"measure": "kernel", "layout": "BSND", "batch": 2},
        STRIDED | {"measure": "kernel", "layout": "TND", "batch": 2},
        STRIDED | {"exchange": "theirs", "batch": 2},
        {"exchange": "theirs", "kv_heads": 2},
        {"heads": 7, "seq_len_q": 25, "ring": 3},
    ],
)
def test_what_can_be_handed_on_is_not_refused(changes):
    assert unsupported(make_case(**changes)) is None


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
