"""Phases of code that is not ours: collectives are found however they are called, and nothing stays wrapped."""

from __future__ import annotations

import functools
import sys
from types import ModuleType

import pytest
import torch
import torch.distributed as dist
import torch.distributed._functional_collectives as functional
from torch.distributed import all_to_all_single as taken_by_name
from torch.distributed.nn.functional import all_to_all_single as with_gradient

from fiabench.ulysses.recording import CollectiveMarks, split
from tests.ulysses.ranks import run_ranks

events: list[str] = []
"""What happened, in order: the device's marks and the steps of the planted exchanges."""


class Marks:
    """A device whose marks are numbers in the order of events."""

    @staticmethod
    def mark() -> int:
        events.append("mark")
        return len(events)


def direct(send, group):
    received = torch.empty_like(send)
    dist.all_to_all_single(received, send, group=group)
    return received


def by_name(send, group):
    received = torch.empty_like(send)
    taken_by_name(received, send, group=group)
    return received


def asynchronous(send, group):
    received = torch.empty_like(send)
    work = dist.all_to_all_single(received, send, group=group, async_op=True)
    events.append("under way")
    work.wait()
    return received


def overlapping(send, group):
    """Two at once, waited for in the other order."""
    received = [torch.empty_like(send) for _ in range(2)]
    works = [dist.all_to_all_single(buffer, send, group=group, async_op=True) for buffer in received]
    works[1].wait()
    events.append("under way")
    works[0].wait()
    return received[0]


def functional_waited(send, group):
    received = functional.all_to_all_single(send, None, None, group)
    events.append("under way")
    return received.wait()


def functional_at_first_use(send, group):
    received = functional.all_to_all_single(send.flatten(), None, None, group).reshape(send.shape)
    events.append("under way")
    return received + 0


def functional_wait_tensor(send, group):
    return functional.wait_tensor(functional.all_to_all_single(send, None, None, group))


def autograd(send, group):
    return with_gradient(torch.empty_like(send), send.clone().requires_grad_(), group=group).detach()


def lists(send, group):
    received = [torch.empty_like(part) for part in send]
    dist.all_gather(received, send[dist.get_rank(group)], group=group)
    received = [torch.empty_like(part) for part in send]
    for source in range(2):
        parts = list(send) if dist.get_rank(group) == source else None
        dist.scatter(received[source], parts, src=source, group=group)
    return torch.stack(received)


def batch_of_sends(send, group):
    me, other = dist.get_rank(group), 1 - dist.get_rank(group)
    received = send.clone()
    operations = [
        dist.P2POp(dist.isend, send[other], other, group),
        dist.P2POp(dist.irecv, received[other], other, group),
    ]
    works = dist.batch_isend_irecv(operations)
    events.append("under way")
    for work in works:
        work.wait()
    received[me] = send[me]
    return received


def sends(send, group):
    other = 1 - dist.get_rank(group)
    received = send.clone()
    works = [dist.isend(send[other], other, group), dist.irecv(received[other], other, group)]
    for work in works:
        work.wait()
    return received


ONE_AFTER_THE_OTHER = {"lists": 3}
"""How many intervals; one for all others."""
KINDS = [
    direct,
    by_name,
    asynchronous,
    overlapping,
    functional_waited,
    functional_at_first_use,
    functional_wait_tensor,
    autograd,
    lists,
    batch_of_sends,
    sends,
]


def recorded(groups, device):
    """Each kind of exchange with its events, its phases and whether its data arrived."""
    group, answers = groups.ulysses(2), {}
    send = torch.arange(8.0).view(2, 4) + 100 * groups.rank
    wanted = torch.stack([torch.arange(8.0).view(2, 4)[groups.rank] + 100 * source for source in range(2)])
    before = everything_that_torch_distributed_gave()
    with CollectiveMarks(Marks()) as marks:
        lazily = ModuleType("loaded_while_recording")
        exec("from torch.distributed import all_to_all_single", vars(lazily))
        sys.modules[lazily.__name__] = lazily
        for kind in KINDS:
            events.clear()
            marks.clear()
            start = Marks.mark()
            events.append("pack")
            received = kind(send, group)
            events.append("unpack")
            phases = split(start, marks.take(), Marks.mark())
            answers[kind.__name__] = (list(events), phases, torch.equal(received, wanted))
        kept = dist.all_to_all_single
    events.clear()
    kept(torch.empty_like(send), send, group=group)
    left_over = lazily.all_to_all_single is not dist.all_to_all_single, list(events)
    del sys.modules[lazily.__name__]
    after = everything_that_torch_distributed_gave()
    changed = [where for where, identity in before.items() if after.get(where) != identity]
    return answers, changed, left_over


def everything_that_torch_distributed_gave():
    """Every function of torch.distributed in any loaded module, and the methods of its classes, by identity."""
    held = {
        (module.__name__, name): id(value)
        for module in list(sys.modules.values())
        if isinstance(module, ModuleType)
        for name, value in list(vars(module).items())
        if callable(value)
        and str(getattr(type(value), "__name__", "")) in ("function", "type", "pybind11_type")
        and str(vars(value).get("__module__", getattr(value, "__module__", ""))).startswith("torch.distributed")
    }
    methods = [(dist.Work, "wait"), (dist.P2POp, "__new__"), (dist.P2POp, "__init__")]
    return held | {(owner.__name__, name): id(owner.__dict__[name]) for owner, name in methods}


@functools.cache
def answers_of_two_ranks():
    return run_ranks(2, recorded)


@pytest.mark.parametrize("kind", [kind.__name__ for kind in KINDS])
def test_a_collective_is_found_however_it_is_called(kind):
    for answers, *_ in answers_of_two_ranks():
        seen, phases, arrived = answers[kind]
        assert arrived
        count = ONE_AFTER_THE_OTHER.get(kind, 1)
        assert seen.count("mark") == 2 * count + 2
        # What each interval holds: positions in `seen` lie between its marks.
        spans = {phase: [seen[start : end - 1] for start, end in intervals] for phase, intervals in phases.items()}
        assert spans["pack"][0] == ["pack"]
        assert spans["unpack"] == [["unpack"]]
        assert len(spans["exchange"]) == len(spans["pack"]) == count
        inside = ["under way"] if "under way" in seen else []
        assert spans["exchange"][0] == inside


def test_everything_is_put_back():
    for _, changed, (lazily_wrapped, events_after) in answers_of_two_ranks():
        assert changed == []
        assert not lazily_wrapped, "a module loaded meanwhile kept a wrapper"
        assert events_after == [], "a wrapper that was kept went on recording"


def failing(groups, device):
    """A collective that raises, and one that nobody waits for; then one that goes well."""
    group, said = groups.ulysses(2), []
    send = torch.zeros(2, 4)
    with CollectiveMarks(Marks()) as marks:
        try:
            dist.all_to_all_single(torch.empty(3), send, group=group)
        except (RuntimeError, ValueError):
            said.append("raised")
        marks.clear()
        work = dist.all_to_all_single(torch.empty_like(send), send, group=group, async_op=True)
        try:
            marks.take()
        except RuntimeError as error:
            said.append(str(error))
        work.wait()
        direct(send, group)
        said.append(len(marks.take()))
    return said


def test_what_fails_leaves_the_recorder_whole():
    for raised, never_waited, count in run_ranks(2, failing):
        assert raised == "raised"
        assert "1 asynchronous collective(s) of the outside exchange were never waited for" in never_waited
        assert count == 1


def test_an_exchange_without_a_collective_is_an_error_in_words():
    with CollectiveMarks(Marks()) as marks, pytest.raises(RuntimeError, match="no collective was recorded"):
        split(0, marks.take(), 1)


def test_phases_of_several_collectives():
    """What lies between two collectives is packing of the next."""
    assert split(0, [(1, 2), (5, 7)], 9) == {
        "pack": [(0, 1), (2, 5)],
        "exchange": [(1, 2), (5, 7)],
        "unpack": [(7, 9)],
    }


def test_an_error_inside_takes_the_wrappers_away():
    original = dist.all_to_all_single
    wrapped = None
    with pytest.raises(ZeroDivisionError), CollectiveMarks(Marks()):  # noqa: PT012
        wrapped = dist.all_to_all_single
        raise ZeroDivisionError
    assert wrapped is not original
    assert dist.all_to_all_single is original
