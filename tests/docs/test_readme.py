"""The documents name what is there: commands, options, sweeps, files."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from fiabench.cli.checkout import find_sweep
from fiabench.cli.sweep import commands

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "sweeps" / "README.md"]


def command_lines() -> list[str]:
    text = (ROOT / "README.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text()
    return [line.split("#")[0].strip() for line in re.findall(r"^ +python (tools/sweep\.py .*)$", text, re.MULTILINE)]


def test_the_readme_shows_each_command() -> None:
    assert {shlex.split(line)[1] for line in command_lines()} == set(commands.commands)


@pytest.mark.parametrize("line", command_lines())
def test_a_shown_command_can_be_typed(line: str) -> None:
    _, name, *arguments = shlex.split(line)
    command = commands.commands[name]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {argument for argument in arguments if argument.startswith("--")} <= known
    sweeps = [argument for argument in arguments if argument.endswith(".yaml")]
    assert all(Path(ROOT / find_sweep(str(ROOT / sweep))).exists() for sweep in sweeps)
    assert isinstance(command, click.Command)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text())
    missing = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert not missing


def test_make_targets_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z]+)", (ROOT / "README.md").read_text())) <= targets
