"""The correctness gate on real ranks: what is right passes, and each planted fault is `wrong`, with a reason that
names it. A fault that stayed unseen would publish the latency of something that is no attention.
"""

from __future__ import annotations

import itertools
import re

import pytest
import torch

from fiabench import ops
from fiabench.cases import costs
from fiabench.measure import positions
from fiabench.measure.build import build
from fiabench.measure.check import check_attention, sample_rows
from fiabench.measure.one import measure
from fiabench.measure.sampling import Stopping
from fiabench.ulysses import ring as rings
from fiabench.ulysses.exchange import TORCH_DTYPES, BareExchange, Exchange
from fiabench.ulysses.merge import Merge
from fiabench.ulysses.ring import pass_on
from tests.ulysses.points import exchange_alone, make_case
from tests.ulysses.ranks import run_ranks

SHORT = Stopping(half_width=10.0, min_samples=2, max_samples=2, max_seconds=20.0, warmup_max_seconds=0.0)


def outcomes(groups, device, cases):
    results = {}
    for name, case in cases:
        outcome = measure(case, device, groups, SHORT, {})
        results[name] = (outcome.status, outcome.reason, outcome.check, list(outcome.samples))
    return results


def variants(ranks):
    geometries = {
        "grouped": {"kv_heads": ranks},
        "one kv head": {"kv_heads": 1, "batch": 2},
        "cross attention": {"seq_len_kv": 36},
    }
    heads = 12 if ranks == 3 else 8
    kinds = (
        ("fia", "fp16", "separate", "BNSD"),
        ("fia", "bf16", "packed", "BSND"),
        ("sdpa", "fp32", "separate", "BSND"),
        ("sdpa", "fp16", "packed", "BNSD"),
    )
    for name, (op, dtype, exchange, layout), mask in itertools.product(geometries, kinds, ("none", "causal")):
        fields = {"heads": heads, "op": op, "dtype": dtype, "exchange": exchange, "layout": layout, "mask": mask}
        yield f"{name} {fields}", make_case(ulysses=ranks, **fields, **geometries[name])
    padded = {"heads": 7, "seq_len_q": 25, "batch": 2, "cfg": 2}
    yield "padded", make_case(ulysses=ranks, **padded)
    yield (
        "padded, fia",
        make_case(ulysses=ranks, **padded, op="fia", layout="BSH", dtype="bf16", mask="causal_top_left"),
    )


@pytest.mark.parametrize("ranks", [*(pytest.param(few, marks=pytest.mark.long) for few in (2, 3)), 4])
def test_what_is_right_passes(ranks):
    cases = list(variants(ranks))
    for answer in run_ranks(ranks, outcomes, cases):
        assert len(answer) == len(cases)
        for name, (status, _, outcome, phases) in answer.items():
            assert status in ("ok", "unsettled"), name
            assert (outcome["passed"], outcome["exchange"]) == (True, "exact"), name
            assert 0 < outcome["max_error"] <= outcome["tolerance"], name
            assert len(phases) == 10, name


def test_a_ring_that_is_right_passes_on_ranks_that_see_little_too():
    cases = [
        (f"{ulysses} x {ring} {changes}", make_case(ulysses=ulysses, ring=ring, op="fia", dtype="bf16", **changes))
        for ulysses, ring in ((1, 4), (2, 2))
        for changes in ({}, {"mask": "causal"}, {"mask": "causal", "seq_len_q": 32, "seq_len_kv": 16}, {"seq_len_q": 5})
    ]
    for answer in run_ranks(4, outcomes, cases):
        for name, (status, reason, outcome, phases) in answer.items():
            assert status in ("ok", "unsettled"), (name, reason)
            assert (outcome["passed"], outcome["exchange"]) == (True, "exact"), name
            phases = {phase for phase in phases if not phase.startswith("aligned_")}
            exchanged = {"pack_in", "exchange_in", "unpack_in", "pack_out", "exchange_out", "unpack_out"}
            assert set(phases) - exchanged == {"kernel", "merge", "ring_exchange", "end_to_end"}, name
            assert (exchanged & set(phases) == exchanged) == name.startswith("2"), name


def test_a_bare_exchange_says_exact():
    case = exchange_alone(ulysses=3, heads=12)
    for status, _, outcome, phases in (answer["bare"] for answer in run_ranks(3, outcomes, [("bare", case)])):
        assert status in ("ok", "unsettled")
        assert outcome == {"passed": True, "exchange": "exact"}
        assert set(phases) == {"exchange_in", "end_to_end"}


def test_every_group_of_a_deployment_is_checked():
    cases = [
        ("ulysses", make_case(heads=16, tp=2, replicas="all")),
        ("bare", exchange_alone(heads=16, tp=2, replicas="all")),
        ("alone", make_case(heads=16, tp=4, ulysses=1, replicas="all")),
        ("cfg-parallel", make_case(batch=2, cfg=2, replicas="all")),
        ("ring", make_case(heads=16, tp=2, ulysses=1, ring=2, replicas="all", mask="causal")),
    ]
    for answer in run_ranks(4, outcomes, cases):
        for name, (status, reason, outcome, _) in answer.items():
            assert status in ("ok", "unsettled"), (name, reason)
            assert outcome["passed"], name


# --- Faults, planted in the rank's own process. Each takes the rank and breaks something there.


def swapped_slabs(rank):
    def swap(exchange):
        for slot in exchange._slots.values():
            slot.received[[0, 1]] = slot.received[[1, 0]]

    _after(Exchange, "exchange_in", swap)


def swapped_slabs_back(rank):
    def swap(exchange):
        exchange._wire_out[[0, 1]] = exchange._wire_out[[1, 0]]

    _after(Exchange, "exchange_out", swap)


def zeros_beyond_two_ranks(rank):
    def zero(exchange):
        for slot in exchange._slots.values():
            slot.received[2:] = 0

    _after(Exchange, "exchange_in", zero)


def padded_heads_not_zeroed(rank):
    _after(Exchange, "pack_in", lambda exchange: exchange._slots["key"].send[1, :, :, -1].fill_(1))


def real_heads_lost_with_the_padding(rank):
    _after(Exchange, "unpack_out", lambda exchange: exchange.out[:, :, -1].zero_())


def padded_keys_seen(rank):
    _prepare(lambda prepared, case, *tensors: prepared(case._replace(seq_len_kv=tensors[1].size(2)), *tensors))


def passed_on_to_the_former(rank):
    _around(lambda tensors, received: ([tensor.flip(-1) for tensor in tensors], received))


def keys_and_values_swapped_on_the_way(rank):
    _around(lambda tensors, received: (tensors, received[::-1]))


def one_block_passed_on_twice(rank):
    """In the second exchange each rank sends its own block again."""
    original = rings.Ring.exchange
    rings.Ring.exchange = lambda self, step: (
        original(self, step) if step == 0 else pass_on(self.held[0], self.held[step + 1], self._group)
    )


def outputs_averaged(rank):
    original = Merge.add
    Merge.add = lambda self, output, lse, rows: original(self, output, torch.zeros_like(lse), rows)


def rows_without_keys_counted(rank):
    """Their log-sum-exp taken as the operator gives it, 0 in torch's CPU kernel."""
    original = Merge.add
    Merge.add = lambda self, output, lse, rows: original(
        self, output, lse.masked_fill(lse.isinf(), 0.0), slice(0, rows.stop)
    )


def last_block_not_merged(rank):
    calls = itertools.count()
    original = Merge.add
    Merge.add = lambda self, *part: original(self, *part) if next(calls) < 1 else None


def heads_off_by_one(rank):
    original = Exchange.pack_in

    def pack_in(self, query, key, value):
        original(self, query, key.roll(1, 2), value)

    Exchange.pack_in = pack_in


def tokens_off_by_one_on_rank_1(rank):
    if rank == 1:
        _after(Exchange, "unpack_in", lambda exchange: exchange.value.copy_(exchange.value.roll(1, -2)))


def no_exchange_in(rank):
    Exchange.exchange_in = lambda self: None


def no_exchange_out(rank):
    Exchange.exchange_out = lambda self: None


def no_exchange_out_after_the_exchanges_check(rank):
    """What arrived in the former iteration must not pass for this one's."""
    calls = itertools.count()
    original = Exchange.exchange_out
    Exchange.exchange_out = lambda self: original(self) if next(calls) < 1 else None


def no_unpack_out_after_the_exchanges_check(rank):
    calls = itertools.count()
    original = Exchange.unpack_out
    Exchange.unpack_out = lambda self: original(self) if next(calls) < 1 else None


def no_unpack_in(rank):
    Exchange.unpack_in = lambda self: None


def wrong_head_grouping(rank):
    """Query head h uses kv head h % 2, where h // 2 is right; every shape is as it should be."""

    def prepare(prepared, case, query, key, value):
        axis = 1 if case.layout == "BNSD" else 2
        order = torch.arange(query.size(axis)).view(2, -1).T.flatten()
        return lambda: prepared(case, query.index_select(axis, order), key, value)().index_select(axis, order.argsort())

    _prepare(prepare)


def causal_mask_dropped(rank):
    _prepare(lambda prepared, case, *tensors: prepared(case._replace(mask="none"), *tensors))


def causal_mask_aligned_to_the_top_left(rank):
    def prepare(prepared, case, query, key, value):
        def launch():
            return torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)

        return launch

    _prepare(prepare)


def scale_forgotten(rank):
    _prepare(lambda prepared, case, query, key, value: lambda: prepared(case, query * case.head_dim**0.5, key, value)())


def nan_output(rank):
    _output(lambda output: output.index_fill(-1, torch.tensor([3]), torch.nan))


def one_nan_on_the_last_rank(rank):
    if rank == 1:
        _output(lambda output: output.index_fill(2, torch.tensor([output.size(2) - 1]), torch.nan))


def output_never_written(rank):
    _output(lambda output: torch.full_like(output, torch.nan))


def heads_of_the_output_rolled(rank):
    _output(lambda output: output.roll(1, 1))


def _after(cls, method, more):
    original = getattr(cls, method)

    def faulty(self, *arguments):
        original(self, *arguments)
        more(self)

    setattr(cls, method, faulty)


def _around(change):
    original = rings.pass_on
    rings.pass_on = lambda tensors, received, group: original(*change(tensors, received), group)


def _prepare(faulty):
    operator = ops.load("sdpa")
    prepared = operator.prepare
    operator.prepare = lambda *arguments: faulty(prepared, *arguments)


def _output(change):
    def prepare(prepared, *arguments):
        launch = prepared(*arguments)
        return lambda: change(launch())

    _prepare(prepare)


RING = {"ulysses": 1, "ring": 2}
BLIND = {"ulysses": 1, "ring": 2, "op": "fia", "dtype": "fp16", "mask": "causal", "seq_len_q": 32, "seq_len_kv": 16}
FAULTS = [
    (swapped_slabs, {}, "query after exchange_in: .* out of place"),
    (swapped_slabs, {"exchange": "packed", "layout": "BSND"}, "query after exchange_in: .* out of place"),
    (swapped_slabs_back, {}, "output after exchange_out: .* out of place"),
    (zeros_beyond_two_ranks, {"ulysses": 4}, "query after exchange_in: .* first at .0, 12, 0, "),
    (heads_off_by_one, {}, "key after exchange_in"),
    (heads_off_by_one, {"kv_heads": 2}, "key after exchange_in"),
    (tokens_off_by_one_on_rank_1, {}, "value after exchange_in"),
    (no_exchange_in, {}, "query after exchange_in.*key after.*value after"),
    (no_exchange_in, {"exchange": "packed"}, "query after exchange_in.*key after.*value after"),
    (no_exchange_in, {"layout": "BSND"}, "query after exchange_in.*key after.*value after"),
    (no_exchange_out, {}, "output after exchange_out"),
    (no_exchange_out_after_the_exchanges_check, {}, "head 0: not finite, or not written"),
    (no_unpack_out_after_the_exchanges_check, {}, "head 0: not finite, or not written"),
    (no_unpack_in, {}, "query after exchange_in"),
    (wrong_head_grouping, {"heads": 16, "kv_heads": 4}, r"head \d+: error .* tolerance 0.001"),
    (causal_mask_dropped, {"mask": "causal"}, r"head \d+: error"),
    (causal_mask_dropped, {"mask": "causal", "seq_len_kv": 36}, r"head \d+: error"),
    (causal_mask_aligned_to_the_top_left, {"mask": "causal", "seq_len_kv": 36}, r"head \d+: error"),
    (scale_forgotten, {}, r"head \d+: error"),
    (nan_output, {}, "head 0: not finite"),
    (one_nan_on_the_last_rank, {}, "head 4: not finite"),
    (output_never_written, {}, "head 0: not finite"),
    (heads_of_the_output_rolled, {}, r"head \d+: error"),
    (padded_heads_not_zeroed, {"heads": 7}, "key after exchange_in: .* first at .0, 0, 3, "),
    (real_heads_lost_with_the_padding, {"heads": 7}, "output after exchange_out"),
    (padded_keys_seen, {"seq_len_kv": 23}, r"head \d+: error"),
    (causal_mask_dropped, {"mask": "causal_top_left", "seq_len_q": 23}, r"head \d+: error"),
    (passed_on_to_the_former, RING, "key in step 1 of the ring: .* out of place"),
    (keys_and_values_swapped_on_the_way, RING, "key in step 1 of the ring.*value in step 1 of the ring"),
    (one_block_passed_on_twice, {"ulysses": 1, "ring": 3}, "key in step 2 of the ring"),
    (outputs_averaged, RING | {"seq_len_q": 23}, r"head \d+: error"),
    (rows_without_keys_counted, BLIND, r"head \d+: error"),
    (last_block_not_merged, RING, r"head \d+: error"),
]
LATER = {wrong_head_grouping, causal_mask_dropped, causal_mask_aligned_to_the_top_left, scale_forgotten, nan_output}
LATER |= {one_nan_on_the_last_rank, output_never_written, heads_of_the_output_rolled}
LATER |= {padded_keys_seen, outputs_averaged, rows_without_keys_counted, last_block_not_merged}
LATER |= {no_exchange_out_after_the_exchanges_check, no_unpack_out_after_the_exchanges_check}
"""Faults that the exchanges' own check has no part in."""


def with_fault(groups, device, fault, case):
    fault(groups.rank)
    return outcomes(groups, device, [("it", case)])["it"]


@pytest.mark.parametrize(
    ("fault", "changes", "words"),
    [pytest.param(*row, id="-".join((row[0].__name__, *map(str, row[1].values())))) for row in FAULTS],
)
def test_a_fault_is_wrong_and_named(fault, changes, words):
    case = make_case(**changes)
    answers = run_ranks(case.sequence_ranks, with_fault, fault, case)
    reasons = [reason for status, reason, _, _ in answers]
    assert [status for status, *_ in answers] == case.sequence_ranks * ["wrong"]  # also on ranks that saw nothing wrong
    assert any(re.search(words, reason) for reason in reasons), reasons
    assert all(not phases for *_, phases in answers), "a wrong case has no samples"
    exchanged = {outcome["exchange"] for _, _, outcome, _ in answers}
    assert ("wrong" in exchanged) == (fault not in LATER)


def with_exactly_one(groups, device, case):
    """check_attention on a right output, then on the same with one sampled element changed."""
    pipeline = build(case, 0, groups, device, {})
    pipeline.run()
    output = pipeline.attention().clone()
    right = check_attention(case, output, 0)
    output[0, sample_rows(case.seq_len_q)[5], 3, 7] += 0.5
    return right, check_attention(case, output, 0)


def test_one_element_of_a_sampled_row_is_enough():
    case = make_case(measure="kernel", ulysses=1, seq_len_q=100)
    ((right, changed),) = run_ranks(1, with_exactly_one, case)
    assert right["passed"]
    assert right["rows"] == 16
    assert not changed["passed"]
    assert "head 3:" in changed["wrong"]


def test_an_output_of_another_shape_is_named_and_compared_with_the_case():
    case = make_case(measure="kernel", ulysses=1, seq_len_kv=36)
    outcome = check_attention(case, torch.zeros(1, 36, 8, 16), 0)
    assert not outcome["passed"]
    assert outcome["wrong"] == "output shape [1, 36, 8, 16], wanted [1, 24, 8, 16]"


@pytest.mark.parametrize("tokens", [1, 2, 15, 16, 17, 1000, 25200])
def test_sampled_rows_hold_both_ends_and_spread_evenly(tokens):
    rows = sample_rows(tokens)
    assert rows[0] == 0
    assert rows[-1] == tokens - 1
    assert len(rows) == min(tokens, costs.CHECK_ROWS)
    gaps = [after - before for before, after in itertools.pairwise(rows)]
    assert not gaps or max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize(
    ("tokens", "heads", "batch"), [(range((1 << 16) + 2), [0], 1), (range(3), range(40), 5)], ids=["long", "wide"]
)
def test_position_codes_tell_every_place_apart(tokens, heads, batch):
    """Tokens beyond 16 bits, heads, batch entries and tensors: two alike would hide a swap of the two."""
    case = make_case(batch=batch, dtype="bf16", head_dim=4)
    codes = torch.cat([positions._codes(case, tensor, tokens, heads) for tensor in range(3)])
    rows = codes.reshape(-1, case.head_dim)
    assert len(rows.unique(dim=0)) == len(rows)


def bare_fault(groups, device, case):
    if groups.rank == 2:
        BareExchange.exchange_in = lambda self: (_bare(self), self.received[1].zero_())
    return outcomes(groups, device, [("it", case)])["it"][:2]


_bare = BareExchange.exchange_in


def test_a_bare_exchange_that_loses_a_slab_is_wrong_on_every_rank():
    answers = run_ranks(3, bare_fault, exchange_alone(ulysses=3, heads=12))
    assert [status for status, _ in answers] == 3 * ["wrong"]
    assert [bool(reason) for _, reason in answers] == [False, False, True]
    assert "bytes from rank 1 out of place" in answers[2][1]


@pytest.mark.parametrize("dtype", ["fp16", "bf16", "fp32"])
def test_position_codes_are_normal_numbers(dtype):
    """A device may flush a denormal or quiet a NaN while it copies, and has moved everything rightly all the same."""
    case = make_case(dtype=dtype, head_dim=64)
    codes = positions._codes(case, 2, range(8190, 8300), range(0, 300, 7)).view(TORCH_DTYPES[dtype])
    assert bool(codes.isfinite().all())
    assert float(codes.abs().min()) >= torch.finfo(codes.dtype).tiny
