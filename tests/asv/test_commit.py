"""What becomes of what an engine did, whatever it did. The engines here are scripts of a few lines."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fiabench.asv_plugin.commit import Answer, Request, measure
from fiabench.asv_plugin.view import read_views
from fiabench.history.store import FAILED, REFUSED, read_note
from fiabench.results.rundir import RunDirectory, read_run
from tests.asv.test_handover import ON_ONE, line

pytestmark = pytest.mark.slow

COMMIT = "0" * 40
RUNS_IT = """
import sys; sys.path[:0] = {paths!r}
from pathlib import Path
from tests.asv.test_commit import engine
engine(sys.argv[1:], {facts!r})
"""


def engine(arguments: list[str], facts: dict[str, Any]) -> None:
    """Writes a run as `tools/sweep.py run` does, of as many sessions as ``facts`` say."""
    resumed = "--resume" in arguments
    path = Path(arguments[arguments.index("--resume" if resumed else "--out") + 1])
    if resumed:
        directory, _ = RunDirectory.reopen(path)
    else:
        directory = RunDirectory.create(path, header(facts["commit"]))
    samples = {"end_to_end": {"0": [2.0 + resumed]}, "kernel": {"0": [1.0]}}
    directory.append(line(ON_ONE, "ok", samples=samples, session=int(resumed)))
    if facts.get("hangs") and not resumed:
        time.sleep(60)
    directory.header["finished"] = "now"
    directory.write_header()
    sys.exit(facts["code"])


def header(commit: str) -> dict[str, Any]:
    environment = {"commit": commit, "python": "3.11.0", "system": "Linux 6 x86_64", "versions": {"torch": "2"}}
    return {"finished": None, "options": {"device": "auto"}, "environment": environment}


def request(folder: Path, **facts: Any) -> Request:
    tool = folder / "checkout" / "tools" / "sweep.py"
    tool.parent.mkdir(parents=True, exist_ok=True)
    paths = [str(Path(__file__).resolve().parents[2])]
    tool.write_text(RUNS_IT.format(paths=paths, facts={"commit": COMMIT, "code": 0} | facts))
    asked = {
        "group": "World1", "filters": [], "project": "", "device": "", "rounds": 1, "quick": False, "digest": "1",
        "environment": "inplace-py3.11", "variables": {},
    }  # fmt: skip
    checkout, runs = folder / "checkout", folder / "runs" / COMMIT
    return Request(COMMIT, checkout, runs, folder / "sweep.yaml", tool, "1", False, ["one"], asked)


@pytest.mark.parametrize("code", [0, 1, 3])
def test_a_run_that_ended_is_an_answer(tmp_path: Path, code: int) -> None:
    answer = measure(request(tmp_path, code=code), 60)
    assert answer.reason == ""  # also where cases failed, or a claim is broken
    assert answer.run is not None
    assert [found.id for found in answer.run.lines] == [ON_ONE.id]
    assert read_note(answer.run.path)["answered"]


def test_what_another_commits_engine_measured_counts_for_nothing(tmp_path: Path) -> None:
    asked = request(tmp_path, commit="1" * 40)
    answer = measure(asked, 60)
    assert answer.run is None
    assert "another than this checkout's" in answer.reason
    assert read_views(asked.folder) == ({}, [])
    assert len(list(asked.folder.glob("*.rejected/*/run.json"))) == 1  # for whoever wants to know


@pytest.mark.long
def test_after_the_deadline_what_was_measured_is_kept_and_never_gone_on_with(tmp_path: Path) -> None:
    first = measure(request(tmp_path, hangs=True), 8)
    assert "was not done after 8 s" in first.reason
    assert first.run is not None
    assert len(first.run.lines) == 1
    second = measure(request(tmp_path), 60)
    assert second.run is not None
    assert second.run.path != first.run.path


def test_a_commit_without_the_tool_says_so(tmp_path: Path) -> None:
    asked = request(tmp_path)
    asked.engine.unlink()
    assert measure(asked, 60) == Answer(None, "has no tools/sweep.py: nothing to be asked")


@pytest.mark.parametrize(("project", "ending"), [("layer", REFUSED), ("", FAILED)])
def test_what_the_engine_refuses_is_the_commits_failure_where_the_commit_is_the_engine(
    tmp_path: Path, project: str, ending: str
) -> None:
    asked = request(tmp_path)
    asked.engine.write_text("import sys; print('no npu here'); sys.exit(2)")
    answer = measure(asked._replace(asked=asked.asked | {"project": project}), 60)
    assert (answer.run, answer.refused) == (None, ending == REFUSED)
    (noted,) = (path for path in asked.folder.iterdir() if path.suffix in (REFUSED, FAILED))
    assert (noted.suffix, noted.read_text()) == (ending, f"{answer.reason}\n")
    assert "no npu here" in answer.reason


def begun(tmp_path: Path) -> Path:
    """A directory in which whoever asked was killed."""
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).resolve().parents[2])!r})\n"
        "from pathlib import Path; from tests.asv.test_commit import request\n"
        "from fiabench.asv_plugin.commit import measure\n"
        f"measure(request(Path({str(tmp_path)!r}), hangs=True), 60)"
    )
    asker = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    # The file is there before the line in it is.
    while not [path for path in (tmp_path / "runs").glob("*/*/cases.jsonl") if path.read_bytes().endswith(b"\n")]:
        assert asker.poll() is None
        time.sleep(0.05)
    os.killpg(asker.pid, signal.SIGKILL)
    asker.wait()
    (path,) = (tmp_path / "runs" / COMMIT).glob("*/run.json")
    return path.parent


def test_a_directory_without_an_answer_is_gone_on_with(tmp_path: Path) -> None:
    path = begun(tmp_path)
    assert read_views(path.parent) == ({}, [])  # asv has it when it is whole
    answer = measure(request(tmp_path), 60)
    assert answer.run is not None
    assert answer.run.path == path
    assert [found.session for found in answer.run.lines] == [0, 1]
    (view,) = read_views(path.parent)[0].values()
    (cells,) = view.groups.values()
    assert cells["64", "'tp1 x u1'"].handed["total"] == [2.0, 3.0]


def test_another_request_does_not_go_on_with_it(tmp_path: Path) -> None:
    path = begun(tmp_path)
    asked = request(tmp_path)
    other = asked._replace(asked=asked.asked | {"variables": {"TASK_QUEUE_ENABLE": "2"}})
    answer = measure(other, 60)
    assert answer.run is not None
    assert answer.run.path != path
    assert read_run(path).header["finished"] is None


def test_where_it_cannot_be_gone_on_with_all_is_measured_anew(tmp_path: Path) -> None:
    path = begun(tmp_path)
    asked = request(tmp_path)
    tool = asked.engine.read_text()
    asked.engine.write_text("import sys\nif '--resume' in sys.argv: sys.exit(2)\n" + tool)
    answer = measure(asked, 60)
    assert (answer.reason, answer.run is not None and answer.run.path != path) == ("", True)
    assert read_note(path)["answered"]
