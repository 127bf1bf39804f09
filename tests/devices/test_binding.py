"""Which cores a rank gets."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiabench.devices.binding import bind, device_buses, npu_buses, nvidia_buses, share

CORES = st.lists(st.integers(0, 63), min_size=1, max_size=64, unique=True)
NODES = st.lists(st.sampled_from([range(32), range(32, 64)]), min_size=1, max_size=16)


@given(NODES, CORES)
def test_every_rank_gets_cores_that_there_are(nodes, cores):
    for rank in range(len(nodes)):
        mine = share(rank, nodes, cores)
        assert mine
        assert mine == sorted(set(mine))
        assert set(mine) <= set(cores)


@given(NODES, st.permutations(range(64)))
def test_where_cores_suffice_they_are_divided_near_the_devices(nodes, cores):
    given_out = [share(rank, nodes, cores) for rank in range(len(nodes))]
    everything = [core for mine in given_out for core in mine]
    assert len(everything) == len(set(everything)), "a core for two ranks"
    for node in set(nodes):
        sizes = [len(mine) for mine, where in zip(given_out, nodes) if where == node]
        assert sum(sizes) == len(node), "a core near a device for nobody"
        assert max(sizes) - min(sizes) <= 1
    assert all(set(mine) <= set(where) for mine, where in zip(given_out, nodes))


@given(st.integers(1, 16), CORES, st.data())
def test_where_one_device_is_nowhere_all_cores_are_divided(count, cores, data):
    nodes = [list(range(32))] * count
    nodes[data.draw(st.integers(0, count - 1))] = []
    given_out = [share(rank, nodes, cores) for rank in range(count)]
    assert {core for mine in given_out for core in mine} == set(cores) or count > len(cores)
    if count <= len(cores):
        assert sum(map(len, given_out)) == len(cores)


def test_the_order_of_the_cores_is_the_order_of_the_cuts():
    """Threads of one core stay with one rank."""
    assert [share(rank, [[]] * 2, [0, 4, 1, 5, 2, 6, 3, 7]) for rank in range(2)] == [[0, 1, 4, 5], [2, 3, 6, 7]]


BOUND = """
import json, os, sys, threading
import numpy  # starts threads of its own
from fiabench.devices.binding import bind
running = threading.Event()
threading.Thread(target=running.wait, daemon=True).start()
first = bind("cpu", int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
again = bind("cpu", int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
threads = [sorted(os.sched_getaffinity(int(name))) for name in os.listdir("/proc/self/task")]
print(json.dumps([first, again, threads, "torch" in sys.modules]))
"""


def bound(rank, count, threads):
    command = [sys.executable, "-c", BOUND, *map(str, (rank, count, threads))]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_a_process_is_bound_with_all_its_threads_and_stays_so():
    first, again, threads, torch = bound(0, 1, 1)
    assert first
    assert again == first
    assert all(mask == first for mask in threads)
    assert not torch


def test_ranks_that_are_too_many_for_the_cores_are_not_bound():
    first, _, threads, _ = bound(0, 100_000, 1)
    assert first is None
    assert len(set(map(tuple, threads))) == 1


def test_what_a_launcher_bound_stays():
    core = min(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, [{core}])\n{BOUND}"
    command = [sys.executable, "-c", code, "1", "2", "1"]
    first, *_ = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    if len(os.sched_getaffinity(0)) == 1:
        pytest.skip("one core: nothing that a launcher could choose")
    assert first == [core]


def test_a_simulated_device_binds_nothing():
    assert bind("sim:910b3", 0, 8, 1) is None


def test_torch_npu_that_binds_is_left_to_it(monkeypatch):
    monkeypatch.setenv("CPU_AFFINITY_CONF", "1")
    assert bind("npu", 0, 1, 1) is None


@pytest.fixture
def gpus(tmp_path):
    """Four GPUs as the NVIDIA driver shows them; a container has the files of three."""
    told = [("0000:9f:00.0", "GPU-b1", 1), ("0000:17:00.0", "GPU-a1", 0), ("0000:c1:00.0", "GPU-a2", 3)]
    for bus, uuid, minor in [*told, ("0000:a1:00.0", "GPU-c1", 2)]:
        folder = tmp_path / "gpus" / bus
        folder.mkdir(parents=True)
        lines = [
            "Model: \t\t NVIDIA H100",
            f"GPU UUID: \t {uuid}",
            f"Bus Location: \t {bus}",
            f"Device Minor: \t {minor}",
        ]
        (folder / "information").write_text("\n".join(lines) + "\n")
    for _, _, minor in told:
        (tmp_path / f"nvidia{minor}").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("visible", "buses"),
    [
        (None, ["0000:17:00.0", "0000:9f:00.0", "0000:c1:00.0", ""]),
        ("2,0", ["0000:c1:00.0", "0000:17:00.0", "", ""]),
        ("GPU-b,GPU-a2", ["0000:9f:00.0", "0000:c1:00.0", "", ""]),
        ("MIG-1,7,x,GPU-c", ["", "", "", ""]),
        ("", ["", "", "", ""]),
    ],
)
def test_the_gpus_that_are_visible(gpus, visible, buses):
    assert nvidia_buses(visible, 4, gpus / "gpus", gpus) == buses


def test_without_drivers_no_address_is_known(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert nvidia_buses(None, 2, tmp_path / "none") == ["", ""]
    assert npu_buses("", 2) == ["", ""]
    assert device_buses("cpu", 3) == ["", "", ""]
