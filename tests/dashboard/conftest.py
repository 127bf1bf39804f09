"""The pages of the learning history, built once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from fiabench.dashboard import build
from fiabench.dashboard.build import Built
from fiabench.dashboard.model import Asked
from tests.dashboard import learned
from tests.dashboard.learned import ROOT, Learned


class Site(NamedTuple):
    learned: Learned
    out: Path
    built: Built

    @property
    def address(self) -> str:
        return (self.out / "index.html").as_uri()


Fresh = Callable[..., Learned]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Learned:
    return learned.make(tmp_path_factory.mktemp("learned"))


@pytest.fixture
def fresh(made: Learned, tmp_path: Path) -> Fresh:
    """A history to break, of so many commits."""
    return lambda until=None: learned.copied(made, tmp_path, until)


@pytest.fixture(scope="session")
def site(made: Learned, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Without pictures, which take seconds."""
    folder = tmp_path_factory.mktemp("site")
    out = folder / "html"
    built = build.write(Asked(made.store), out, folder / "kept", ROOT / "plots", figures=False)
    return Site(made, out, built)


def built(made: Learned, folder: Path) -> Built:
    return build.write(Asked(made.store), folder / "html", folder / "kept", ROOT / "plots", figures=False)


def taken(path: Path) -> Any:
    """What a script file hands to the page."""
    text = path.read_text().strip()
    assert text.startswith("fiabench.take(")
    _, content = json.loads(f"[{text.removeprefix('fiabench.take(').removesuffix(');')}]")
    return content
