"""A clone of this checkout as it stands, uncommitted changes included, in a home where nobody has used asv."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]

SWEEP = {
    "name": "history",
    "about": "One length on one rank and on two.",
    "geometry": {"heads": 4, "head_dim": 16},
    "axes": {"seq_len_q": [64], "ulysses": [1, 2]},
    "constants": {"dtype": "bf16"},
    "sampling": {"min_samples": 8, "max_samples": 8, "max_seconds": 2, "warmup_max_seconds": 0.2},
}


class Clone:
    """A repository under test, with asv run in it as a user would."""

    def __init__(self, path: Path, home: Path) -> None:
        self.path = path
        variables = {name: value for name, value in os.environ.items() if not name.startswith(("ASV", "GIT", "PYTHON"))}
        self._environment = variables | {"HOME": str(home), "COLUMNS": "120"}

    def git(self, *arguments: str) -> str:
        who = ["-c", "user.name=a user", "-c", "user.email=user@localhost"]
        return self._output(["git", *who, *arguments]).stdout.strip()

    def commit(self, subject: str) -> str:
        """Commits everything; returns the hash."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", subject)
        return self.git("rev-parse", "HEAD")

    def asv(self, *arguments: str, code: int = 0) -> str:
        """What asv printed; fails where it does not end with ``code``."""
        return self._output([sys.executable, "-m", "asv", *arguments], code).stdout

    def _output(self, command: list[str], code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            cwd=self.path,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}"
        return done

    def results(self, commit: str) -> dict[str, dict[str, Any]]:
        """asv's results of a commit: benchmark to `result`, `stats_ci_99_a`, `version`, ... as its file has them."""
        (path,) = (self.path / ".asv" / "results").glob(f"*/{commit[:8]}*-*.json")
        stored = json.loads(path.read_text())
        columns = stored["result_columns"]
        return {name: dict(zip(columns, values)) for name, values in stored["results"].items()}

    def runs(self, commit: str) -> list[Path]:
        """What lies beside and under a commit's run directories, by time."""
        return sorted((self.path / ".asv" / "runs").glob(f"*/{commit}/*"))


@pytest.fixture(scope="module")
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
