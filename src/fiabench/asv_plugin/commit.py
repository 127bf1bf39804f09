"""Asks the engine to measure a commit, and leaves the truth in a run directory. Imports no torch.

An outside project's commits are measured by the engine beside the benchmarks; this repository's own by their own
tools/sweep.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from fiabench.cases.errors import InputError
from fiabench.history.store import ASKED, FAILED, REFUSED, read_note
from fiabench.results.measurement import Measurement
from fiabench.results.rundir import HEADER, Run, read_run
from fiabench.workers.child import end_run

_CLAIM_BROKEN, _BAD_INPUT, _SOME_FAILED = 1, 2, 3
"""Exit codes of `tools/sweep.py run`. Python itself ends with 1 as well."""
_QUICK = {
    "min_samples": 3,
    "max_samples": 3,
    "max_seconds": 2.0,
    "warmup_max_seconds": 0.5,
    "half_width": 1e-9,  # so that three samples never pass for settled
}


class Request(NamedTuple):
    """What one run of the engine is asked for."""

    commit: str
    """The hash that the checkout has."""
    checkout: Path
    folder: Path
    """Of the commit's run directories."""
    sweep: Path
    engine: Path
    """The tools/sweep.py that measures."""
    asv: str
    """The asv process that asks."""
    appended: bool
    """Whether asv adds the samples to those that it has."""
    cases: list[str]
    """The ids of those of the group that are wanted: what a failure is a failure of."""
    asked: dict[str, Any]
    """What has to be the same for an interrupted run to be gone on with: `group`, `filters`, `project`, `device`,
    `rounds`, `quick`, `digest` of the sweep file, `environment` and `variables` as asv has them."""

    @classmethod
    def of(cls, plan: dict[str, Any], group: str, commit: str, filters: list[str], cases: Iterable[str]) -> Request:
        """For ``cases`` of ``group`` of ``plan``, those that ``filters`` let pass."""
        checkout = Path(plan["checkout"])
        engine = Path(plan["engine"]) if plan["project"] else checkout / "tools" / "sweep.py"
        kept = ("project", "device", "rounds", "quick", "digest", "environment", "variables")
        asked = {"group": group, "filters": filters} | {name: plan[name] for name in kept}
        folder = Path(plan["runs"]) / commit
        sweep, asv = Path(plan["sweep"]), plan["asv"]
        return cls(commit, checkout, folder, sweep, engine, asv, plan["appended"], sorted(cases), asked)


class Answer(NamedTuple):
    """What a commit made of it."""

    run: Run | None
    """What it measured, perhaps not all of it; None where there is nothing to read."""
    reason: str
    """What went wrong; empty where every case ended."""
    refused: bool = False
    """Whether it was asked for what is not to be had, whatever the commit: nothing ran, and nobody is to blame."""


def measure(request: Request, seconds: float) -> Answer:
    """Has ``request`` measured, within ``seconds``, into a directory that is called by the time.

    A directory in which asv was interrupted at the same request is gone on with; one that was answered never is. Beside
    the directory stand `<time>.asked`, `<time>.log`, all that the run printed, and, where something went wrong,
    `<time>.failed` with the reason, or `<time>.refused` where it is not the commit's doing. What turns out to be other
    code than the commit's is put into `<time>.rejected`.
    Raises OSError where these cannot be written.
    """
    request.folder.mkdir(parents=True, exist_ok=True)
    note = {"asv": request.asv, "appended": _appended(request), "answered": False, "reason": "", **request.asked}
    note["cases"] = request.cases
    started = time.monotonic()
    code: int | None = _BAD_INPUT
    directory = _unfinished(request)
    if directory is not None:
        _write(directory, note)
        code, reason = _run(request, directory, ["--resume", str(directory), "--no-figures"], seconds)
        if code == _BAD_INPUT:  # what was begun cannot be gone on with: the box has changed, say
            _write(directory, note | {"answered": True, "reason": reason})
    if directory is None or code == _BAD_INPUT:
        directory = _fresh(request.folder)
        _write(directory, note)
        options = [str(_sweep(request, directory)), *_options(request, directory)]
        code, reason = _run(request, directory, options, seconds)
    # An outside project's commits have no part in what their engine is asked for; this repository's are the engine.
    refused = code == _BAD_INPUT and bool(request.asked["project"])
    run: Run | None = None
    try:
        run = read_run(directory)
    except InputError as error:
        reason = reason or str(error)
    else:
        other = _another_code(request, run)
        if other:
            run, reason = None, other
            _reject(directory)
    if reason:
        directory.with_suffix(REFUSED if refused else FAILED).write_text(f"{reason}\n", encoding="utf-8")
    seconds = round(time.monotonic() - started, 3)
    _write(directory, note | {"answered": True, "reason": reason, "seconds": seconds})
    return Answer(run, reason, refused)


def _write(directory: Path, note: dict[str, Any]) -> None:
    path = directory.with_suffix(ASKED)
    draft = path.with_suffix(".part")
    draft.write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")
    draft.replace(path)


def _unfinished(request: Request) -> Path | None:
    """The newest directory in which the same was asked for and asv never got an answer."""
    for path in sorted(request.folder.glob(f"*{ASKED}"), reverse=True):
        note, directory = read_note(path), path.with_suffix("")
        if note["answered"] or any(note.get(name) != value for name, value in request.asked.items()):
            continue
        if (directory / HEADER).exists() and not _finished(directory):
            return directory
    return None


def _appended(request: Request) -> bool:
    """Whether asv adds these samples to others: it was told to, or this is a later one of its interleaved rounds."""
    before = [read_note(path) for path in request.folder.glob(f"*{ASKED}")]
    mine = [note for note in before if note["asv"] == request.asv and note["answered"]]
    return request.appended or any(
        note["group"] == request.asked["group"]
        and note["filters"] == request.asked["filters"]
        and note["environment"] == request.asked["environment"]
        for note in mine
    )


def _fresh(folder: Path) -> Path:
    """A path in ``folder`` that no run has."""
    while (path := folder / f"{datetime.now():%Y%m%d-%H%M%S-%f}").with_suffix(ASKED).exists():
        pass
    return path


def _sweep(request: Request, directory: Path) -> Path:
    """The sweep file to measure; for a quick run one of its own beside the directory, with fewer samples a case."""
    if not request.asked["quick"]:
        return request.sweep
    content: dict[str, Any] = yaml.safe_load(request.sweep.read_text(encoding="utf-8"))
    sampling = content.setdefault("sampling", {})
    for name, value in _QUICK.items():
        usual = sampling.get(name, value)
        sampling[name] = min(usual, value) if name.endswith("seconds") else value
    sampling.pop("criterion", None)
    for project in content.get("projects", {}).values():
        if project.get("path"):  # is relative to the file
            project["path"] = str((request.sweep.parent / project["path"]).resolve())
    path = directory.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def _options(request: Request, directory: Path) -> list[str]:
    asked = request.asked
    options = ["--out", str(directory), "--no-figures"]
    for text in asked["filters"]:
        options += ["--filter", text]
    if asked["project"]:
        options += ["--project", f"{asked['project']}={request.checkout}"]
    if asked["device"]:
        options += ["--device", asked["device"]]
    if asked["rounds"] > 1:  # the engines of old commits know no sessions
        options += ["--sessions", str(asked["rounds"])]
    return options


def _run(request: Request, directory: Path, options: list[str], seconds: float) -> tuple[int | None, str]:
    """Runs the engine; returns its exit code, None where it did not end by itself, and what went wrong."""
    if not request.engine.exists():
        return None, "has no tools/sweep.py: nothing to be asked"
    log = directory.with_suffix(".log")
    # asv reads a benchmark's output to its end: a rank that lived on with it open would hang asv for ever.
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, str(request.engine), "run", *options],
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=request.engine.parents[1],
        )  # fmt: skip
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None, f"was not done after {seconds:g} s; the rest was not measured"
        finally:
            if process.poll() is None:  # also where asv was interrupted
                end_run(process)
    if code in (0, _SOME_FAILED) or (code == _CLAIM_BROKEN and _finished(directory)):
        return code, ""
    words = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    last = f": {words[-1]}" if words else ""
    return code, f"tools/sweep.py run ended with exit code {code}{last}"


def _finished(directory: Path) -> bool:
    """Whether there is a run that has ended; of one that cannot be read nobody knows."""
    try:
        return bool(read_run(directory).header.get("finished"))
    except InputError:
        return False


def _reject(directory: Path) -> None:
    """Puts what was measured of other code where nobody takes it for the commit's."""
    place = directory.with_suffix(".rejected")
    place.mkdir()
    directory.rename(place / directory.name)


def _another_code(request: Request, run: Run) -> str:
    """That the code which ran is not the commit's; empty where it is."""
    if not request.asked["project"]:
        found = run.environment.get("commit")
        if found != request.commit:
            return f"the engine of commit {found} measured: another than this checkout's was found"
        return ""
    for line in run.lines:
        found = _project_commit(line, request.asked["project"])
        if found not in (None, request.commit):
            return f"the project's code at commit {found} ran: another than this checkout's was found"
    return ""


def _project_commit(line: Measurement, project: str) -> str | None:
    """The commit of the project's code that ran in a case; None where none of it did."""
    found: str | None = line.timing.get("projects", {}).get(project, {}).get("commit")
    return found
