"""The way into `tools/`: whichever Python starts a command, the right one runs it with this checkout's engine."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from .conftest import run


def test_without_environment_it_says_what_to_do(checkout, bare):
    ran = run(bare, checkout / "tools/sweep.py", "list")
    assert ran.returncode == 2
    assert "make env" in ran.stderr
    assert ran.stdout == ""


def test_broken_environment_does_not_loop(checkout, bare):
    """Without its pyvenv.cfg, `.venv/bin/python` is the bare Python again."""
    (checkout / ".venv/bin").mkdir(parents=True)
    (checkout / ".venv/bin/python").symlink_to(bare.resolve())
    ran = run(bare, checkout / "tools/sweep.py", "list")
    assert ran.returncode == 2
    assert "make env" in ran.stderr


@pytest.mark.long
def test_bare_python_goes_on_in_the_environment(made, bare):
    checkout, _, _ = made
    ran = run(bare, checkout / "tools/sweep.py", "run", "a b", "--json")
    assert ran.returncode == 7, ran.stderr
    seen = json.loads(ran.stdout)
    assert Path(seen["prefix"]) == checkout / ".venv"
    assert Path(seen["engine"]) == checkout / "src/fiabench/__init__.py"
    assert seen["arguments"] == ["run", "a b", "--json"]


def test_ctrl_c_while_the_engine_is_imported_is_one_line(checkout):
    (checkout / "src/fiabench/cli/sweep.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    ran = run(sys.executable, checkout / "tools/sweep.py", "list")
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "Interrupted.\n")


@pytest.mark.long
def test_checkout_wins_over_an_installed_engine(made, box, tmp_path):
    """`box` has the libraries and stays the running Python; another fiabench comes first on its path."""
    checkout, _, _ = made
    other = tmp_path / "fiabench"
    other.mkdir()
    (other / "__init__.py").write_text("raise SystemExit('the wrong engine')\n")
    ran = run(box, checkout / "tools/sweep.py", PYTHONPATH=str(tmp_path))
    assert ran.returncode == 7, ran.stderr
    seen = json.loads(ran.stdout)
    assert Path(seen["engine"]) == checkout / "src/fiabench/__init__.py"
    assert Path(seen["prefix"]) == box.parent.parent
