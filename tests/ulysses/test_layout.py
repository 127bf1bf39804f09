"""Packing and unpacking against indexing written out: which token and head stands where, element by element."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from fiabench.cases.shards import head_slots
from fiabench.ulysses import layout

SMALL = st.integers(1, 3)
SIZES = st.builds(SimpleNamespace, batch=SMALL, ranks=st.integers(1, 4), tokens=SMALL, heads=SMALL, dim=SMALL)
LAYOUTS = st.sampled_from(["BNSD", "BSND"])


def counted(*shape: int) -> torch.Tensor:
    """Every element another number."""
    return torch.arange(1.0, 1 + torch.Size(shape).numel()).reshape(shape)


def at(tensor: torch.Tensor, order: str, batch: int, token: int, head: int) -> list[float]:
    """One token's head of a tensor in layout ``order``."""
    return (tensor[batch, head, token] if order == "BNSD" else tensor[batch, token, head]).tolist()


def everywhere(sizes: SimpleNamespace):
    return itertools.product(range(sizes.ranks), range(sizes.batch), range(sizes.tokens), range(sizes.heads))


def slabs(sizes: SimpleNamespace) -> tuple[int, ...]:
    return sizes.ranks, sizes.batch, sizes.tokens, sizes.heads, sizes.dim


def head_shard(sizes: SimpleNamespace, order: str) -> tuple[int, ...]:
    whole = sizes.ranks * sizes.tokens
    inner = (sizes.heads, whole) if order == "BNSD" else (whole, sizes.heads)
    return sizes.batch, *inner, sizes.dim


@given(SIZES)
def test_pack_heads_gives_each_rank_its_heads(sizes):
    shard = counted(sizes.batch, sizes.tokens, sizes.ranks * sizes.heads, sizes.dim)
    send = torch.zeros(slabs(sizes))
    layout.pack_heads(shard, range(sizes.ranks * sizes.heads), send)
    for rank, batch, token, head in everywhere(sizes):
        wanted = shard[batch, token, rank * sizes.heads + head]
        assert torch.equal(send[rank, batch, token, head], wanted)


@given(SIZES, st.integers(1, 3))
def test_pack_heads_replicates_kv_heads_for_neighbouring_ranks(sizes, copies):
    kv_heads, ranks = sizes.ranks, sizes.ranks * copies
    shard = counted(sizes.batch, sizes.tokens, kv_heads, sizes.dim)
    send = torch.zeros(ranks, sizes.batch, sizes.tokens, 1, sizes.dim)
    layout.pack_heads(shard, head_slots(ranks * 2, kv_heads, ranks)[1], send)
    for rank in range(ranks):
        assert torch.equal(send[rank, :, :, 0], shard[:, :, rank // copies])


@given(SIZES, LAYOUTS)
def test_unpack_sequence_puts_each_ranks_tokens_in_order(sizes, order):
    received = counted(*slabs(sizes))
    whole = torch.zeros(head_shard(sizes, order))
    layout.unpack_sequence(received, order, whole)
    for rank, batch, token, head in everywhere(sizes):
        found = at(whole, order, batch, rank * sizes.tokens + token, head)
        assert found == received[rank, batch, token, head].tolist()


@given(SIZES, LAYOUTS)
def test_pack_sequence_gives_each_rank_its_tokens(sizes, order):
    attention = counted(*head_shard(sizes, order))
    send = torch.zeros(slabs(sizes))
    layout.pack_sequence(attention, order, send)
    for rank, batch, token, head in everywhere(sizes):
        wanted = at(attention, order, batch, rank * sizes.tokens + token, head)
        assert send[rank, batch, token, head].tolist() == wanted


@given(SIZES)
def test_unpack_heads_puts_each_ranks_heads_in_order(sizes):
    received = counted(*slabs(sizes))
    out = torch.zeros(sizes.batch, sizes.tokens, sizes.ranks * sizes.heads, sizes.dim)
    layout.unpack_heads(received, out)
    for rank, batch, token, head in everywhere(sizes):
        assert torch.equal(out[batch, token, rank * sizes.heads + head], received[rank, batch, token, head])


@given(SIZES, LAYOUTS)
def test_in_place_is_the_same_memory_in_the_right_order_or_nothing(sizes, order):
    received = counted(*slabs(sizes))
    whole = layout.received_in_place(received, order)
    if whole is None:
        assert order == "BNSD" or sizes.batch > 1
        return
    copied = torch.zeros(head_shard(sizes, order))
    layout.unpack_sequence(received, order, copied)
    assert torch.equal(whole, copied)
    assert whole.data_ptr() == received.data_ptr()
    received.fill_(-1)
    assert bool((whole == -1).all())


def test_a_slab_within_a_packed_buffer_is_not_in_place():
    """Each rank's slab of a packed buffer also holds the other tensors: taking it in place would mix them up."""
    packed = counted(2, 24)
    assert layout.received_in_place(packed[:, :12].unflatten(1, (1, 3, 2, 2)), "BSND") is None


class Calls(TorchDispatchMode):
    """Notes every operation that makes or moves data; views are free."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        if not function.is_view:
            self.names.append(function.__name__)
        return function(*arguments, **(keywords or {}))


@pytest.mark.parametrize("order", ["BNSD", "BSND"])
@settings(max_examples=20)
@given(sizes=SIZES)
def test_each_move_is_one_copy_and_allocates_nothing(order, sizes):
    """An allocation or a second copy would be billed to the all-to-all."""
    heads = sizes.ranks * sizes.heads
    shard, slab = counted(sizes.batch, sizes.tokens, heads, sizes.dim), counted(*slabs(sizes))
    whole = counted(*head_shard(sizes, order))
    with Calls() as calls:
        layout.pack_heads(shard, range(heads), slab)
        layout.unpack_sequence(slab, order, whole)
        layout.pack_sequence(whole, order, slab)
        layout.unpack_heads(slab, shard)
    assert calls.names == 4 * ["copy_.default"]
    with Calls() as calls:
        layout.received_in_place(slab, order)
    assert calls.names == []
