"""The history to learn on: the same for a seed, applicable for any, and its events seen by the real engine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from fiabench.cases.case import Case
from fiabench.cases.errors import InputError
from fiabench.cases.expand import expand
from fiabench.cases.load import load_sweep
from fiabench.cli.learning import learn
from fiabench.history import learning, learning_layer
from fiabench.history.learning import SYMPTOMS
from fiabench.results.measurement import Measurement
from fiabench.results.rundir import read_run

ROOT = Path(__file__).resolve().parents[2]
SWEEP = ROOT / "sweeps" / "learning.yaml"
LAST = "210146a751732bfbf626462e1590da58a7ffe3d6"
"""The newest commit of seed 0, on every machine: it changes with the layer's text alone."""
REFUSED = "[CheckQShape] query layout is BSND, shape [1, 512, 2, 64] should be equal to [1, 512, 8, 64]."

seeds = st.integers(0, 2**31)


def git(path: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=path, capture_output=True, text=True, check=True
    ).stdout.strip()  # fmt: skip


@settings(max_examples=100)
@given(seeds)
def test_any_seed_gives_events_apart_from_each_other(seed: int) -> None:
    changes, events = learning.changes(seed), learning.truth(seed)
    assert len(changes) == 14
    assert len({change.subject for change in changes}) == 14
    assert set(events) == set(SYMPTOMS)
    marked = sorted(place for event in events.values() for place in event if place is not None)
    assert marked[0] > 0
    assert marked[-1] < 13
    assert all(second - first > 1 for first, second in pairwise(marked))
    clean = {change.subject for change in learning_layer.CLEAN}
    assert {place for place, change in enumerate(changes) if change.subject not in clean} == {0, *marked}
    for name in ("crash", "wrong"):
        fixed = events[name].fixed
        assert fixed is not None
        # Nothing else happens while it is broken: the steps are between commits that can be measured.
        assert marked.index(fixed) == marked.index(events[name].introduced) + 1
        assert 2 <= fixed - events[name].introduced <= 3
    assert events["slowdown"].fixed is events["memory"].fixed is None


@settings(max_examples=50)
@given(seeds)
def test_any_seed_gives_commits_that_change_something_and_compile(seed: int) -> None:
    before: dict[str, str] = {}
    for files in learning.versions(seed):
        assert files != before
        for name, text in files.items():
            if name.endswith(".py"):
                compile(text, name, "exec")
        before = files
    # In whatever order, the same comes out.
    assert before == list(learning.versions(0))[-1]


def test_a_change_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="'Keep a changelog' does not fit: it makes CHANGELOG"):
        learning_layer.apply({"CHANGELOG.md": "here"}, learning_layer.CLEAN[-1])
    with pytest.raises(ValueError, match="has 0 times"):
        learning_layer.apply({}, learning_layer.WRONG)


def test_events_are_elsewhere_with_another_seed() -> None:
    assert len({str(learning.truth(seed)) for seed in range(10)}) > 5


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("learning") / "layer"
    learning.make(path)
    return path


def test_the_same_seed_gives_the_same_commits(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings_of_a_user = tmp_path / "gitconfig"
    settings_of_a_user.write_text(
        "[user]\nname = Somebody\n[core]\nautocrlf = true\n[commit]\ngpgsign = true\n[init]\ndefaultBranch = trunk\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings_of_a_user))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    told = learning.make(tmp_path / "again")
    monkeypatch.undo()
    assert told == json.loads((made / learning.TRUTH).read_text())
    hashes = [commit["commit"] for commit in told["commits"]]
    assert git(made, "rev-list", "--reverse", learning.BRANCH).split() == hashes
    assert git(tmp_path / "again", "rev-parse", "HEAD", *learning.TAGS).split() == [
        hashes[-1], hashes[0], hashes[7], hashes[-1]
    ]  # fmt: skip
    assert hashes[-1] == LAST
    assert not (tmp_path / "elsewhere").exists()


def test_the_truth_lies_beside_the_repository_and_not_in_it(made: Path, tmp_path: Path) -> None:
    assert git(made, "status", "--porcelain") == ""
    git(tmp_path, "clone", "--quiet", str(made), "clone")
    assert not (tmp_path / "clone" / learning.TRUTH).exists()
    told = json.loads((made / learning.TRUTH).read_text())
    places = {commit["commit"]: place for place, commit in enumerate(told["commits"])} | {None: None}
    found = {name: (places[event["introduced"]], places[event["fixed"]]) for name, event in told["events"].items()}
    assert found == learning.truth()
    assert [commit["subject"] for commit in told["commits"]] == git(made, "log", "--reverse", "--format=%s").split("\n")


def test_the_command_makes_it_and_says_how_to_go_on(tmp_path: Path) -> None:
    done = CliRunner().invoke(learn, [str(tmp_path / "new folder"), "--seed", "3"], catch_exceptions=False)
    assert done.exit_code == 0
    last = git(tmp_path / "new folder", "rev-parse", "--short=10", "HEAD")
    assert f"14 commits of an attention layer in {tmp_path / 'new folder'}, {last} the last." in done.output
    assert f"--project layer='{tmp_path / 'new folder'}'" in done.output
    assert json.loads((tmp_path / "new folder" / learning.TRUTH).read_text())["seed"] == 3


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(InputError, match=r"found .* with files in it; allowed: an empty folder, or a new one"):
        learning.make(tmp_path)
    with pytest.raises(InputError, match="cannot be made"):
        learning.make(tmp_path / "mine")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_the_sweep_is_of_the_layers_model() -> None:
    sweep = load_sweep(SWEEP)
    shapes = {(case.heads, case.head_dim) for case in expand(sweep) if isinstance(case, Case)}
    assert shapes == {(learning_layer.HEADS, learning_layer.HEAD_DIM)}
    assert sweep.projects["layer"].target == learning_layer.TARGET


@pytest.fixture(scope="module")
def checkouts(made: Path) -> list[Path]:
    """Each commit's own, oldest first."""
    paths = []
    for place, commit in enumerate(git(made, "rev-list", "--reverse", learning.BRANCH).split()):
        paths.append(made.parent / f"c{place}")
        git(made, "worktree", "add", "--quiet", "--detach", str(paths[-1]), commit)
    return paths


def run(sweep: Path, out: Path, *more: str, code: int) -> list[Measurement]:
    """What `tools/sweep.py run` measured, on the CPU."""
    command = [sys.executable, str(ROOT / "tools" / "sweep.py"), "run", str(sweep), "--device", "cpu", "--no-figures"]
    done = subprocess.run([*command, "--out", str(out), *more], capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return read_run(out).measurements


@pytest.fixture
def derived(checkouts: list[Path], tmp_path: Path) -> Callable[..., Path]:
    """The shipped sweep over all commits in one run, as projects c0, c1, ..., with axes and shapes of a test."""

    def write(axes: dict[str, Any], zipped: list[dict[str, Any]], sampling: dict[str, Any], **shape: Any) -> Path:
        sweep = yaml.safe_load(SWEEP.read_text())
        (layer,) = sweep["projects"].values()
        sweep["projects"] = {path.name: layer | {"path": str(path)} for path in checkouts}
        del sweep["constants"]["op"]
        sweep["constants"] |= shape
        path = tmp_path / "derived.yaml"
        path.write_text(yaml.safe_dump(sweep | {"axes": axes, "zip": zipped, "sampling": sampling}))
        return path

    return write


FEW = {"min_samples": 3, "max_samples": 3, "warmup_max_seconds": 0.1}
OPS = [f"c{place}" for place in range(14)]


@pytest.mark.long
def test_the_operator_refuses_a_commit_of_the_crash_under_ulysses_alone(
    made: Path, checkouts: list[Path], tmp_path: Path
) -> None:
    """The shipped sweep, as a user runs it."""
    place = learning.truth()["crash"].introduced
    chosen = ("--project", f"layer={checkouts[place]}", "--filter", "seq_len_q=512", "--filter", "ulysses=1,4")
    alone, sharded = run(SWEEP, tmp_path / "run", *chosen, code=3)
    assert alone.status in ("ok", "unsettled")
    assert sharded.status == SYMPTOMS["crash"].status
    assert REFUSED in sharded.reason
    assert alone.timing["projects"]["layer"]["commit"] == git(checkouts[place], "rev-parse", "HEAD")


@pytest.mark.slow
def test_each_commit_fails_as_the_truth_says(derived: Callable[..., Path], tmp_path: Path) -> None:
    found = run(derived({"op": OPS, "ulysses": [1, 2]}, [], FEW, seq_len_q=128), tmp_path / "run", code=3)
    failures = {
        (OPS.index(measurement.case["op"]), measurement.case["ulysses"]): measurement.status
        for measurement in found
        if measurement.failed
    }
    events = learning.truth()
    crash, wrong = (range(events[name].introduced, events[name].fixed or 14) for name in ("crash", "wrong"))
    assert len(found) == 28
    assert failures == {(place, 2): "error" for place in crash} | {
        (place, ulysses): "wrong" for place in wrong for ulysses in (1, 2)
    }


@pytest.mark.long
def test_memory_steps_at_its_commit_alone(derived: Callable[..., Path], tmp_path: Path) -> None:
    found = run(derived({"op": OPS}, [], FEW, seq_len_q=1024, mask="causal"), tmp_path / "run", code=3)
    peaks = [measurement.value("peak_memory") for measurement in found]
    if peaks[0] is None:
        pytest.skip("this system does not tell a process's peak memory")
    known = [(place, peak) for place, peak in enumerate(peaks) if peak]
    steps = {after: high / low for (_, low), (after, high) in pairwise(known)}
    assert max(steps, key=lambda place: steps[place]) == learning.truth()["memory"].introduced
    # 9 bytes of mask and 2 of bias for each pair of tokens, where there were 7 MiB in all.
    assert steps[learning.truth()["memory"].introduced] > 1.5


@pytest.mark.long
def test_the_slowdown_is_at_its_commit(derived: Callable[..., Path], tmp_path: Path) -> None:
    """Against the commit before it, in turns; and so a clean commit."""
    slower = learning.truth()["slowdown"].introduced
    pairs = [{"op": [f"c{slower}", f"c{slower + 1}"], "against": [f"c{slower - 1}", f"c{slower}"]}]
    sampling = {"criterion": "fixed_count", "max_samples": 60, "max_seconds": 10}
    found = run(derived({}, pairs, sampling, seq_len_q=512), tmp_path / "run", code=0)
    event, clean = (measurement.value("ratio") for measurement in found)
    assert event is not None
    assert clean is not None
    assert event > 1.1
    assert event > 1.1 * clean
