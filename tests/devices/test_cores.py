"""The host's cores, read from a made-up /sys with the kernel's own words."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiabench.devices.cores import by_neighbour, last_level_bytes, near, parse_list


@pytest.fixture
def sysfs(tmp_path):
    """Four cores of two threads each, 0 and 4 and so on; 32 MiB for the first two cores and as much for the others."""
    for thread in range(8):
        core = thread % 4
        cpu = tmp_path / f"devices/system/cpu/cpu{thread}"
        (cpu / "topology").mkdir(parents=True)
        (cpu / "topology/thread_siblings_list").write_text(f"{core},{core + 4}\n")
        half = "0-1,4-5" if core < 2 else "2-3,6-7"
        for index, (level, size, shared) in enumerate(
            [("1", "32K", core), ("2", "1024K", core), ("3", "32768K", half)]
        ):
            cache = cpu / f"cache/index{index}"
            cache.mkdir(parents=True)
            (cache / "level").write_text(f"{level}\n")
            (cache / "size").write_text(f"{size}\n")
            (cache / "shared_cpu_list").write_text(f"{shared}\n")
    device = tmp_path / "bus/pci/devices/0000:c1:00.0"
    device.mkdir(parents=True)
    (device / "local_cpulist").write_text("2-3,6-7\n")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "cores"), [("0-2,8\n", [0, 1, 2, 8]), ("5", [5]), ("", []), ("\n", []), ("all", []), ("1,x", [])]
)
def test_a_list_of_cores(text, cores):
    assert parse_list(text) == cores


@given(st.text(alphabet="0123456789-, \n", max_size=9))
def test_any_list_is_read(text):
    assert all(core >= 0 for core in parse_list(text))


def test_threads_of_a_core_follow_each_other(sysfs):
    assert by_neighbour(range(8), sysfs) == [0, 4, 1, 5, 2, 6, 3, 7]
    assert by_neighbour([7, 2, 3], sysfs) == [2, 3, 7]


def test_without_topology_the_order_is_by_number(tmp_path):
    assert by_neighbour({2, 0, 1}, tmp_path) == [0, 1, 2]


@pytest.mark.parametrize(("cores", "mebibytes"), [([0], 32), ([0, 1, 4], 32), ([1, 2], 64), (range(8), 64), ([9], 0)])
def test_every_last_level_cache_in_use_counts_once(sysfs, cores, mebibytes):
    assert last_level_bytes(cores, sysfs) == mebibytes * 2**20


def test_cores_near_a_device(sysfs):
    assert near("0000:c1:00.0", sysfs) == [2, 3, 6, 7]
    assert near("0000:c2:00.0", sysfs) == []
    assert near("", sysfs) == []


def test_this_box_is_read():
    mine = os.sched_getaffinity(0)
    assert set(by_neighbour(mine)) == mine
    assert last_level_bytes(mine) % 1024 == 0
