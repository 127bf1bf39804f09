"""The steps from a checkout to its `.venv`, and how to know that they are done.

A stamp inside `.venv` says what it was made from. As long as that is so, nothing is done; where only the project's
requirements changed, pip runs again in place; anything else (another Python, another torch, another box, a set-up that
was cut off) makes a new one.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import box as boxes
from . import pip

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
STAMP = VENV / "fiabench-env.json"
#: There while a set-up is under way; found at the start, it tells of one that was cut off.
UNFINISHED = VENV / "fiabench-env.unfinished"
LOG = VENV / "fiabench-env.log"
PINS = VENV / "fiabench-constraints.txt"
DEFAULT_TORCH = "torch==2.13.0"
#: The build backend, as pyproject.toml asks for it: from here on it need not be fetched.
SETUPTOOLS = 77
#: Pins that hold only for the numpy pinned beside them.
NUMPYS = ("numpy", "scipy", "matplotlib", "contourpy")


#: What decides whether an environment may stay, as it is called on screen.
WORDS = {"prefix": "Python", "version": "Python version", "torch": "torch", "box": "box", "venv": "place"}


class CannotSetUp(Exception):
    """Something is missing; the text says what, and what to do."""


def main(keep: bool) -> int:
    started = time.monotonic()
    try:
        with one_at_a_time():
            return set_up(keep, started)
    except (CannotSetUp, pip.PipFailed) as error:
        print(f"make env: {error}", file=sys.stderr)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        advice = ": make room where .venv lies" if error.errno in (28, 122) else ""
        print(f"make env: {error.strerror or error}{where}{advice}", file=sys.stderr)
    except KeyboardInterrupt:
        print(
            "make env: interrupted; the next `make env` begins anew (pip keeps what it has downloaded)", file=sys.stderr
        )
        return 130
    return 1


def set_up(keep: bool, started: float) -> int:
    python = caller()
    if python != Path(sys.executable):  # `.venv` itself was activated: who made it is asked
        os.execv(python, [str(python), *sys.argv])
    made = read_stamp()
    box = boxes.look()
    asked = os.environ.get("TORCH", "").strip()
    wanted = wanted_from(box, asked, made)
    project = project_hash()

    if made and usable():
        settled = keep and box is None and still_there(made, asked)
        if made["wanted"] == wanted or settled:
            if made["project"] == project:
                print(f".venv is ready: {made['summary']}")
                return 0
            if made["wanted"] != wanted:
                os.execv(made["python"], [made["python"], *sys.argv])
            return work(python, box, wanted, project, started, f"requirements changed, {VENV} is brought up to date")

    check_tools()
    check_torch(box, asked)
    if UNFINISHED.exists():
        why = "the last set-up was cut off, it begins anew"
    elif made:
        old = made["wanted"]
        changed = [WORDS[key] for key in wanted if old.get(key) != wanted[key]]
        why = f"{VENV} is made anew: another {', '.join(changed)}" if changed else f"{VENV} is broken, it is made anew"
    elif box is None and usable():
        return work(python, box, wanted, project, started, f"{VENV}, made by hand, is completed")
    else:
        why = f"{VENV} is broken, it is made anew" if VENV.exists() else f"makes {VENV}"
    return work(python, box, wanted, project, started, why, anew=True)


def work(
    python: Path,
    box: boxes.Box | None,
    wanted: dict[str, Any],
    project: str,
    started: float,
    why: str,
    anew: bool = False,
) -> int:
    """All steps, in order; the stamp comes last."""

    def say(text: str) -> None:
        print(f"[{time.monotonic() - started:4.0f} s] {text}", flush=True)

    say(f"make env: {why}")
    say(f"Python {wanted['version']}, {python}")
    # In place, the old stamp stays until the new one: it does not speak for the new requirements, and a pip that fails
    # for want of a network must not cost the environment.
    if anew:
        create(python, box, say)
    inside = VENV / "bin" / "python"
    constraints = ROOT / "constraints.txt"
    if box is not None:
        say(f"torch is the box's own: {describe(box.versions)} in {box.torch}")
        PINS.write_text(box_constraints(constraints.read_text(), box.versions))
        constraints = PINS
        drop_bundled_setuptools(inside)
    else:
        requirement = wanted["torch"]
        say(f"installs {requirement}")
        if requirement == DEFAULT_TORCH and sys.platform == "linux" and not torch_version(inside):
            say("  on Linux the usual index serves torch for CUDA: some GB. Without a GPU, TORCH='...' can name the")
            say("  CPU build instead: see README.md. Stop with Ctrl-C; nothing is lost.")
        pip.install(inside, shlex.split(requirement), LOG, say)
    say("installs fiabench and what it needs")
    pip.install(inside, [*build_options(inside), "-e", f"{ROOT}[dev]", "-c", str(constraints)], LOG, say)
    say("imports torch, to see that it works")
    summary = check_result(inside, box, wanted)
    stamp = {"wanted": wanted, "python": str(python), "project": project, "summary": summary}
    # Renamed into place: a stamp that was half-written would be read as none, and a whole set-up done again.
    draft = STAMP.with_suffix(".draft")
    draft.write_text(json.dumps(stamp, indent=1))
    UNFINISHED.unlink(missing_ok=True)
    draft.rename(STAMP)
    say(f".venv is ready: {summary}")
    return 0


# ---- what is wanted, and what is there ----


def caller() -> Path:
    """The Python to make `.venv` from: the calling one, unless that is `.venv`'s own."""
    if os.path.realpath(sys.prefix) != os.path.realpath(VENV):
        return Path(sys.executable)
    made = read_stamp()
    python = Path(made["python"] if made else getattr(sys, "_base_executable", sys.executable))
    if not os.access(python, os.X_OK) or python == Path(sys.executable):
        raise CannotSetUp(f"{sys.executable} is .venv's own Python. Leave it (deactivate), or name one: PYTHON=python3")
    return python


def wanted_from(box: boxes.Box | None, asked: str, made: dict[str, Any] | None) -> dict[str, Any]:
    """What `.venv` has to be made from; another value of any of these makes a new one."""
    before = made["wanted"]["torch"] if made else ""
    return {
        "prefix": sys.prefix,
        "version": ".".join(str(part) for part in sys.version_info[:3]),
        # What was asked for once holds until something else is asked for: `make test` does not undo `make env TORCH=`.
        "torch": "" if box else asked or before or DEFAULT_TORCH,
        "box": None
        if box is None
        else {"torch": box.torch, "versions": box.versions, "system": box.system_site, "folders": list(box.folders)},
        "venv": str(VENV),
    }


def still_there(made: dict[str, Any], asked: str) -> bool:
    """Whether an environment that another Python made may stay: its Python, torch and place are as they were."""
    old = made["wanted"]
    return (
        old["venv"] == str(VENV)
        and asked in ("", old["torch"])
        and os.access(made["python"], os.X_OK)
        and (old["box"] is None or os.path.isdir(os.path.join(old["box"]["torch"], "torch")))
    )


def project_hash() -> str:
    """Hash of what is to be installed: the parts of pyproject.toml that pip reads, the pins, and this code."""
    digest = hashlib.sha256()
    table = ""
    for line in (ROOT / "pyproject.toml").read_text().splitlines():
        if line.startswith("["):
            table = line
        if not table.startswith("[tool.") or table.startswith("[tool.setuptools"):
            digest.update(line.encode() + b"\n")
    for path in [ROOT / "constraints.txt", *sorted(Path(__file__).parent.glob("*.py"))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def read_stamp() -> dict[str, Any] | None:
    try:
        stamp = json.loads(STAMP.read_text())
        return stamp if {"wanted", "python", "project", "summary"} <= stamp.keys() and not UNFINISHED.exists() else None
    except (OSError, ValueError, AttributeError):
        return None


def usable() -> bool:
    """Whether `.venv` has a Python that can run, and the engine: looked at, not run."""
    return (
        not UNFINISHED.exists()
        and (VENV / "pyvenv.cfg").is_file()
        and os.access(VENV / "bin" / "python", os.X_OK)
        and next(VENV.glob("lib/python*/site-packages/fiabench-*.dist-info"), None) is not None
    )


def describe(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


# ---- what has to be there ----


def check_tools() -> None:
    import importlib.util

    if not all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")):
        version = "{}.{}".format(*sys.version_info[:2])
        raise CannotSetUp(
            f"{sys.executable} cannot make virtual environments: its venv or ensurepip module is missing.\n"
            f"On Debian and Ubuntu: apt install python3-venv (or python{version}-venv). "
            "Or name another Python: make env PYTHON=..."
        )
    if shutil.which("git") is None:
        raise CannotSetUp(
            "git is not on PATH; results record the commit they measure, and asv walks through history. Install git."
        )


def check_torch(box: boxes.Box | None, asked: str) -> None:
    """Says what is odd about the box's torch; raises where the box's torch cannot be used."""
    if box is None:
        return
    if asked:
        print(
            f"TORCH={asked!r} is left unused: {sys.executable} has torch of its own. Another Python: PYTHON=...",
            flush=True,
        )
    torch, torch_npu = boxes.why_torch_fails(sys.executable)
    if torch:
        raise CannotSetUp(
            f"{sys.executable} has torch in {box.torch}, but cannot import it:\n    {torch}\n"
            "Repair it (on an Ascend box: source CANN's set_env.sh first), or name a Python without torch; .venv "
            "then gets a torch of its own: make env PYTHON=..."
        )
    if torch_npu:
        print(
            f"Note: torch_npu is there, but cannot be imported:\n    {torch_npu}\n"
            "The environment is made with it all the same; source CANN's set_env.sh before measuring on the NPU.",
            flush=True,
        )


# ---- the steps ----


def create(python: Path, box: boxes.Box | None, say: Any) -> None:
    """A new virtual environment in place of whatever was there."""
    empty(VENV)
    VENV.mkdir(parents=True, exist_ok=True)
    UNFINISHED.touch()
    say("makes the virtual environment")
    # resolve(): venv itself refuses a link.
    options = ["--system-site-packages"] if box and box.system_site else []
    made = subprocess.run(
        [python, "-m", "venv", *options, VENV.resolve()],
        env=pip.environment(),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if made.returncode:
        free = shutil.disk_usage(VENV).free
        advice = "\nThe disk is full: make room where .venv lies." if free < 20 * 2**20 else ""
        raise CannotSetUp(f"{python} -m venv failed:\n{(made.stdout + made.stderr).strip()[-1500:]}{advice}")
    if box and box.folders:
        # addsitedir and not a bare path: the box may itself have its packages by way of .pth files.
        lines = [f"import site; site.addsitedir({folder!r})" for folder in box.folders]
        packages = next(VENV.glob("lib/python*/site-packages"))
        (packages / "fiabench-box.pth").write_text("\n".join(lines) + "\n")


def empty(venv: Path) -> None:
    """Removes an environment; where `.venv` is a link (to a larger disk), what it points to stays in place."""
    if venv.is_symlink() and venv.is_dir():
        for entry in venv.iterdir():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    elif venv.is_dir():
        shutil.rmtree(venv)
    else:
        venv.unlink(missing_ok=True)


def box_constraints(pins: str, versions: dict[str, str]) -> str:
    """The pins with the box's own versions in place of ours for torch, torch_npu, numpy and what numpy decides."""
    kept = [line for line in pins.splitlines() if not re.match(rf"({'|'.join(NUMPYS)})\b", line, re.I)]
    return "\n".join([*kept, "# of the box", *(f"{name}=={version}" for name, version in versions.items())]) + "\n"


def drop_bundled_setuptools(python: Path) -> None:
    """Takes away the setuptools that Pythons before 3.12 put into a new environment: it would hide the box's own."""
    if next(VENV.glob("lib/python*/site-packages/setuptools-*.dist-info"), None) is not None:
        command = [str(python), "-m", "pip", "uninstall", "--yes", "--quiet", "setuptools"]
        subprocess.run(command, env=pip.environment(), capture_output=True, check=False)


def build_options(python: Path) -> list[str]:
    """Without isolation where the build backend is at hand: then nothing has to be fetched for building."""
    code = "import setuptools; print(setuptools.__version__)"
    ran = subprocess.run([python, "-c", code], env=pip.environment(), capture_output=True, text=True)
    major = ran.stdout.split(".")[0]
    return ["--no-build-isolation"] if ran.returncode == 0 and major.isdigit() and int(major) >= SETUPTOOLS else []


CHECK = """
import json, os, torch, fiabench
print(json.dumps([torch.__version__, os.path.dirname(os.path.dirname(os.path.realpath(torch.__file__)))]))
"""


def check_result(python: Path, box: boxes.Box | None, wanted: dict[str, Any]) -> str:
    """One line about the finished environment; raises where its torch is missing or not the box's."""
    environment = {**pip.environment(), "TORCH_DEVICE_BACKEND_AUTOLOAD": "0"}
    ran = subprocess.run([python, "-c", CHECK], env=environment, capture_output=True, text=True)
    if ran.returncode:
        reason = ran.stderr.strip().splitlines()[-1:] or [f"status {ran.returncode}"]
        raise CannotSetUp(
            f"the environment was installed, but does not work:\n    {reason[0]}\n(TORCH={wanted['torch']!r})"
        )
    version, folder = json.loads(ran.stdout.splitlines()[-1])
    if box and folder != box.torch:
        raise CannotSetUp(f"{python} finds torch in {folder} and not in the box's {box.torch}; is PYTHONPATH set?")
    return f"Python {wanted['version']}, torch {version}" + (f" of the box ({folder})" if box else "")


def torch_version(python: Path) -> str:
    """The version of torch that is installed already, or nothing."""
    found = next(python.parent.parent.glob("lib/python*/site-packages/torch-*.dist-info"), None)
    return found.name.split("-")[1] if found else ""


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Waits for another set-up in this checkout, and turns a SIGTERM into an orderly end.

    The lock is on a file of the checkout, and not in `.venv`, which may be taken away meanwhile.
    """
    with (ROOT / "tools" / "make_env.py").open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("make env: waits for another set-up of this checkout", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            pass  # a file system without locks: two set-ups at once are then the user's own affair
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        yield
