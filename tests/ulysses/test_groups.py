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
        assert list(seconds) == list(size) == [2]
        assert seconds[2] > 0 <= size[2]


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
    start = time.perf_counter()
    groups.barrier()
    return time.perf_counter() - start


def test_a_barrier_waits_for_the_last():
    early, late = run_ranks(2, late_to_the_barrier)
    assert early > 4 * late


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
    assert not [child for child in server.children() if child.status() != psutil.STATUS_ZOMBIE]
