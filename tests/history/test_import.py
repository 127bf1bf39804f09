"""`history import` and `export`: runs from other boxes, into the history and into asv's results."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from fiabench.asv_plugin.keeping import alone
from fiabench.cli.history import main
from fiabench.history.repository import Repository
from fiabench.history.store import Store
from fiabench.results.rundir import read_run
from tests.history.planted import CASE, ORIGIN, failed, line, write_run
from tests.history.toy import PLAIN, Toy


class Box(NamedTuple):
    """A box that sends runs, and the place of the history that takes them."""

    place: Path
    hashes: list[str]
    store: Store

    def take(self, *arguments: object) -> int:
        return main(["import", "--store", str(self.place), *map(str, arguments)])

    def taken(self) -> list[Path]:
        return sorted(path.parent for path in self.store.runs.rglob("run.json"))


@pytest.fixture
def box(tmp_path: Path) -> Box:
    toy = Toy(tmp_path / "repository")
    hashes = [toy.commit(f"{PLAIN}# {number}\n", f"Commit {number}") for number in range(2)]
    store = Store.of(tmp_path / "place", "toy")
    store.configure(Repository(toy.path), tmp_path)
    return Box(tmp_path / "place", hashes, store)


def test_runs_become_another_machine_of_the_history_and_of_asv(box: Box, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sent = [
        write_run(tmp_path / "a", [line(box.hashes[0], 1e-3, rng)]),
        write_run(tmp_path / "b", [failed(box.hashes[1], "error", "it crashed")]),
    ]
    assert box.take(*sent, "--machine", "npu-box") == 0
    first, second = box.taken()
    assert [path.parent.name for path in (first, second)] == sorted(box.hashes)
    assert {path.parent.parent.name for path in (first, second)} == {"npu-box"}
    by_commit = {path.parent.name: read_run(path) for path in (first, second)}
    assert by_commit[box.hashes[0]].lines == read_run(sent[0]).lines
    files = list((box.store.results / "npu-box").glob(f"{box.hashes[0][:8]}*.json"))
    assert len(files) == 1, "asv's view of it"
    stored = json.loads(files[0].read_text())
    (total,) = (name for name in stored["results"] if name.endswith("sweep_total"))
    value = dict(zip(stored["result_columns"], stored["results"][total]))["result"][0]
    assert value == pytest.approx(by_commit[box.hashes[0]].lines[0].metrics["total"]["value"], rel=1e-4)
    asv = [
        sys.executable,
        "-m",
        "asv",
        "show",
        "--config",
        str(box.store.configuration.relative_to(tmp_path)),
        "--machine",
        "npu-box",
        box.hashes[0],
    ]
    shown = subprocess.run(asv, cwd=tmp_path, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert "sweep_kernel" in shown.stdout
    assert "npu-box: measured on CPU (Planted CPU, 2 cores): emulated operator, not NPU figures" in shown.stdout


def test_the_same_run_is_taken_once(box: Box, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sent = write_run(tmp_path / "a", [line(box.hashes[0], 1e-3, np.random.default_rng(0))])
    assert box.take(sent) == 0
    assert "imported" in capsys.readouterr().out
    assert box.take(sent) == 0
    assert "is there already" in capsys.readouterr().out
    (taken,) = box.taken()
    assert taken.parent.parent.name == "box", "the host that the run says"


def test_two_runs_of_one_moment_are_kept_both(box: Box, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sent = [write_run(tmp_path / name, [line(box.hashes[0], 1e-3, rng)]) for name in "ab"]
    assert box.take(*sent) == 0
    assert len(box.taken()) == 2


def dirty(commit: str) -> Any:
    made = line(commit, 1e-3, np.random.default_rng(0))
    made.timing["projects"]["toy"] = {**ORIGIN, "commit": commit, "dirty": True}
    return made


def test_a_run_of_no_commit_is_refused_unless_one_is_given(
    box: Box, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = write_run(tmp_path / "changed", [dirty(box.hashes[0])])
    wheel = line(box.hashes[0], 1e-3, np.random.default_rng(0))
    wheel.timing["projects"]["toy"] |= {"commit": None, "version": "0.5.10"}
    unpacked = write_run(tmp_path / "unpacked", [wheel])
    assert box.take(changed) == 2
    assert "with changes that are in no commit" in capsys.readouterr().err
    assert box.take(unpacked) == 2
    assert "does not say which commit it is of" in capsys.readouterr().err
    assert box.taken() == []
    assert box.take(unpacked, "--commit", box.hashes[1]) == 0
    assert [path.parent.name for path in box.taken()] == [box.hashes[1]]


def test_one_bad_run_among_good_ones_leaves_nothing_half_done(
    box: Box, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = write_run(tmp_path / "good", [line(box.hashes[0], 1e-3, np.random.default_rng(0))])
    assert box.take(good, tmp_path / "nowhere") == 2
    assert "is no run directory" in capsys.readouterr().err
    assert box.taken() == []


@pytest.mark.parametrize(
    ("facts", "arguments", "said"),
    [
        ({"simulated": True}, [], "is simulated"),
        ({}, ["--machine", "a/b"], "--machine: found 'a/b'"),
        ({"host": ""}, [], "--machine: found ''"),
        ({}, ["--commit", "abc"], "allowed: a whole hash"),
        ({}, ["--commit", "d" * 40], "measured commit"),
    ],
)
def test_bad_input(
    box: Box,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    facts: dict[str, Any],
    arguments: list[str],
    said: str,
) -> None:
    sent = write_run(tmp_path / "a", [line(box.hashes[0], 1e-3, np.random.default_rng(0))], **facts)
    assert box.take(sent, *arguments) == 2
    assert said in capsys.readouterr().err
    assert box.taken() == []


def test_export_rebuilds_what_asv_lost(box: Box, tmp_path: Path) -> None:
    assert box.take(write_run(tmp_path / "a", [line(box.hashes[0], 1e-3, np.random.default_rng(0))])) == 0
    (kept,) = (box.store.results / "box").glob(f"{box.hashes[0][:8]}*.json")
    before = json.loads(kept.read_text())["results"]
    kept.unlink()
    assert main(["export", "--project", "toy", "--store", str(box.place)]) == 0
    assert {name: row[0] for name, row in json.loads(kept.read_text())["results"].items()} == {
        name: row[0] for name, row in before.items()
    }


def test_nothing_is_written_while_asv_runs(box: Box, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sent = write_run(tmp_path / "a", [line(box.hashes[0], 1e-3, np.random.default_rng(0))])
    box.store.runs.mkdir()
    with alone(box.store.folder / "env"):
        for command in (("import", str(sent)), ("export", "--project", "toy")):
            assert main([*command, "--store", str(box.place)]) == 2
            assert "another asv is checking out and measuring" in capsys.readouterr().err
    assert box.taken() == []
    assert box.take(sent) == 0


@pytest.mark.parametrize("configuration", [None, "{"])
def test_an_outside_history_is_never_taken_for_this_checkouts(
    box: Box, tmp_path: Path, capsys: pytest.CaptureFixture[str], configuration: str | None
) -> None:
    box.store.configuration.unlink()
    if configuration:
        box.store.configuration.write_text(configuration)
    sent = write_run(tmp_path / "a", [line(box.hashes[0], 1e-3, np.random.default_rng(0))])
    assert box.take(sent) == 0
    out = capsys.readouterr().out.replace("\n", " ")
    assert "its repository is not here" in out
    assert "no such commit" not in out


def test_a_history_without_its_repository_is_shown_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sent = write_run(tmp_path / "a", [line("a" * 40, 1e-3, np.random.default_rng(0))])
    assert main(["import", "--store", str(tmp_path), str(sent)]) == 0
    assert "its repository is not here" in capsys.readouterr().out.replace("\n", " ")
    assert main(["show", "--store", str(tmp_path), "--project", "toy"]) == 0
    out = capsys.readouterr().out
    assert CASE.id in out
    assert "(in no repository here)" in out
