"""Process groups on real ranks, and the helper that starts them: a rank that fails is named, none is left behind."""

from __future__ import annotations

import os
import time
from multiprocessing import forkserver

import psutil
import pytest
import torch
import torch.distributed as dist

from fiabench.ulysses.groups import RankGroups
from fiabench.ulysses.ring import pass_on
from tests.ulysses.points import make_case
from tests.ulysses.ranks import RankFailed, run_ranks


def members_and_sum(groups, device, degree):
    group = groups.ulysses(degree)
    assert groups.ulysses(degree) is group
    ones = torch.tensor([groups.rank])
    dist.all_reduce(ones, group=group)
    return dist.get_process_group_ranks(group), int(ones), groups.creation_seconds, groups.creation_bytes


def test_a_ulysses_group_is_neighbouring_ranks_and_its_making_is_timed_once():
    answers = run_ranks(4, members_and_sum, 2)
    assert [answer[0] for answer in answers] == [[0, 1], [0, 1], [2, 3], [2, 3]]
    assert [answer[1] for answer in answers] == [1, 1, 5, 5]
    for _, _, seconds, size in answers:
        assert list(seconds) == list(size) == ["ulysses 2"]
        assert seconds["ulysses 2"] > 0 <= size["ulysses 2"]


def around_the_rings(groups, device, cases):
    """Who is with this rank in each case's ring, and whose number it gets from the one before."""
    found = []
    for case in cases:
        groups.make(case)
        group = groups.ring(case.ulysses, case.ring)
        received = torch.zeros(1)
        pass_on((torch.tensor([float(groups.rank)]),), (received,), group)
        found.append((dist.get_process_group_ranks(group), int(received)))
    return found, list(groups.creation_seconds)


def test_a_ring_is_one_rank_of_each_ulysses_group_and_passes_on_to_the_next():
    cases = [make_case(ulysses=2, ring=2), make_case(ulysses=1, ring=4), make_case(ulysses=1, ring=2)]
    answers = run_ranks(4, around_the_rings, cases)
    kinds = ["ulysses 2", "ring 2 x ulysses 2", "ring 4 x ulysses 1", "ring 2 x ulysses 1"]
    assert [made for _, made in answers] == 4 * [kinds]
    across, around, pairs = zip(*(found for found, _ in answers))
    assert across == (([0, 2], 2), ([1, 3], 3), ([0, 2], 0), ([1, 3], 1))
    assert around == tuple(([0, 1, 2, 3], former) for former in (3, 0, 1, 2))
    assert pairs == (([0, 1], 1), ([0, 1], 0), ([2, 3], 3), ([2, 3], 2))


def stack(groups, device):
    return groups.gather(torch.tensor([groups.rank, 7.0])).tolist()


def test_gather_stacks_by_rank():
    assert run_ranks(3, stack) == 3 * [[[0, 7], [1, 7], [2, 7]]]
    assert run_ranks(1, stack) == [[[0, 7]]]


def in_a_part_of_the_world(groups, device):
    """A case of two ranks in a world of three."""
    part = RankGroups(device, 2)
    group = part.ulysses(2)
    if not part.takes_part:
        return group
    part.barrier()
    return part.gather(torch.tensor([groups.rank])).flatten().tolist()


def test_ranks_beyond_a_cases_world_take_no_part():
    assert run_ranks(3, in_a_part_of_the_world) == [[0, 1], [0, 1], None]


def late_to_the_barrier(groups, device):
    if groups.rank == 1:
        time.sleep(0.3)
    entered = time.monotonic()  # the same on all ranks of a box
    groups.barrier()
    return entered, time.monotonic()


def test_a_barrier_waits_for_the_last():
    entered, left = zip(*run_ranks(2, late_to_the_barrier))
    assert min(left) >= max(entered)


def fail_on_rank_1(groups, device, how):
    if groups.rank == 1 and how == "raise":
        raise ValueError("planted")
    if groups.rank == 1 and how == "die":
        os._exit(3)
    groups.barrier()
    time.sleep(60)


@pytest.mark.parametrize(
    ("how", "words"), [("raise", "rank 1 raised.*planted"), ("die", "rank 1 died"), ("hang", "no answer")]
)
def test_the_helper_names_the_rank_that_failed_and_leaves_no_process(how, words):
    with pytest.raises(RankFailed, match=f"(?s){words}"):
        run_ranks(2, fail_on_rank_1, how, seconds=3 if how == "hang" else 30)
    server = psutil.Process(forkserver._forkserver._forkserver_pid)
    assert not server.children()
