"""Bad luck, done to real processes: what a run must survive, keep and say."""

from __future__ import annotations

import os
import resource
import shutil
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.cli.conftest import ROOT, lines_of, until

pytestmark = pytest.mark.slow

LONG = {"min_samples": 3, "max_samples": 100000, "max_seconds": 60.0, "half_width": 0.00001, "warmup_max_seconds": 0.0}
"""Sampling that goes on until somebody does harm."""


def alive(processes: list[psutil.Process]) -> list[int]:
    return [process.pid for process in processes if process.is_running() and process.status() != "zombie"]


def ranks_at_work(command: Any, count: int) -> list[psutil.Process]:
    """The ranks, once all of them have used more processor time than starting takes: they are in a case."""

    def working() -> list[psutil.Process] | None:
        ranks = command.ranks()
        if len(ranks) < count:
            return None
        before = [sum(rank.cpu_times()[:2]) for rank in ranks]
        return ranks if min(before) > 0 and has_joined(ranks) else None

    def has_joined(ranks: list[psutil.Process]) -> bool:
        return all(len(rank.net_connections()) > 1 for rank in ranks)

    ranks: list[psutil.Process] = until(working)
    return ranks


def test_a_killed_rank_costs_its_case_and_no_other(write_sweep: Any, start: Any, tmp_path: Path) -> None:
    sweep = write_sweep(sampling=LONG | {"max_seconds": 1.5})
    command = start("run", sweep, "--device", "cpu", "--out", tmp_path / "out", "--no-figures")
    until(lambda: len(lines_of(tmp_path / "out")) == 1)
    victim = command.ranks()[1]
    victim.send_signal(signal.SIGKILL)
    code, _, err = command.wait()
    assert code == 3, err
    statuses = [(line["case"]["seq_len_q"], line["status"]) for line in lines_of(tmp_path / "out")]
    assert statuses == [(64, "unsettled"), (128, "crash"), (192, "unsettled")]
    assert "rank 1 was killed by SIGKILL" in lines_of(tmp_path / "out")[1]["reason"]


@pytest.mark.long
def test_a_rank_that_hangs_ends_at_the_deadline(write_sweep: Any, start: Any, tmp_path: Path) -> None:
    sweep = write_sweep(sampling=LONG | {"max_seconds": 1.5, "deadline_seconds": 20.0})
    command = start("run", sweep, "--device", "cpu", "--out", tmp_path / "out", "--no-figures")
    until(lambda: len(lines_of(tmp_path / "out")) == 1)
    stopped = command.ranks()[0]
    stopped.send_signal(signal.SIGSTOP)
    code, _, err = command.wait()
    assert code == 3, err
    lines = lines_of(tmp_path / "out")
    assert [line["status"] for line in lines] == ["unsettled", "timeout", "unsettled"]
    assert "no answer from rank 0" in lines[1]["reason"]
    assert "within 20 s" in lines[1]["reason"]
    assert not alive([stopped])


def test_a_rank_out_of_memory_is_told_from_other_errors(write_sweep: Any, start: Any, tmp_path: Path) -> None:
    """The box has the memory, the processes may not have it: an allocation really fails."""
    sizes = [64, 8_000_000, 128]
    sweep = write_sweep(geometry={"heads": 1, "head_dim": 64}, axes={"seq_len_q": sizes}, measure="kernel")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (3 * 2**30, 3 * 2**30))

    command = start("run", sweep, "--device", "cpu", "--out", tmp_path / "out", "--no-figures", preexec=limit)
    code, _, err = command.wait()
    lines = lines_of(tmp_path / "out")
    assert code == 3, err
    assert [line["case"]["seq_len_q"] for line in lines] == sizes
    assert lines[1]["status"] == "out_of_memory", lines[1]
    assert "allocate" in lines[1]["reason"]
    assert all(line["status"] in ("ok", "unsettled") for line in (lines[0], lines[2]))


@pytest.mark.parametrize("how", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_interrupting_keeps_what_is_done_and_resume_goes_on(
    how: signal.Signals, write_sweep: Any, start: Any, tmp_path: Path
) -> None:
    sweep = write_sweep(sampling=LONG | {"max_seconds": 1.5})
    command = start("run", sweep, "--device", "cpu", "--out", tmp_path / "out", "--no-figures")
    until(lambda: len(lines_of(tmp_path / "out")) == 1)
    ranks = command.ranks()
    command.process.send_signal(how)
    code, _, err = command.wait()
    assert code == 130
    assert f"--resume {tmp_path / 'out'}" in err
    assert len(ranks) == 2
    assert not alive(ranks)
    first = lines_of(tmp_path / "out")
    assert len(first) == 1

    code, out, err = start("run", "--resume", tmp_path / "out", "--no-figures").wait()
    assert code == 0, err
    lines = lines_of(tmp_path / "out")
    assert lines[0] == first[0]
    assert [line["case"]["seq_len_q"] for line in lines] == [64, 128, 192]
    assert "192" in out


def test_ranks_do_not_outlive_a_killed_coordinator(write_sweep: Any, start: Any, tmp_path: Path) -> None:
    command = start("run", write_sweep(sampling=LONG), "--device", "cpu", "--out", tmp_path / "out", "--no-figures")
    ranks = ranks_at_work(command, 2)
    os.kill(command.process.pid, signal.SIGKILL)
    command.wait()
    until(lambda: not alive(ranks))


SEED_BUG = """
import os, torch
import fiabench.npu_operator
ABOUT = "The seed's bug: heads cached from the model, not read from the tensors."
def unsupported(case, device): return None
def emulated(device): return True
def prepare(case, query, key, value):
    def launch():
        if {ranks} and int(os.environ["RANK"]) not in {ranks}:
            return torch.zeros_like(query)
        heads = case.heads // case.tp
        return torch.ops.npu.npu_fused_infer_attention_score(
            query, key, value, num_heads=heads, num_key_value_heads=heads, scale=1.0, input_layout="BNSD")[0]
    return launch
"""


@pytest.fixture
def checkout_with_operator(tmp_path: Path) -> Any:
    """A copy of this checkout with one more operator: a file, and no other change."""

    def make(name: str, text: str) -> Path:
        checkout = tmp_path / "checkout"
        for folder in ("src", "tools"):
            shutil.copytree(ROOT / folder, checkout / folder, ignore=shutil.ignore_patterns("*.egg-info"))
        (checkout / "src" / "fiabench" / "ops" / f"{name}.py").write_text(text)
        return checkout

    return make


@pytest.mark.parametrize("ranks", [pytest.param("()", marks=pytest.mark.long), "(1,)"])
def test_an_operator_that_raises_is_an_error_with_its_words(
    ranks: str, write_sweep: Any, start: Any, checkout_with_operator: Any, tmp_path: Path
) -> None:
    """The seed's crash, on every rank and on one rank while the other waits for it in the next exchange."""
    checkout = checkout_with_operator("cached_heads", SEED_BUG.replace("{ranks}", ranks))
    sweep = write_sweep(axes={"op": ["cached_heads", "sdpa"], "seq_len_q": [64], "ulysses": [2]})
    arguments = ("run", sweep, "--device", "cpu", "--out", tmp_path / "out", "--no-figures")
    code, _, err = start(*arguments, checkout=checkout).wait()
    lines = lines_of(tmp_path / "out")
    assert code == 3, (err, lines)
    assert lines[0]["status"] == "error"
    assert "561002" in lines[0]["reason"]
    assert (
        "[CheckQShape] query layout is BNSD, shape [1, 2, 64, 16] should be equal to [1, 4, 64, 16]"
        in lines[0]["reason"]
    )
    assert ("rank 1: " in lines[0]["reason"]) == (ranks != "()")
    assert lines[1]["status"] in ("ok", "unsettled")
