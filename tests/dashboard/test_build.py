"""The pages against planted truth: what they name, what is read again, what they show."""

from __future__ import annotations

import base64
import csv
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import pytest

from fiabench.cases.errors import InputError
from fiabench.cli import dashboard
from fiabench.dashboard import build, events, keeping
from fiabench.dashboard.model import Asked
from fiabench.history.learning import SYMPTOMS
from fiabench.history.series import UNORDERED
from tests.dashboard import learned
from tests.dashboard.conftest import Fresh, Site, built, taken
from tests.dashboard.learned import ROOT


@pytest.mark.parametrize("seed", [0, 1])
def test_every_planted_event_is_named_at_its_commit_and_nothing_else(seed: int, tmp_path: Path) -> None:
    made = learned.make(tmp_path, seed)
    done = built(made, tmp_path)
    with (tmp_path / "html" / "csv" / "changes.csv").open() as file:
        rows = list(csv.DictReader(file))
    named = {(row["state"], row["commit"], row["until"]) for row in rows}
    hashes = [commit.hash for commit in made.commits]
    wanted = set()
    for event in made.truth.values():
        fixed = hashes[event.fixed] if event.fixed is not None else ""
        wanted.add(("over" if fixed else "regressed", hashes[event.introduced], fixed))
    assert named == wanted
    assert done.verdict.counts == {"regressed": 6}
    assert done.verdict.since is not None
    assert done.verdict.since.commit.hash == hashes[min(made.truth[name].introduced for name in ("slowdown", "memory"))]
    page = done.index.read_text()
    for name in SYMPTOMS:
        assert made.commits[made.truth[name].introduced].subject in page
    slower = [
        row for row in rows if row["metric"] == "total" and row["commit"] == hashes[made.truth["slowdown"].introduced]
    ]
    assert slower
    assert all(row["where"].startswith("kernel +") for row in slower)
    assert all(f"confirm {hashes[made.truth['slowdown'].introduced - 1][:10]}" in row["reproduce"] for row in slower)
    assert all(row["whose"] == "the code's" for row in rows)


def test_only_what_is_new_is_read(tmp_path: Path, fresh: Fresh) -> None:
    made = fresh(13)
    assert built(made, tmp_path).read == 13
    before = (tmp_path / "html" / "index.html").read_text()
    assert built(made, tmp_path).read == 0
    assert (tmp_path / "html" / "index.html").read_text() == before
    new = learned.add(made, 13)
    assert built(made, tmp_path).read == 1
    shutil.rmtree(tmp_path / "kept")
    shutil.copytree(tmp_path / "html", tmp_path / "grown")
    assert built(made, tmp_path).read == 14
    for path in (tmp_path / "grown").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "html" / path.relative_to(tmp_path / "grown")).read_bytes(), path
    shutil.rmtree(new)
    built(made, tmp_path)
    assert (tmp_path / "html" / "index.html").read_text() == before
    assert len(list((tmp_path / "html" / "samples").iterdir())) == 13  # what nobody needs any more is gone


def test_a_run_that_grew_is_read_again(tmp_path: Path, fresh: Fresh) -> None:
    made = fresh(10)
    built(made, tmp_path)
    cases = next(made.store.runs.glob("*/*/*/cases.jsonl"))
    lines = cases.read_text().splitlines(keepends=True)
    cases.write_text("".join(lines[:-1]))
    assert built(made, tmp_path).read == 1


def test_an_accepted_change_is_said_to_be(tmp_path: Path, fresh: Fresh) -> None:
    made = fresh()
    accepted = made.store.configuration.with_name("accepted.yaml")
    entry = {"case": "causal", "commit": made.commits[made.truth["memory"].introduced].hash, "metric": "peak_memory",
             "reason": "worth it"}  # fmt: skip
    accepted.write_text(json.dumps([entry]))
    done = built(made, tmp_path)
    found = {event.state for event in events.events(done.model) if event.metric == "peak_memory"
             and event.place.commit.hash == entry["commit"]}  # fmt: skip
    assert found == {"accepted"}
    assert "worth it" in done.index.read_text()


def test_samples_are_those_of_the_run(site: Site) -> None:
    with (site.out / "csv" / "latest.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 6
    (run,) = site.learned.store.runs.glob(f"*/{site.learned.commits[0].hash}/*")
    lines = [json.loads(line) for line in (run / "cases.jsonl").read_text().splitlines()]
    place, line = next((place, line) for place, line in enumerate(lines) if "exchange_in" in line["samples"])
    wanted = np.array(list(line["samples"]["exchange_in"].values()))
    found = [exchanged_in(taken(path)[place][0]) for path in site.out.glob("samples/*/0.js")]
    assert sum(np.allclose(one, wanted, rtol=2e-5) for one in found if one is not None) == 1


def exchanged_in(session: dict[str, Any]) -> np.ndarray | None:
    """[ranks, iterations]"""
    numbers, start = unshortened(session["v"]), 0
    for phase, counts in session["phases"]:
        end = start + sum(counts)
        if phase == "exchange_in":
            return numbers[start:end].reshape(len(counts), -1)
        start = end
    return None


def unshortened(text: str) -> np.ndarray:
    short = np.frombuffer(base64.b64decode(text), "u1").reshape(-1, 3)
    return np.hstack([np.zeros((len(short), 1), "u1"), short]).view("<f4").ravel()


def test_many_runs_are_read_on_every_core_as_they_are_one_by_one(
    tmp_path: Path, fresh: Fresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = fresh()
    for machine in ("other", "third"):
        for number in range(14):
            learned.add(made, number, machine=machine)
    damaged = next(made.store.runs.glob("third/*/*"))
    (damaged / "run.json").write_text("{}")
    heard = []
    asked = Asked(made.store)
    done = build.write(
        asked, tmp_path / "html", tmp_path / "kept", ROOT / "plots", False, lambda *said: heard.append(said)
    )
    assert heard[-1][0] == "writing cases"
    assert [said for said in heard if said[0] == "reading runs"][-1] == ("reading runs", 42, 42)
    assert done.read == 42
    assert len(done.model.notices) == 1
    assert str(damaged) in done.model.notices[0]
    monkeypatch.setattr(keeping, "_MANY", 1000)
    alone = build.write(asked, tmp_path / "alone", tmp_path / "kept-alone", ROOT / "plots", False)
    assert alone.read == 42
    assert alone.written == done.written
    for name in done.written:
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "html" / name).read_bytes(), name


def test_a_stack_that_changes_is_marked(tmp_path: Path, fresh: Fresh) -> None:
    made = fresh(12)
    learned.add(made, 12, cann="8.1.RC1")
    done = built(made, tmp_path)
    files = [taken(path) for path in (tmp_path / "html" / "cases").glob("*.js")]
    assert all(found["stack"] == [[12, [["cann", "8.0.RC2", "8.1.RC1"]]]] for found in files)
    assert "8.0.RC2 -&gt; 8.1.RC1" in done.index.read_text()


def test_machines_stand_side_by_side(tmp_path: Path, fresh: Fresh) -> None:
    made = fresh()
    for number in range(14):
        learned.add(made, number, machine="other", cann="9.0")
    done = built(made, tmp_path)
    assert done.verdict.total == 12
    with (tmp_path / "html" / "csv" / "environments.csv").open() as file:
        facts = {row["fact"]: (row["box"], row["other"]) for row in csv.DictReader(file)}
    assert facts["cann"] == ("8.0.RC2", "9.0")


@pytest.mark.slow
def test_a_run_directory_is_shown_without_a_history(
    tmp_path: Path, fresh: Fresh, capsys: pytest.CaptureFixture[str]
) -> None:
    made = fresh(2)
    runs = [str(path.parent) for path in made.store.runs.glob("*/*/*/run.json")]
    (tmp_path / "empty").mkdir()
    given_runs = [part for run in runs for part in ("--runs", run)]
    code = dashboard.main(["build", "--asv", str(tmp_path / "empty"), *given_runs, "--out", str(tmp_path / "html"),
                           "--no-figures"])  # fmt: skip
    assert code == 0
    page = (tmp_path / "html" / "index.html").read_text()
    assert "simulated, not measured anywhere" in page
    assert f"cannot be judged: {UNORDERED}" in page
    assert "2 new runs read" in capsys.readouterr().out


@pytest.mark.slow
def test_figures_are_those_of_the_files(tmp_path: Path, fresh: Fresh) -> None:
    from fiabench.figures.drawing import draw_all
    from fiabench.results.rundir import read_run

    made = fresh(1)
    done = build.write(Asked(made.store), tmp_path / "html", tmp_path / "kept", ROOT / "plots")
    (run,) = made.store.runs.glob("*/*/*/")
    drawn = draw_all(read_run(run), ROOT / "plots", tmp_path / "files", ("svg",))
    there = {path.name: path.read_bytes() for path in (tmp_path / "html" / "pictures").rglob("*.svg")}
    assert there == {path.name: path.read_bytes() for one in drawn for path in one.paths}
    assert "phases.svg" in there
    assert "pictures/" in done.index.read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["build", "--asv", "nowhere"], "is no folder"),
        (["build", "--project", "nobody"], "holds no history"),
        (["build", "--metric", "speed"], "speed"),
        (["serve", "--out", "nowhere"], "holds no pages"),
    ],
)
def test_bad_input_is_one_clear_error(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert dashboard.main(arguments) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_folders_of_somebody_else_are_left_alone(fresh: Fresh, tmp_path: Path) -> None:
    theirs = tmp_path / "html" / "data" / "thesis.txt"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("all of it")
    with pytest.raises(InputError, match="holds data that no dashboard wrote"):
        built(fresh(2), tmp_path)
    assert theirs.read_text() == "all of it"
    assert [path.name for path in (tmp_path / "html").iterdir()] == ["data"]


@pytest.mark.slow
def test_serve_shows_the_pages_to_this_box(site: Site) -> None:
    command = [sys.executable, str(ROOT / "tools" / "dashboard.py"), "serve", "--out", str(site.out), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            address = process.stdout.readline().strip()
            assert address.startswith("http://127.0.0.1:")
            with urlopen(address) as answer:
                assert answer.read() == (site.out / "index.html").read_bytes()
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)
        assert process.returncode == 130


def test_commits_that_were_not_measured_are_said_to_be_among_those_of_an_event(tmp_path: Path, fresh: Fresh) -> None:
    made = fresh()
    place = made.truth["crash"].introduced
    shutil.rmtree(made.store.runs / "box" / made.commits[place].hash)
    done = built(made, tmp_path)
    said = ", or at the commit that was not measured before it"
    assert said in done.index.read_text()
    found = [event for path in (tmp_path / "html" / "cases").glob("*.js") for event in taken(path)["events"]]
    assert {event["or"] for event in found if "CheckQShape" in event["said"]} == {said}
