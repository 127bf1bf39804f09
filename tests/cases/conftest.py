"""Sweeps written in the tests themselves."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from fiabench.cases.errors import InputError, Problem
from fiabench.cases.load import load_sweep
from fiabench.cases.sweep import Sweep

ROOT = Path(__file__).parents[2]
SWEEPS = sorted((ROOT / "sweeps").glob("*.yaml"))


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a sweep file and gives its path."""

    def write(text: str) -> Path:
        path = tmp_path / "sweep.yaml"
        path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        return path

    return write


@pytest.fixture
def sweep(write: Callable[[str], Path]) -> Callable[..., Sweep]:
    """Loads a sweep from its text, with a name and a sentence added where it has none."""

    def load(text: str, profile: str | None = None) -> Sweep:
        text = textwrap.dedent(text).lstrip("\n")
        if "about:" not in text:
            text += "name: test\nabout: A test.\n"
        return load_sweep(write(text), profile)

    return load


@pytest.fixture
def problems(sweep: Callable[..., Sweep]) -> Callable[..., list[Problem]]:
    """The problems of a sweep that must not load."""

    def refuse(text: str, profile: str | None = None) -> list[Problem]:
        with pytest.raises(InputError) as caught:
            sweep(text, profile)
        return caught.value.problems

    return refuse
