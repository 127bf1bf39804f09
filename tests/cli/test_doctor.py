"""The doctor as a user starts it: what it says of this box, and what it does when a claim fails, dies or hangs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fiabench.cli import checking, doctor
from fiabench.cli.advice import ADVICE, advice
from fiabench.results.environment import VARIABLES
from fiabench.selftest.names import NAMES

ROOT = Path(__file__).resolve().parents[2]


def start(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools" / "doctor.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=150, env=os.environ | variables)


@pytest.mark.slow
def test_it_says_what_this_box_is() -> None:
    done = start("--device", "cpu", "--json", OMP_NUM_THREADS="2")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    box = told["box"]
    assert box["device"] == "cpu"
    assert box["timing"] == "host"
    assert box["graphs"] == "a CPU has no graphs"
    assert (box["backend"], box["backend_there"]) == ("gloo", True)
    assert box["cores"] == sorted(os.sched_getaffinity(0))
    assert box["variables"]["OMP_NUM_THREADS"] == "2"
    assert box["operator"]["provided_by"]
    assert told["claims"] == []


@pytest.mark.long
def test_the_self_test_holds_on_a_cpu() -> None:
    """All of it but what asks how quiet the box is."""
    done = start("--device", "cpu", "--selftest", "--json")
    claims = {claim["claim"]: claim for claim in json.loads(done.stdout)["claims"]}
    assert tuple(claims) == NAMES
    disturbed = {"clock", "flush_cache", "profiler", "wait", "aligned"}
    failed = {name: claim for name, claim in claims.items() if claim["verdict"] == "FAILED"}
    assert set(failed) <= disturbed, failed
    assert done.returncode == (1 if failed else 0)
    skipped = {name for name, claim in claims.items() if claim["verdict"] == "skipped"}
    assert {"hold", "behind_hold", "capture"} <= skipped <= {"hold", "behind_hold", "capture", "peak_memory", "sensors"}
    assert all(claim["found"] for claim in claims.values())


@pytest.mark.slow
def test_a_device_that_is_not_there_is_bad_input() -> None:
    done = start("--device", "cuda", CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 2
    assert "--device: found 'cuda'; it is not to be had here" in done.stderr
    assert done.stdout == ""


FAST_CLOCK = """
    from fiabench.devices.cpu import CpuDevice
    from fiabench.selftest import run, timing

    right = CpuDevice.seconds
    CpuDevice.seconds = lambda self, start, end: 1.1 * right(self, start, end)
    timing._LONG = 0.1
    run.main()
"""
DYING = """
    import json, os, sys, time

    def say(**message):
        print(json.dumps(message), flush=True)

    say(facts={"timing": "host"})
    for claim in sys.argv[2:]:
        say(begins=claim, sentence=f"{claim} is planted")
        if claim == "ends":
            sys.exit(7)
        if claim == "is killed":
            os.kill(os.getpid(), 9)
        if claim == "hangs":
            time.sleep(600)
        say(claim=claim, sentence="", verdict="ok", expected="", found="")
"""


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a script in the place of the self-test's process."""

    def write(script: str) -> None:
        path = tmp_path / "planted.py"
        path.write_text(textwrap.dedent(script))
        monkeypatch.setattr(checking, "COMMAND", [sys.executable, str(path)])

    return write


@pytest.mark.long
def test_a_fast_clock_is_told_and_fails_the_command(
    plant: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(FAST_CLOCK)
    monkeypatch.setattr(doctor, "NAMES", ("clock", "out_of_memory"))
    code = doctor.main(["--device", "cpu", "--selftest"])
    clock, memory, total = capsys.readouterr().out.splitlines()[-3:]
    assert clock.startswith("FAILED clock: a pair of marks around long work agrees with the host's clock; expected")
    assert re.search(r": (9\.\d+|10|10\.\d+) % apart$", clock)
    assert memory.startswith("ok out_of_memory: ")
    assert total == "1 ok, 1 FAILED, 0 skipped"
    assert code == 1


def test_claims_that_end_the_process_or_hang_do_not_hide_the_others(
    plant: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(DYING)
    monkeypatch.setattr(checking, "CLAIM_SECONDS", 3.0)
    found: list[dict[str, Any]] = []
    facts = checking.check("cpu", ("first", "ends", "hangs", "is killed", "last"), found.append)
    assert facts == {"timing": "host"}
    assert [(claim["claim"], claim["verdict"]) for claim in found] == [
        ("first", "ok"),
        ("ends", "FAILED"),
        ("hangs", "FAILED"),
        ("is killed", "FAILED"),
        ("last", "ok"),
    ]
    assert [claim["found"] for claim in found[1:4]] == [
        "it ended with exit code 7",
        "gave no answer within 3 s",
        "the process was killed by SIGKILL",
    ]
    assert found[1]["sentence"] == "ends is planted"


def test_a_device_that_cannot_be_opened_is_the_only_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    script = "import sys; sys.exit('no such driver')"
    monkeypatch.setattr(checking, "COMMAND", [sys.executable, "-c", script])
    found: list[dict[str, Any]] = []
    assert checking.check("npu", NAMES, found.append) == {}
    (claim,) = found
    assert (claim["claim"], claim["verdict"]) == ("device", "FAILED")
    assert "no such driver" in claim["found"]


NPU_AS_ADVISED = {"TASK_QUEUE_ENABLE": "1", "HCCL_BUFFSIZE": "400"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, []),
        ({"TASK_QUEUE_ENABLE": ""}, ["TASK_QUEUE_ENABLE is not set: "]),
        ({"TASK_QUEUE_ENABLE": "2"}, ["TASK_QUEUE_ENABLE=2: graphs"]),
        ({"TASK_QUEUE_ENABLE": "0"}, ["TASK_QUEUE_ENABLE=0: no task queue"]),
        ({"HCCL_BUFFSIZE": ""}, ["HCCL_BUFFSIZE is not set: 200 MB"]),
        ({"HCCL_BUFFSIZE": "200"}, ["HCCL_BUFFSIZE=200: "]),
        ({"HCCL_BUFFSIZE": "291"}, []),
        ({"ASCEND_LAUNCH_BLOCKING": "1"}, ["ASCEND_LAUNCH_BLOCKING=1: every launch waits"]),
        ({"ASCEND_LAUNCH_BLOCKING": "0"}, []),
        ({"CPU_AFFINITY_CONF": "1"}, ["CPU_AFFINITY_CONF=1: torch_npu binds"]),
    ],
)
def test_advice_on_an_npu(changes: dict[str, str], words: list[str]) -> None:
    said = advice("npu", NPU_AS_ADVISED | changes, [])
    assert len(said) == len(words)
    assert all(sentence.startswith(start) for sentence, start in zip(said, words))


def test_the_buffer_is_what_the_exchange_needs() -> None:
    """96.8 MB for each of query, key and value, as the vendor's models have them."""
    (said,) = advice("npu", NPU_AS_ADVISED | {"HCCL_BUFFSIZE": "100"}, [])
    assert said.endswith("has 290")


def test_advice_on_the_others() -> None:
    assert advice("cpu", {"CUDA_LAUNCH_BLOCKING": "1"}, ["performance"]) == []
    (blocking,) = advice("cuda", {"CUDA_LAUNCH_BLOCKING": "1"}, [])
    assert "spoils timing" in blocking
    (governor,) = advice("cpu", {}, ["performance", "powersave"])
    assert "powersave" in governor


def test_there_is_advice_only_on_variables_that_are_told() -> None:
    told = {name for device in ADVICE for name in doctor.variables(device)}
    assert {each.variable for found in ADVICE.values() for each in found} <= told
    assert set(VARIABLES) <= told


def test_governors_and_cores_in_words(tmp_path: Path) -> None:
    for core, governor in enumerate(("performance", "powersave", "powersave")):
        folder = tmp_path / "devices/system/cpu" / f"cpu{core}" / "cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text(f"{governor}\n")
    assert doctor.governors(tmp_path) == ["performance", "powersave"]
    assert doctor.governors(tmp_path / "nowhere") == []
    assert doctor.ranges([8, 0, 1, 2]) == "0-2,8"
    assert doctor.ranges([]) == ""
