"""A group's real processes: what their environment holds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fiabench.cases.variables import is_own
from fiabench.workers.group import START_SECONDS, RankGroup

QUEUE = (("TASK_QUEUE_ENABLE", "2"),)


class Telling(RankGroup):
    module = "tests.workers.telling"


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, str]]]:
    """What two ranks were started with."""
    group = Telling("cpu", 2, 3, tmp_path_factory.mktemp("logs"), QUEUE)
    try:
        yield [answer["environment"] for answer in group.ask({}, START_SECONDS)]
    finally:
        group.close()


def test_ranks_have_the_variables_and_their_place(environments: list[dict[str, str]]) -> None:
    assert [environment["TASK_QUEUE_ENABLE"] for environment in environments] == ["2", "2"]
    assert [environment["RANK"] for environment in environments] == ["0", "1"]
    assert {environment["LOCAL_WORLD_SIZE"] for environment in environments} == {"2"}
    assert {environment["OMP_NUM_THREADS"] for environment in environments} == {"3"}


def test_a_sweep_may_set_none_of_those_that_a_group_sets(environments: list[dict[str, str]]) -> None:
    """But for the network's interface, which a group only proposes; pytest itself changes one of its own."""
    changed = {name for name, value in environments[0].items() if os.environ.get(name) != value}
    proposed = {"GLOO_SOCKET_IFNAME", "TASK_QUEUE_ENABLE", "PYTEST_CURRENT_TEST"}
    assert [name for name in sorted(changed - proposed) if not is_own(name)] == []


def test_a_group_hosts_cases_of_its_size_and_variables_that_its_cores_suffice(tmp_path: Path) -> None:
    group = Telling("cpu", 1, 1, tmp_path, QUEUE)
    try:
        assert group.hosts(1, QUEUE, 1)
        assert not group.hosts(2, QUEUE, 1)
        assert not group.hosts(1, (), 1)
        assert not group.hosts(1, (("TASK_QUEUE_ENABLE", "1"),), 1)
        group.cores = [[0]]
        assert group.hosts(1, QUEUE, 1)
        assert not group.hosts(1, QUEUE, 2)
        group.cores = [None]
        assert group.hosts(1, QUEUE, 2)
    finally:
        group.kill()
