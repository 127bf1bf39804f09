"""A clone of this checkout as it stands, uncommitted changes included, in a home where nobody has used asv."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from fiabench.results.rundir import HEADER

ROOT = Path(__file__).resolve().parents[2]

SWEEP = {
    "name": "history",
    "about": "One length on one rank and on two.",
    "geometry": {"heads": 4, "head_dim": 16},
    "axes": {"seq_len_q": [64], "ulysses": [1, 2]},
    "constants": {"dtype": "bf16", "threads": 1},
    "sampling": {"min_samples": 8, "max_samples": 8, "max_seconds": 2, "warmup_max_seconds": 0.2},
}
ALONE, TWO = (f"attention.World{ranks}_fia_BNSD_bf16_h4_d16_threads1" for ranks in (1, 2))
"""The benchmark classes that it makes."""
SIMULATED = {"FIABENCH_DEVICE": "sim:910b3"}
"""Where it is not the numbers that matter."""


class Clone:
    """A repository under test, with asv run in it as a user would."""

    def __init__(self, path: Path, home: Path) -> None:
        self.path = path
        foreign = ("ASV", "GIT", "PYTHON", "FIABENCH")
        variables = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        self._environment = variables | {"HOME": str(home), "COLUMNS": "120"}

    def git(self, *arguments: str) -> str:
        who = ["-c", "user.name=a user", "-c", "user.email=user@localhost"]
        return self._output(["git", *who, *arguments]).stdout.strip()

    def commit(self, subject: str) -> str:
        """Commits everything; returns the hash."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", subject)
        return self.git("rev-parse", "HEAD")

    def asv(self, *arguments: str, code: int = 0, **variables: str) -> str:
        """What asv printed; fails where it does not end with ``code``."""
        return self._output([sys.executable, "-m", "asv", *arguments], code, variables).stdout

    def interrupt_asv(self, *arguments: str, when: Callable[[], bool], **variables: str) -> None:
        """Presses Ctrl-C on asv as soon as ``when`` says so."""
        process = subprocess.Popen(
            [sys.executable, "-m", "asv", *arguments], cwd=self.path, env=self._environment | variables,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            while not when():
                assert process.poll() is None, "asv ended by itself"
                time.sleep(0.05)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)

    def _output(
        self, command: list[str], code: int = 0, variables: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            cwd=self.path,
            env=self._environment | (variables or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}"
        return done

    def results(self, commit: str) -> dict[str, dict[str, Any]]:
        """asv's results of a commit: benchmark to `result`, `stats_ci_99_a`, `version`, ... as its file has them."""
        (path,) = (self.path / ".asv" / "results").glob(f"*/{commit[:8]}*-inplace-py*.json")
        stored = json.loads(path.read_text())
        columns = stored["result_columns"]
        return {name: dict(zip(columns, values)) for name, values in stored["results"].items()}

    def runs(self, commit: str) -> list[Path]:
        """A commit's run directories, by time; one whose header is still being written is none yet."""
        return sorted(path.parent for path in (self.path / ".asv" / "runs").glob(f"*/{commit}/*/{HEADER}"))

    def write_sweep(self, name: str, **keys: Any) -> str:
        """SWEEP with other ``keys``, in a file that is not committed; gives its path."""
        path = self.path.parent / f"{name}.yaml"
        path.write_text(yaml.safe_dump(SWEEP | keys))
        return str(path)


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """The clone, with a sweep that takes seconds, its state committed, and the machine known to asv."""
    folder = tmp_path_factory.mktemp("asv")
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder / "clone")], check=True)
    (folder / "home").mkdir()
    made = Clone(folder / "clone", folder / "home")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        theirs, ours = ROOT / name, made.path / name
        if theirs.is_file():
            ours.parent.mkdir(parents=True, exist_ok=True)
            ours.write_bytes(theirs.read_bytes())
        else:
            ours.unlink(missing_ok=True)
    (made.path / "sweeps" / "history.yaml").write_text(yaml.safe_dump(SWEEP))
    made.commit("The checkout as it stands")
    made.asv("machine", "--yes")
    return made


@pytest.fixture(scope="session")
def history(clone: Clone) -> dict[str, Any]:
    """Three commits: one that measures, one that breaks the command, one that mends it and has every kernel run thirty
    times; asv run over all of them."""
    good = clone.git("rev-parse", "HEAD")
    tool = clone.path / "tools" / "sweep.py"
    text = tool.read_text()
    tool.write_text('raise SystemExit("broken on purpose")\n')
    broken = clone.commit("Break the command")
    tool.write_text(text)
    operator = clone.path / "src" / "fiabench" / "ops" / "fia.py"
    plain = "    return _fia_call.prepare(case, query, key, value, _NAMES)\n"
    assert plain in operator.read_text()
    slow = plain.replace("return", "once =") + "    return lambda: [once() for _ in range(30)][-1]\n"
    operator.write_text(operator.read_text().replace(plain, slow))
    slower = clone.commit("Mend it, and run kernels thirty times")
    printed = clone.asv("run", f"{good}^..{slower}", "-b", "attention", "--show-stderr", "--record-samples")
    return {"good": good, "broken": broken, "slower": slower, "printed": printed}
