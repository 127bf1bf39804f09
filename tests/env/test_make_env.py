"""`make env`: what it makes, what it leaves alone, and what it says when something is missing."""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from .conftest import ROOT, listing, make_python, offline, packages_of, run, users

slow = pytest.mark.slow
TORCH = "import torch, os; print(os.path.dirname(os.path.dirname(os.path.realpath(torch.__file__))))"


def stamp(checkout: Path) -> Path:
    return checkout / ".venv/fiabench-env.json"


# ---- in a box with torch ----


@slow
def test_environment_sees_the_box_torch_and_has_none_of_its_own(made, box):
    checkout, said, _ = made
    python = checkout / ".venv/bin/python"
    assert run(python, "-c", TORCH).stdout == run(box, "-c", TORCH).stdout
    own = {path.name for path in packages_of(python).iterdir()}
    assert "torch" not in own
    assert "numpy" not in own
    assert "torch is the box's own" in said


@slow
def test_nothing_is_written_into_the_box(made, box):
    _, _, before = made
    assert listing(packages_of(box)) == before


@slow
def test_engine_is_the_checkouts_own(made):
    checkout, _, _ = made
    ran = run(checkout / ".venv/bin/python", "-c", "import fiabench; print(fiabench.__file__)")
    assert Path(ran.stdout.strip()) == checkout / "src/fiabench/__init__.py"


@slow
def test_second_time_does_nothing(made, box):
    checkout, _, _ = made
    before = listing(checkout / ".venv")
    ran = run(box, checkout / "tools/make_env.py")
    assert ran.returncode == 0
    assert ran.stdout.startswith(".venv is ready")
    assert listing(checkout / ".venv") == before


@slow
def test_activated_environment_stays_what_it_is(made):
    """`python3` is .venv's own after activation; it has torch, but it is not a box."""
    checkout, _, _ = made
    before = stamp(checkout).read_text()
    ran = run(checkout / ".venv/bin/python", checkout / "tools/make_env.py", "--keep")
    assert ran.stdout.startswith(".venv is ready"), ran.stdout + ran.stderr
    assert stamp(checkout).read_text() == before


@slow
def test_make_keeps_what_another_python_made(made, bare):
    """A box's Python made it; a later shell, where `python3` is a plain one, must not install another torch."""
    checkout, _, _ = made
    assert run(bare, checkout / "tools/make_env.py", "--keep").stdout.startswith(".venv is ready")


@slow
@pytest.mark.parametrize(
    ("caller", "change", "reason"),
    [
        ("bare", lambda root: (root / ".venv/fiabench-env.unfinished").touch(), "was cut off"),
        ("box", lambda root: (root / ".venv/bin/python").unlink(), "is broken"),
        ("bare", lambda root: root.rename(root.with_name("moved")), "place"),
        ("bare", lambda root: None, "another Python, torch"),
    ],
    ids=["interrupted", "broken", "moved", "other-python"],
)
def test_what_makes_it_anew(made, tmp_path, caller, change, reason, request):
    """Seen by what the set-up says first; it is then ended, and must leave no stamp."""
    checkout = tmp_path / "checkout"
    shutil.copytree(made[0], checkout, symlinks=True)
    stamp(checkout).write_text(stamp(checkout).read_text().replace(str(made[0]), str(checkout)))
    change(checkout)
    checkout = checkout if checkout.exists() else tmp_path / "moved"
    command = [request.getfixturevalue(caller), checkout / "tools/make_env.py"]
    command = [str(part) for part in command]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=users()) as process:
        assert process.stdout is not None
        assert reason in process.stdout.readline()
        process.stdout.readline()
        process.stdout.readline()  # "makes the virtual environment": the old one is gone
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert not stamp(checkout).exists()
    assert (checkout / ".venv/fiabench-env.unfinished").exists()


@slow
@pytest.mark.long
def test_changed_requirements_are_installed_in_place(made, box, tmp_path):
    """And a pip that fails meanwhile costs nothing."""
    checkout, _, _ = made
    marker = checkout / ".venv/still-the-same"
    marker.touch()
    project = checkout / "pyproject.toml"
    text = project.read_text()
    project.write_text(text.replace('"rich>=13.0",', '"rich>=12.0", "no-such-package-here",'))
    failed = run(box, checkout / "tools/make_env.py", **nothing_to_find(tmp_path))
    assert failed.returncode == 1
    assert "no-such-package-here" in failed.stderr
    project.write_text(text.replace('"rich>=13.0",', '"rich>=12.0",'))
    ran = run(box, checkout / "tools/make_env.py", **offline())
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "brought up to date" in ran.stdout
    assert marker.exists()


def test_lint_settings_are_no_requirement(checkout, env_modules):
    build = env_modules("build")
    build.ROOT = checkout
    before = build.project_hash()
    project = checkout / "pyproject.toml"
    text = project.read_text()
    project.write_text(text.replace("line-length = 120", "line-length = 100"))
    assert build.project_hash() == before
    project.write_text(text.replace('"rich>=13.0"', '"rich>=14.0"'))
    assert build.project_hash() != before


def test_box_versions_replace_the_pins(env_modules):
    pins = 'numpy==2.4.6; python_version >= "3.11"\nscipy==1.17.1\nmatplotlib==3.11.2\nrich==15.0.0\n'
    text = env_modules("build").box_constraints(pins, {"torch": "2.1.0", "numpy": "1.26.4"})
    assert [line for line in text.splitlines() if not line.startswith("#")] == [
        "rich==15.0.0",
        "torch==2.1.0",
        "numpy==1.26.4",
    ]


# ---- something is missing ----


def test_without_git(checkout, bare, tmp_path):
    ran = run(bare, checkout / "tools/make_env.py", PATH=str(tmp_path))
    assert ran.returncode == 1
    assert "git is not on PATH" in ran.stderr
    assert not (checkout / ".venv").exists()


def test_without_ensurepip(checkout, bare, tmp_path):
    """As Debian's python3 without python3-venv: the module is not there."""
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['ensurepip'] = None\n")
    ran = run(bare, checkout / "tools/make_env.py", PYTHONPATH=str(tmp_path))
    assert ran.returncode == 1
    assert "apt install python3-venv" in ran.stderr


def test_torch_that_cannot_be_imported(checkout, tmp_path):
    """On a box without CANN, or with a broken installation: no second torch is put beside it."""
    python = make_python(tmp_path / "python")
    (packages_of(python) / "torch").mkdir()
    (packages_of(python) / "torch/__init__.py").write_text("raise OSError('libhccl.so: cannot open shared object')\n")
    ran = run(python, checkout / "tools/make_env.py")
    assert ran.returncode == 1
    assert "libhccl.so" in ran.stderr
    assert "set_env.sh" in ran.stderr


@slow
def test_torch_npu_without_cann(box, tmp_path, env_modules):
    """torch_npu's entry point then makes `import torch` fail; torch itself is sound, and the box's own is used."""
    python = make_python(tmp_path / "python")
    packages = packages_of(python)
    (packages / "borrowed.pth").write_text((packages_of(box) / "borrowed.pth").read_text())
    (packages / "torch_npu").mkdir()
    (packages / "torch_npu/__init__.py").write_text("raise ImportError('libhccl.so: cannot open shared object')\n")
    (packages / "torch_npu-2.13.0.dist-info").mkdir()
    (packages / "torch_npu-2.13.0.dist-info/METADATA").write_text("Name: torch_npu\nVersion: 2.13.0\n")
    entry = "[torch.backends]\ntorch_npu = torch_npu:_autoload\n"
    (packages / "torch_npu-2.13.0.dist-info/entry_points.txt").write_text(entry)
    assert run(python, "-c", "import torch").returncode != 0
    assert env_modules("box").why_torch_fails(str(python)) == (
        "",
        "ImportError: libhccl.so: cannot open shared object",
    )


def test_folder_named_torch_is_no_torch(env_modules, tmp_path, bare):
    (tmp_path / "torch").mkdir()
    code = f"import sys; sys.path.insert(0, {str(ROOT / 'tools')!r}); from _env.box import look; print(look())"
    assert run(bare, "-c", code, PYTHONPATH=str(tmp_path)).stdout.strip() == "None"


def nothing_to_find(folder: Path) -> dict[str, str]:
    """pip without the machine's configuration, an index or a wheel."""
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder), "PIP_CONFIG_FILE": os.devnull}


@slow
def test_torch_that_pip_cannot_find(checkout, bare, tmp_path):
    ran = run(bare, checkout / "tools/make_env.py", TORCH="torch==0.0.1", **nothing_to_find(tmp_path))
    assert ran.returncode == 1
    assert "No matching distribution found for torch==0.0.1" in ran.stderr
    assert "make env TORCH=" in ran.stderr
    assert not stamp(checkout).exists()


@pytest.mark.parametrize(
    ("line", "knob"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "TMPDIR"),
        ("NewConnectionError('Failed to establish a new connection: [Errno -3] name resolution')", "PIP_INDEX_URL"),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]", "PIP_CERT"),
    ],
)
def test_advice(env_modules, line, knob, tmp_path):
    text = env_modules("pip").failure(["Collecting torch", line], tmp_path / "log")
    assert line in text
    assert knob in text


def test_user_configuration_cannot_install_elsewhere(env_modules, monkeypatch):
    monkeypatch.setenv("PIP_TARGET", "/somewhere")
    monkeypatch.setenv("PIP_USER", "1")
    monkeypatch.setenv("PIP_PROXY", "proxy.example:3128")
    variables = env_modules("pip").environment()
    assert "PIP_TARGET" not in variables
    assert variables["PIP_USER"] == "0"
    assert variables["PIP_PROXY"] == "proxy.example:3128"


@pytest.mark.parametrize("name", ["make_env.py", "_door.py", "sweep.py"])
def test_old_pythons_can_read_what_turns_them_away(name):
    ast.parse((ROOT / "tools" / name).read_text(), feature_version=(3, 6))


def test_stamp_names_what_it_was_made_from(env_modules, tmp_path):
    build = env_modules("build")
    build.STAMP, build.UNFINISHED = tmp_path / "stamp", tmp_path / "unfinished"
    for text in ("", "{", "[]", json.dumps({"wanted": {}})):
        build.STAMP.write_text(text)
        assert build.read_stamp() is None


@pytest.fixture
def env_modules(monkeypatch):
    """Modules of tools/_env, freshly imported."""
    import importlib
    import sys

    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    for name in [name for name in sys.modules if name.split(".")[0] == "_env"]:
        monkeypatch.delitem(sys.modules, name)
    return lambda name: importlib.import_module(f"_env.{name}")
