"""Packing and unpacking against indexing written out: which token and head stands where, element by element."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from fiabench import layouts
from fiabench.cases.case import LAYOUTS
from fiabench.cases.shards import ShardError, head_slots
from fiabench.ulysses import layout

SMALL = st.integers(1, 3)
SIZES = st.builds(SimpleNamespace, batch=SMALL, ranks=st.integers(1, 4), tokens=SMALL, heads=SMALL, dim=SMALL)
ALL_AXES = sorted({axes for pair in LAYOUTS.values() for axes in pair})
AXES = st.sampled_from(ALL_AXES)
ORDERS = st.sampled_from(["BNSD", "BSND", "NBSD"])


def counted(*shape: int) -> torch.Tensor:
    """Every element another number."""
    return torch.arange(1.0, 1 + torch.Size(shape).numel()).reshape(shape)


def at(tensor: torch.Tensor, axes: str, sizes: SimpleNamespace, batch: int, token: int, head: int) -> list[float]:
    """One token's head of a tensor with these axes, as the operator's documentation describes them."""
    whole = sizes.ranks * sizes.tokens
    place = {
        "BNSD": (batch, head, token),
        "BSND": (batch, token, head),
        "BSH": (batch, token, slice(head * sizes.dim, (head + 1) * sizes.dim)),
        "NBSD": (head, batch, token),
        "TND": (batch * whole + token, head),
        "NTD": (head, batch * whole + token),
    }
    return tensor[place[axes]].tolist()


def everywhere(sizes: SimpleNamespace):
    return itertools.product(range(sizes.ranks), range(sizes.batch), range(sizes.tokens), range(sizes.heads))


def head_shard(sizes: SimpleNamespace, axes: str) -> torch.Tensor:
    return counted(*layouts.shape(axes, sizes.batch, sizes.ranks * sizes.tokens, sizes.heads, sizes.dim))


def wire(sizes: SimpleNamespace, order: str, *, between: int = 0) -> torch.Tensor:
    """Counted slabs [P, B, s, n, D] in the given order, with other elements ``between`` two of them."""
    each = sizes.batch * sizes.tokens * sizes.heads * sizes.dim
    buffer = counted(sizes.ranks, each + between)[:, :each]
    return layout.slabs(buffer, order, sizes.batch, sizes.tokens, sizes.heads)


def identity(sizes: SimpleNamespace) -> list[layout.Move]:
    return layout.moves(range(sizes.ranks * sizes.heads), sizes.ranks)


@given(SIZES, AXES)
def test_the_tokens_first_view_is_the_layouts_memory(sizes, axes):
    tensor = head_shard(sizes, axes)
    view = layouts.tokens_first(tensor, axes, sizes.batch, sizes.heads)
    assert view.data_ptr() == tensor.data_ptr()
    for rank, batch, token, head in everywhere(sizes):
        place = rank * sizes.tokens + token
        assert view[batch, place, head].tolist() == at(tensor, axes, sizes, batch, place, head)
    back = layouts.arranged(view, axes)
    assert torch.equal(back, tensor)
    assert back.data_ptr() == tensor.data_ptr()


@given(SIZES, AXES)
def test_any_tensor_can_be_laid_out_contiguous_and_most_strided(sizes, axes):
    tensor = counted(sizes.batch, sizes.ranks * sizes.tokens, sizes.heads, sizes.dim)
    laid_out = layouts.contiguous(tensor, axes)
    assert laid_out.is_contiguous()
    assert torch.equal(layouts.tokens_first(laid_out, axes, sizes.batch, sizes.heads), tensor)
    if axes in layouts.OTHER_ORDERS:
        view = layouts.strided(tensor, axes)
        assert torch.equal(view, laid_out)
        assert not view.is_contiguous() or 1 in (sizes.heads, sizes.ranks * sizes.tokens)


def test_the_layouts_without_a_view_of_the_other_order_are_known():
    assert set(ALL_AXES) - set(layouts.OTHER_ORDERS) == {"BSH", "NBSD"}


@given(SIZES, ORDERS)
def test_pack_heads_gives_each_rank_its_heads(sizes, order):
    shard = counted(sizes.batch, sizes.tokens, sizes.ranks * sizes.heads, sizes.dim)
    send = wire(sizes, order)
    layout.pack_heads(shard, identity(sizes), send)
    for rank, batch, token, head in everywhere(sizes):
        assert torch.equal(send[rank, batch, token, head], shard[batch, token, rank * sizes.heads + head])


DEALT = st.builds(SimpleNamespace, kv_heads=st.integers(1, 9), group=st.integers(1, 5), ranks=st.integers(1, 6))


@given(DEALT, ORDERS)
def test_padded_and_replicated_heads_go_to_their_slots_and_back(dealt, order):
    """Every dealing that the sweep allows, slot by slot; padding is left alone."""
    try:
        both = head_slots(dealt.kv_heads * dealt.group, dealt.kv_heads, dealt.ranks)
    except ShardError:
        return
    for slots, heads in zip(both, (dealt.kv_heads * dealt.group, dealt.kv_heads)):
        sizes = SimpleNamespace(batch=2, ranks=dealt.ranks, tokens=2, heads=len(slots) // dealt.ranks, dim=2)
        shard = counted(2, 2, heads, 2)
        send = wire(sizes, order)
        send.zero_()
        plan = layout.moves(slots, dealt.ranks)
        layout.pack_heads(shard, plan, send)
        for place, head in enumerate(slots):
            found = send[place // sizes.heads, :, :, place % sizes.heads]
            assert torch.equal(found, torch.zeros(2, 2, 2) if head is None else shard[:, :, head])
        if len(set(slots) - {None}) == len([head for head in slots if head is not None]):
            out = torch.zeros_like(shard)
            layout.unpack_heads(send, plan, out)
            assert torch.equal(out, shard)


@pytest.mark.parametrize(
    ("slots", "ranks", "count"),
    [
        ([0, 1, 2, 3], 2, 1),
        ([0, 0, 1, 1], 4, 1),
        ([0, 0, 0], 3, 1),
        ([0, 1, None, 2, 3, None], 2, 1),
        ([0, 1, 2, 3, 4, None], 3, 2),
        ([0, 1, 2, None, None, None], 3, 2),
    ],
)
def test_moves_are_few(slots, ranks, count):
    assert len(layout.moves(slots, ranks)) == count


@given(SIZES, ORDERS, AXES)
def test_unpack_sequence_puts_each_ranks_tokens_in_order(sizes, order, axes):
    received, whole = wire(sizes, order), head_shard(sizes, axes)
    layout.unpack_sequence(received, layouts.tokens_first(whole, axes, sizes.batch, sizes.heads))
    for rank, batch, token, head in everywhere(sizes):
        found = at(whole, axes, sizes, batch, rank * sizes.tokens + token, head)
        assert found == received[rank, batch, token, head].tolist()


@given(SIZES, AXES)
def test_by_rank_gives_each_rank_its_tokens(sizes, axes):
    attention = head_shard(sizes, axes)
    slabs = layout.by_rank(layouts.tokens_first(attention, axes, sizes.batch, sizes.heads), sizes.ranks)
    assert slabs.data_ptr() == attention.data_ptr()
    for rank, batch, token, head in everywhere(sizes):
        wanted = at(attention, axes, sizes, batch, rank * sizes.tokens + token, head)
        assert slabs[rank, batch, token, head].tolist() == wanted


@given(SIZES, ORDERS)
def test_unpack_heads_puts_each_ranks_heads_in_order(sizes, order):
    received = wire(sizes, order)
    out = torch.zeros(sizes.batch, sizes.tokens, sizes.ranks * sizes.heads, sizes.dim)
    layout.unpack_heads(received, identity(sizes), out)
    for rank, batch, token, head in everywhere(sizes):
        assert torch.equal(out[batch, token, rank * sizes.heads + head], received[rank, batch, token, head])


@given(SIZES, ORDERS)
def test_in_place_is_the_same_memory_in_the_right_order_or_nothing(sizes, order):
    received = wire(sizes, order)
    whole = layout.in_place(received)
    outermost = {"BSND": sizes.batch, "BNSD": sizes.batch * sizes.heads, "NBSD": sizes.batch * sizes.heads}
    if whole is None:
        assert outermost[order] > 1
        return
    copied = torch.zeros(sizes.batch, sizes.ranks * sizes.tokens, sizes.heads, sizes.dim)
    layout.unpack_sequence(received, copied)
    assert torch.equal(whole, copied)
    assert whole.data_ptr() == received.data_ptr()


@pytest.mark.parametrize("axes", ["BSND", "BSH", "TND"])
def test_with_a_batch_of_one_tokens_first_layouts_arrive_as_they_are(axes):
    sizes = SimpleNamespace(batch=1, ranks=3, tokens=4, heads=2, dim=5)
    received = wire(sizes, layouts.ORDERS[axes])
    whole = layouts.arranged(layout.in_place(received), axes)
    assert whole.is_contiguous()
    assert whole.data_ptr() == received.data_ptr()


def test_a_slab_within_a_packed_buffer_is_not_in_place():
    """Each rank's slab of a packed buffer also holds the other tensors: taking it in place would mix them up."""
    sizes = SimpleNamespace(batch=1, ranks=2, tokens=3, heads=2, dim=2)
    assert layout.in_place(wire(sizes, "BSND", between=12)) is None


class Calls(TorchDispatchMode):
    """Notes every operation that makes or moves data; views are free."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        if not function.is_view:
            self.names.append(function.__name__)
        return function(*arguments, **(keywords or {}))


@settings(max_examples=30)
@given(sizes=SIZES, order=ORDERS, axes=AXES)
def test_each_move_is_one_copy_and_allocates_nothing(order, sizes, axes):
    """An allocation or a second copy would be billed to the all-to-all."""
    shard = counted(sizes.batch, sizes.tokens, sizes.ranks * sizes.heads, sizes.dim)
    slab, tensor, plan = wire(sizes, order), head_shard(sizes, axes), identity(sizes)
    with Calls() as calls:
        whole = layouts.tokens_first(tensor, axes, sizes.batch, sizes.heads)
        layout.pack_heads(shard, plan, slab)
        layout.unpack_sequence(slab, whole)
        slab.copy_(layout.by_rank(whole, sizes.ranks))
        layout.unpack_heads(slab, plan, shard)
    assert calls.names == 4 * ["copy_.default"]
    with Calls() as calls:
        layout.in_place(slab)
    assert calls.names == []
