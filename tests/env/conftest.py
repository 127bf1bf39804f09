"""Real environments: copies of this checkout, and Pythons that know nothing, or that bring torch along."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: Stands in for the command in copies of the checkout: what matters here is which Python and which engine run it.
COMMAND = """
import json, sys, fiabench
def main():
    print(json.dumps({"engine": fiabench.__file__, "prefix": sys.prefix, "arguments": sys.argv[1:]}))
    return 7
"""


def copy_checkout(to: Path) -> Path:
    """This checkout as it stands, committed or not, without its environment and results."""
    to.mkdir(parents=True)
    for name in ("pyproject.toml", "constraints.txt", "README.md", "LICENSE", "Makefile"):
        shutil.copy(ROOT / name, to)
    skip = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "tools", to / "tools", ignore=skip)
    shutil.copytree(ROOT / "src", to / "src", ignore=skip)
    (to / "src/fiabench/cli").mkdir(exist_ok=True)
    (to / "src/fiabench/cli/__init__.py").write_text("")
    (to / "src/fiabench/cli/sweep.py").write_text(COMMAND)
    return to


def make_python(folder: Path) -> Path:
    """A virtual environment without a single package, not even pip."""
    base = getattr(sys, "_base_executable", sys.executable)
    subprocess.run([base, "-m", "venv", "--without-pip", folder], check=True)
    return folder / "bin" / "python"


def packages_of(python: Path) -> Path:
    return next(python.parent.parent.glob("lib/python*/site-packages"))


def run(*command: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command in the user's environment, less what the test run itself added to it; PYTHONPATH and TORCH unset."""
    return subprocess.run(
        [str(part) for part in command], env=users(**variables), capture_output=True, text=True, timeout=150
    )


def users(**variables: str) -> dict[str, str]:
    """The user's environment as :func:`run` has it."""
    left_out = ("PYTHONPATH", "TORCH", "MAKEFLAGS", "MAKELEVEL", "FIABENCH_ENTERED")
    return {key: value for key, value in os.environ.items() if key not in left_out} | variables


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python without packages."""
    return make_python(tmp_path_factory.mktemp("bare") / "python")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return copy_checkout(tmp_path / "checkout")


@pytest.fixture(scope="session")
def box(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has torch, and all else that fiabench needs: a virtual environment that borrows from ours."""
    python = make_python(tmp_path_factory.mktemp("box") / "python")
    standard = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    known = {*site.getsitepackages(), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    borrowed = [path for path in sys.path if "-packages" in path and path not in standard] or sorted(known)
    (packages_of(python) / "borrowed.pth").write_text("\n".join(borrowed) + "\n")
    return python


@pytest.fixture(scope="session")
def made(box: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, list[str]]:
    """A checkout whose environment the box's Python made; what that said; the box's files as they were before."""
    checkout = copy_checkout(tmp_path_factory.mktemp("made") / "checkout")
    before = listing(packages_of(box))
    ran = run(box, checkout / "tools/make_env.py", **offline())
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return checkout, ran.stdout, before


def listing(folder: Path) -> list[str]:
    """Every file with its size, time and content's length: what would change if anything were written."""
    return sorted(f"{path} {path.lstat().st_size} {path.lstat().st_mtime_ns}" for path in folder.rglob("*"))


def offline() -> dict[str, str]:
    """pip without an index, where our own build backend is new enough to build without one."""
    import setuptools

    return {"PIP_NO_INDEX": "1"} if int(setuptools.__version__.split(".")[0]) >= 77 else {}
