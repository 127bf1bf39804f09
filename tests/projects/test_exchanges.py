"""Outside exchanges on real ranks: every element where it belongs, and their phases found."""

from __future__ import annotations

import pytest
import torch

from fiabench.projects.errors import ProjectError
from fiabench.projects.exchanges import load_exchange
from fiabench.ulysses.recording import CollectiveMarks, split
from tests.projects.test_loading import project
from tests.ulysses.ranks import run_ranks
from tests.wheels import release

BATCH, TOKENS, HEADS, DIM = 2, 12, 12, 8


def whole():
    """[B, S, N, D] of the whole sequence and all heads, every element another number, exact in float32."""
    return torch.arange(float(BATCH * TOKENS * HEADS * DIM)).reshape(BATCH, TOKENS, HEADS, DIM)


def exchange_each(groups, device, projects):
    """What is wrong with each of ``projects``, (name, path): both directions, in one process one after the other."""
    ranks, group, wrong = groups.world_size, groups.ulysses(groups.world_size), []
    tokens = slice(groups.rank * TOKENS // ranks, (groups.rank + 1) * TOKENS // ranks)
    heads = slice(groups.rank * HEADS // ranks, (groups.rank + 1) * HEADS // ranks)
    sequence_shard, head_shard = whole()[:, tokens].contiguous(), whole()[:, :, heads].contiguous()
    loaded = [(load_exchange(name, path), path) for name, path in projects]
    with CollectiveMarks(device) as marks:
        for exchange, path in loaded:
            for given, wanted, move in (
                (sequence_shard, head_shard, exchange.input),
                (head_shard, sequence_shard, exchange.output),
            ):
                marks.clear()
                start = device.mark()
                moved = move(given, group)
                phases = split(start, marks.take(), device.mark())
                if not torch.equal(moved, wanted):
                    wrong.append(f"{exchange.name} {path.name}: elements out of place")
                if [len(intervals) for intervals in phases.values()] != [1, 1, 1]:
                    wrong.append(f"{exchange.name} {path.name}: phases {phases}")
                times = [mark for phase in ("pack", "exchange", "unpack") for mark in phases[phase][0]]
                if times != sorted(times) or min(times[1] - times[0], times[5] - times[4]) <= 0:
                    wrong.append(f"{exchange.name} {path.name}: marks out of order")
    return wrong


@pytest.mark.parametrize("ranks", [2, 3])
def test_outside_exchanges_as_they_stand(ranks):
    """sglang's uses a functional collective up to 0.5.11 and torch.distributed's after; with two ranks, since 0.5.18,
    it first asks for a transport of its own."""
    projects = [("sglang_usp", release("sglang", version)) for version in ("0.5.10", "0.5.11", "0.5.23")]
    yunchang = release("yunchang", "0.6.4")
    projects += [("yunchang", yunchang)]
    assert run_ranks(ranks, exchange_each, projects) == ranks * [[]]


AUTOGRAD = """
import torch
import torch.distributed as dist
from torch.distributed import all_to_all_single


class Exchange(torch.autograd.Function):
    @staticmethod
    def forward(context, tensor, scatter, gather, group):
        ranks = dist.get_world_size(group)
        parts = torch.stack([part.contiguous() for part in tensor.chunk(ranks, scatter)])
        received = torch.empty_like(parts)
        all_to_all_single(received, parts, group=group)
        return torch.cat(list(received), gather)


def any_4d(tensor, scatter_idx, gather_idx, group):
    return Exchange.apply(tensor, scatter_idx, gather_idx, group)
"""


def test_any_callable_with_the_arguments_of_all_to_all_4d(tmp_path):
    path = project(tmp_path, planted_exchange=AUTOGRAD)
    assert run_ranks(2, exchange_each, [("planted_exchange:any_4d", path)]) == [[], []]


def test_what_cannot_be_loaded_is_named(tmp_path):
    with pytest.raises(ProjectError, match=f"no sglang at {tmp_path}"):
        load_exchange("sglang_usp", tmp_path)
    with pytest.raises(ProjectError, match=r"names no callable: write it as package\.module:name"):
        load_exchange("no_such_exchange", tmp_path)
    project(tmp_path, **{"yunchang.comm.all_to_all": "def all_to_all_5D(): ..."})
    with pytest.raises(ProjectError, match="has no all_to_all_4D"):
        load_exchange("yunchang", tmp_path)


def test_an_exchange_says_where_it_comes_from():
    path = release("yunchang", "0.6.4")
    found = load_exchange("yunchang", path).provenance(path)
    assert (found["version"], found["file"]) == ("0.6.4", str(path / "yunchang/comm/all_to_all.py"))
