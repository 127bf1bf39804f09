"""What the coordinator knows of a box before anything has run there."""

from __future__ import annotations

import pytest

from fiabench.cases import costs
from fiabench.cases.errors import InputError
from fiabench.workers.machine import MAX_CPU_RANKS, RANK_BYTES, Machine, find_machine
from tests.ulysses.points import make_case

GIB = 2**30


def machine(device: str = "cpu", memory: int = 16 * GIB, name: str = "") -> Machine:
    return Machine(device, 8, memory, 4, {"name": name})


@pytest.mark.parametrize(
    ("ulysses", "threads", "each", "oversubscribed"),
    [(1, 0, 4, False), (2, 0, 2, False), (8, 0, 1, True), (2, 4, 4, True)],
)
def test_cores_are_shared_out_among_the_ranks(ulysses: int, threads: int, each: int, oversubscribed: bool) -> None:
    case = make_case(heads=8, ulysses=ulysses, threads=threads)
    assert machine().threads(case) == each
    assert machine().oversubscribed(case) is oversubscribed
    assert not machine("npu").oversubscribed(case)


def test_ranks_share_a_hosts_memory_and_have_a_devices_for_themselves() -> None:
    case = make_case(heads=8, ulysses=4)
    needed = costs.memory_bytes(case)
    enough = 4 * (needed + RANK_BYTES)
    assert machine(memory=enough).misfit(case) == ""
    assert "for 4 with torch" in machine(memory=enough - 1).misfit(case)
    assert machine("npu", needed).misfit(case) == ""
    assert "a device has" in machine("npu", needed - 1).misfit(case)


def test_ranks_are_bounded_by_devices_or_by_memory() -> None:
    assert machine("npu").max_ranks == 8
    assert machine("npu").times(2).max_ranks == 16
    assert machine(memory=3 * RANK_BYTES).max_ranks == 3
    assert machine(memory=10_000 * RANK_BYTES).max_ranks == MAX_CPU_RANKS


def test_an_unknown_device_is_refused_with_what_is_allowed() -> None:
    with pytest.raises(InputError, match="--device: found 'npuu'; allowed: auto, npu, cuda, cpu"):
        find_machine("npuu")


def test_an_estimate_follows_the_hardware() -> None:
    case = make_case(heads=8, seq_len_q=4096, ulysses=1, dtype="bf16")
    estimates = [machine("npu", name=name).iteration_seconds(case) for name in ("Ascend910B1", "Ascend910B4")]
    assert estimates[0] < estimates[1] < machine().iteration_seconds(case)
