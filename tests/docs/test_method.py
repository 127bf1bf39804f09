"""docs/method.md: its commands run, what it quotes is what they print, its example is what they measure."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from fiabench.results.metrics import METRICS, by_rank
from fiabench.results.rundir import read_run

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "method.md").read_text()
INDENTED = [line.strip() for line in re.findall(r"^ {4}(.+)$", TEXT, re.MULTILINE)]
COMMANDS = [line for line in INDENTED if line.startswith("python tools/")]
COPIES = [shlex.split(line)[1:] for line in INDENTED if line.startswith("cp ")]
QUOTES = [line for line in INDENTED if line not in COMMANDS and not line.startswith("cp ")]
TABLE_ROWS = re.findall(r"^\| (.+) \|$", TEXT, re.MULTILINE)

made_by_commands = pytest.mark.timeout(600)
"""A simulated run takes a few seconds, drawing its figures as many."""


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder in which every command of the page ran, in its order, and what all of them printed."""
    folder = tmp_path_factory.mktemp("method")
    output = ""
    for command in COMMANDS:
        _, tool, *arguments = shlex.split(command)
        ran = subprocess.run(
            [sys.executable, str(ROOT / tool), *arguments], cwd=folder, capture_output=True, text=True, timeout=120
        )
        # The second of the compared runs is slower, which compare says by its exit code too.
        assert ran.returncode == (1 if arguments[0] == "compare" else 0), f"{command}\n{ran.stdout}{ran.stderr}"
        output += ran.stdout
    return folder, " ".join(re.sub(r"[|+]?-{3,}[|+]?|\|", " ", output).split())


def quoted_findings() -> list[str]:
    """What the table of findings quotes, as far as it has figures in it: the last cell of its rows."""
    rows = [row.split(" | ") for row in TABLE_ROWS]
    begin = rows.index(["found", "how", "in words"])
    cells = [row[2] for row in rows[begin + 1 :] if len(row) == 3]
    return [cell for cell in cells[:6] if re.search(r"\d", cell)]


def test_the_page_has_what_is_held_against_the_runs() -> None:
    assert len(COMMANDS) >= 9
    assert len(COPIES) == 3
    assert len(QUOTES) >= 4
    assert len(quoted_findings()) >= 4


@pytest.mark.long
@made_by_commands
@pytest.mark.parametrize("quote", [*QUOTES, *quoted_findings()])
def test_what_is_quoted_was_printed(printed: tuple[Path, str], quote: str) -> None:
    assert quote in printed[1]


@pytest.mark.long
@made_by_commands
def test_the_figures_come_from_the_commands(printed: tuple[Path, str]) -> None:
    for source, target in COPIES:
        assert (printed[0] / source).read_bytes().startswith(b"\x89PNG")
        assert (ROOT / target).exists()
        assert f"({Path(target).relative_to('docs')})" in TEXT


@pytest.mark.long
@made_by_commands
def test_the_worked_example_is_what_the_run_measured(printed: tuple[Path, str]) -> None:
    (measured,) = read_run(printed[0] / "runs" / "method-example").measurements
    phases = {}
    for row in TABLE_ROWS:
        name, *cells = [cell.strip("`") for cell in row.split(" | ")]
        if name in measured.samples and len(cells) == 4:
            phases[name] = [float(cell) for cell in cells]
    assert phases.keys() == {name for name in measured.samples if not name.startswith(("aligned_", "dispatch"))}
    for name, milliseconds in phases.items():
        medians = [sorted(values)[len(values) // 2] for values in by_rank(measured.samples[name])]
        assert milliseconds == pytest.approx([1e3 * seconds for seconds in medians], abs=5e-4), name
    told = {
        name: float(value) for name, value in re.findall(r"^\| `(\w+)` \| ([\d.]+) \| [^|]+ \|$", TEXT, re.MULTILINE)
    }
    assert {"kernel", "transfer", "wait", "completion", "all_to_all", "exposed", "total"} == told.keys()
    for name, value in told.items():
        assert value == pytest.approx(1e3 * measured.metrics[name]["value"], abs=6e-4), name


def test_every_named_file_exists() -> None:
    named = set(re.findall(r"`([\w./]+/[\w.]+\.(?:py|yaml))`", TEXT))
    assert len(named) > 20
    assert not [name for name in named if not any((root / name).exists() for root in (ROOT, ROOT / "src" / "fiabench"))]


def test_every_named_key_is_in_the_reference() -> None:
    reference = (ROOT / "docs" / "results.md").read_text()
    looked = " ".join(re.findall(r"^Look: (.+?)(?:\n\n|\Z)", TEXT, re.MULTILINE | re.DOTALL))
    keys = set(re.findall(r"`([a-z_]+)`", looked))
    assert len(keys) > 15
    assert not [key for key in keys if f"`{key}`" not in reference and key not in METRICS]
