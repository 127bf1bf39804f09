"""`history run` with the real asv: a range with a commit that cannot be imported, killed half way and gone on with."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from fiabench.cases.errors import InputError
from fiabench.cases.expand import expand
from fiabench.cases.load import load_sweep, profile_names
from fiabench.cli.history import main
from fiabench.history.freezing import differences, freeze
from fiabench.history.repository import Repository
from fiabench.history.runner import Due, Plan, due, measure
from fiabench.history.store import Store
from fiabench.results.rundir import CASES, Run
from tests.history.planted import add, failed, line
from tests.history.toy import CRASHES, PLAIN, UNLOADABLE, Toy, write_sweep
from tests.wheels import release

ROOT = Path(__file__).resolve().parents[2]
SWEEPS = sorted((ROOT / "sweeps").glob("*.yaml"))
PATIENCE = 240.0
FEW = {"min_samples": 3, "max_samples": 4, "max_seconds": 1.0, "warmup_max_seconds": 0.1}


class Command:
    """tools/history.py in a home where nobody has used asv."""

    def __init__(self, folder: Path) -> None:
        self.place = folder / "place"
        (folder / "home").mkdir()
        self._environment = os.environ | {"HOME": str(folder / "home"), "COLUMNS": "200"}
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, str(ROOT / "tools" / "history.py"), *map(str, arguments), "--store", str(self.place)]
        process = subprocess.Popen(
            command, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.started.append(process)
        return process

    def ends(self, *arguments: object) -> tuple[int, str]:
        """Exit code and all that it printed."""
        process = self.start(*arguments)
        printed, _ = process.communicate(timeout=PATIENCE)
        return process.returncode, printed


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    made = Command(tmp_path_factory.mktemp("history"))
    yield made
    for process in made.started:
        if process.poll() is None:
            process.kill()
            process.wait()


def until(what: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if value := what():
            return value
        time.sleep(0.05)
    raise AssertionError("did not happen")


def runs(store: Store, commit: str) -> list[Run]:
    return [attempt.run for attempt in store.attempts(commit=commit)[0] if attempt.run]


def measuring(place: Path) -> list[psutil.Process]:
    """Processes that write below ``place``."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if any(str(place) in word for word in words) and process.pid != os.getpid():
            found.append(process)
    return found


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_run_that_is_killed_goes_on_with_what_is_missing(command: Command, tmp_path: Path) -> None:
    toy = Toy(tmp_path / "toy")
    plain = toy.commit(PLAIN, "Plain")
    unloadable = toy.commit(UNLOADABLE, "Import what nobody has")
    mended = toy.commit(PLAIN + "\n", "Mend it")
    (toy.path / "toy.py").write_text(CRASHES)  # in no commit, and so of no account
    sweep = write_sweep(tmp_path / "toy.yaml", axes={"seq_len_q": [64]}, sampling=FEW)
    arguments = ("run", "--project", toy.path, "--range", "main", "--sweep", sweep, "--order", "oldest")
    store = Store.of(command.place, "toy")

    killed = command.start(*arguments)
    until(lambda: [run for run in runs(store, plain) if run.header["finished"]])
    until(lambda: list(store.runs.glob(f"*/{unloadable}/*")))
    code, printed = command.ends(*arguments)
    assert (code, "is being written by another run" in printed) == (2, True), printed
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    until(lambda: not measuring(command.place))
    (first,) = runs(store, plain)
    before = (first.path / CASES).read_bytes()

    code, printed = command.ends(*arguments)
    assert code == 3, printed
    assert "3 commits, 1 of them measured before" in printed
    assert "1 uncommitted change left alone" in printed
    assert "No module named 'no_such_module_anywhere'" in printed
    assert (first.path / CASES).read_bytes() == before
    assert len(runs(store, plain)) == 1
    (line,) = [line for run in runs(store, mended) for line in run.lines]
    assert line.measured
    assert line.timing["projects"]["toy"] | {"commit": mended, "dirty": False} == line.timing["projects"]["toy"]
    (lost,) = [line for run in runs(store, unloadable) for line in run.lines]
    assert lost.status == "error"

    code, printed = command.ends(*arguments)
    assert code == 3, printed
    assert f"nothing is missing, 1 commit failed before ({unloadable[:10]}): --again" in printed
    assert (toy.path / "toy.py").read_text() == CRASHES

    write_sweep(sweep, axes={"seq_len_q": [64]}, sampling={**FEW, "max_samples": 5})
    code, printed = command.ends(*arguments)
    assert code == 2
    assert "sampling.max_samples: 4 before, 5 now" in printed
    assert [len(runs(store, commit)) for commit in (plain, unloadable, mended)] == [1, 1, 1]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_commit_that_cannot_be_checked_out_has_a_reason(command: Command, tmp_path: Path) -> None:
    toy = Toy(tmp_path / "with-submodule")
    toy.commit(PLAIN, "Plain")
    nowhere = tmp_path / "nowhere"
    (toy.path / ".gitmodules").write_text(f'[submodule "part"]\n\tpath = part\n\turl = {nowhere}\n')
    toy.git("update-index", "--add", "--cacheinfo", f"160000,{'a' * 40},part")
    toy.git("add", ".gitmodules")
    toy.git("commit", "--quiet", "--message", "Take a part from nowhere")
    sweep = write_sweep(tmp_path / "toy.yaml", axes={"seq_len_q": [64]}, sampling=FEW)
    code, printed = command.ends("run", "--project", toy.path, "--range", "main^!", "--sweep", sweep)
    assert code == 3, printed
    assert "asv measured nothing" in printed
    (attempt,), _ = Store.of(command.place, "with-submodule").attempts(commit=toy.git("rev-parse", "main"))
    assert attempt.run is None
    assert attempt.reason.startswith("asv measured nothing")
    assert str(nowhere) in attempt.reason
    code, printed = command.ends("show", "--project", "with-submodule")
    assert code == 2
    assert "no case was measured: asv measured nothing" in printed


@pytest.mark.long
@pytest.mark.timeout(900)
def test_sglang_0_5_10_crashes_under_ulysses_and_0_5_11_does_not(command: Command, tmp_path: Path) -> None:
    """The history of sglang's pull request 23572, in a repository of two commits that hold the releases' files."""
    releases = [release("sglang", version) for version in ("0.5.10", "0.5.11")]
    toy = Toy(tmp_path / "sglang-history")
    hashes = []
    for folder in releases:
        shutil.rmtree(toy.path / "sglang", ignore_errors=True)
        shutil.copytree(folder / "sglang", toy.path / "sglang")
        toy.git("add", "--all", "--force")
        toy.git("commit", "--quiet", "--message", folder.name)
        hashes.append(toy.git("rev-parse", "HEAD"))
    sweep = write_sweep(
        tmp_path / "seed.yaml",
        geometry={"heads": 8, "head_dim": 64},
        axes={"seq_len_q": [64], "ulysses": [1, 2, 4]},
        constants={"op": "sglang", "layout": "BSND", "dtype": "bf16", "threads": 1},
        projects={"sglang": {"adapter": "sglang_ascend_fa"}},
        sampling=FEW,
    )
    arguments = ["--range", "main", "--adapter", "sglang-ascend-fa", "--sweep", sweep]
    code, printed = command.ends("run", "--project", toy.path, *arguments)
    assert code == 3, printed
    before, after = (
        {
            line.case["ulysses"]: line
            for run in runs(Store.of(command.place, toy.path.name), commit)
            for line in run.lines
        }
        for commit in hashes
    )
    assert set(before) == set(after) == {1, 2, 4}
    assert before[1].measured
    for ulysses, heads in ((2, 4), (4, 2)):
        assert before[ulysses].status == "error"
        words = f"query layout is BNSD, shape [1, {heads}, 64, 64] should be equal to [1, 8, 64, 64]."
        assert words in before[ulysses].reason
        assert after[ulysses].check["passed"]
    assert all(line.measured for line in after.values())
    code, printed = command.ends("show", "--project", toy.path.name, "u4")
    assert code == 0
    assert "error from the first commit" in printed
    assert "[CheckQShape] query layout is BNSD, shape [1, 2, 64, 64] should be equal to [1, 8, 64, 64]." in printed


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    made = Toy(tmp_path / "toy")
    made.commit(PLAIN, "Plain")
    return made


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--range: found none"),
        (["--range", "main..main"], "holds no commit"),
        (["--range", "main..nowhere"], "bad revision"),
        (["--range", "main", "--tags"], "has no tag in it"),
        (["--range", "main", "--adapter", "sglang-ascend-f"], "did you mean sglang_ascend_fa?"),
        (["--range", "main", "--adapter", "sglang-ascend-fa"], "does not fit toy, which measures toy by any_callable"),
        (["--range", "main", "--name", "a/b"], "--name: found 'a/b'"),
        (["--range", "main", "--machine", "../../x"], "--machine: found '../../x'"),
        (["--range", "main", "--profile", "quick"], "no profile quick"),
        (["--range", "main", "--every", "0"], "0 is not in the range"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    sweep = write_sweep(tmp_path / "toy.yaml")
    common = ["run", "--project", str(toy.path), "--sweep", str(sweep), "--store", str(tmp_path / "place")]
    assert main([*common, *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "place").exists()


def test_a_device_that_is_not_there_is_refused_before_any_commit_is_blamed(
    toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_none(wanted: str) -> None:
        raise InputError.plain(f"no {wanted} here")

    monkeypatch.setattr("fiabench.cli.history_running.find_machine", find_none)
    sweep = write_sweep(tmp_path / "toy.yaml")
    common = ["run", "--project", str(toy.path), "--sweep", str(sweep), "--store", str(tmp_path / "place")]
    assert main([*common, "--range", "main", "--device", "npu"]) == 2
    assert "no npu here" in capsys.readouterr().err
    assert not (tmp_path / "place").exists()


def test_a_missing_repository_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = write_sweep(tmp_path / "toy.yaml")
    for folder, said in (("nowhere", "found no folder"), (".", "in no git repository")):
        project = str(tmp_path / folder)
        assert main(["run", "--project", project, "--range", "main", "--sweep", str(sweep)]) == 2
        assert said in capsys.readouterr().err


def test_a_sweep_that_does_not_name_the_project_is_refused(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["run", "--project", str(toy.path), "--range", "main"]
    assert main([*common, "--sweep", "history"]) == 2
    assert "history measures no such project" in capsys.readouterr().err
    assert main([*common, "--sweep", "seed-claims"]) == 2
    assert "several of seed-claims could be meant; say which: before=PATH" in capsys.readouterr().err
    assert main(common) == 2
    assert "found no --sweep and no --adapter" in capsys.readouterr().err


def test_a_history_belongs_to_one_repository(
    toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # where asv keeps the names of machines
    other = Toy(tmp_path / "other")
    other.commit(PLAIN, "Plain")
    Store.of(tmp_path / "place", "toy").configure(Repository(other.path), tmp_path)
    sweep = write_sweep(tmp_path / "toy.yaml")
    arguments = ["--range", "main", "--sweep", str(sweep), "--store", str(tmp_path / "place")]
    assert main(["run", "--project", str(toy.path), *arguments]) == 2
    assert "give this project another --name" in capsys.readouterr().err


def test_only_what_was_measured_to_its_end_in_this_way_is_there(toy: Toy, tmp_path: Path) -> None:
    commit, other = Repository(toy.path).commit("main"), Repository(toy.path).commit(toy.commit(PLAIN, "Another"))
    store = Store.of(tmp_path / "place", "toy")
    sweep = freeze(load_sweep(write_sweep(tmp_path / "toy.yaml")), store.sweep("toy"))
    plan, rng = Plan(store, "box", sweep, "toy"), np.random.default_rng(0)
    all_due = [Due(other, (1,)), Due(commit, (1,))]
    assert due(plan, [other, commit]) == (all_due, [])
    add(store, commit.hash, [line(commit.hash, 1e-3, rng)], time="1", finished=False)
    add(store, commit.hash, [line(commit.hash, 1e-3, rng)], machine="another")
    assert due(plan, [other, commit]) == (all_due, [])
    add(store, commit.hash, [line(commit.hash, 1e-3, rng)], time="2")
    assert due(plan, [other, commit]) == (all_due[:1], [])
    assert due(plan, [other, commit], again=True) == (all_due, [])
    assert due(replace(plan, sessions=2), [other, commit]) == (all_due, [])
    assert due(replace(plan, device="cpu"), [other, commit]) == (all_due[:1], [])
    assert due(replace(plan, device="sim:910b3"), [other, commit]) == (all_due, [])
    longer = load_sweep(write_sweep(tmp_path / "longer.yaml", sampling={"max_seconds": 60.0}))
    assert due(replace(plan, sweep=longer), [other, commit]) == (all_due, [])
    wider = load_sweep(write_sweep(tmp_path / "wider.yaml", axes={"seq_len_q": [512], "ulysses": [1, 2, 4]}))
    assert due(replace(plan, sweep=wider), [commit]) == ([Due(commit, (2, 4))], [])


def test_what_the_engine_refuses_is_bad_input_and_no_failure_of_the_commits(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = Repository(toy.path).commit("main")
    store = Store.of(tmp_path / "place", "toy")
    plan = Plan(store, "box", freeze(load_sweep(write_sweep(tmp_path / "toy.yaml")), store.sweep("toy")), "toy")

    def refuse(*_: object) -> tuple[int, str]:
        folder = store.runs / "box" / commit.hash
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{len(list(folder.iterdir()))}.refused").write_text("found 8 ranks; npu allows 4 here\n")
        return 0, "asv's last words"

    monkeypatch.setattr("fiabench.history.runner._asv", refuse)
    for _ in range(2):
        with pytest.raises(InputError, match="npu allows 4 here"):
            measure(plan, Due(commit, (8,)), lock=0)
    assert store.attempts() == ([], [])


def test_a_commit_that_failed_is_told_of_at_every_run(toy: Toy, tmp_path: Path) -> None:
    commit, other = Repository(toy.path).commit("main"), Repository(toy.path).commit(toy.commit(PLAIN, "Another"))
    store = Store.of(tmp_path / "place", "toy")
    sweep = freeze(load_sweep(write_sweep(tmp_path / "toy.yaml")), store.sweep("toy"))
    plan, rng = Plan(store, "box", sweep, "toy"), np.random.default_rng(0)
    for one in (commit, other):
        add(store, one.hash, [failed(one.hash, "error", "it broke")], time="1")
    add(store, other.hash, [line(other.hash, 1e-3, rng)], time="0")
    assert due(plan, [other, commit]) == ([], [commit])


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_shipped_sweep_is_measured_as_it_is(path: Path, tmp_path: Path) -> None:
    for profile in (None, *profile_names(path)):
        sweep = load_sweep(path, profile)
        frozen = freeze(sweep, tmp_path / "frozen.yaml")
        assert list(expand(frozen)) == list(expand(sweep))
        assert differences(sweep, frozen) == []
