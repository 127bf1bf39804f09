"""The real torch_npu wheel, importable without CANN: unpacked in a folder of its own, with empty stand-ins for CANN.

Nothing of it goes into an environment: the wheel registers an entry point by which torch imports it, and where CANN is
missing that breaks `import torch`. The folder is kept in build/ and used again.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from importlib.metadata import version
from pathlib import Path

VERSION = "2.13.0"
FOLDER = Path(__file__).resolve().parents[2] / "build" / f"torch_npu-{VERSION}"
SYMBOLS = Path(__file__).with_name("cann_symbols.txt")
"""Functions of CANN that the wheel's libraries ask for when they are loaded; each stand-in returns 0."""
LIBRARIES = ("libhccl", "libacl_op_compiler", "libge_runner", "libgraph", "libacl_tdt_channel")
"""Libraries of CANN that must be there; nothing in them is called at import."""

NO_INDEX = "(from versions: none)"
"""What pip says where no index in reach has the package in any version."""


class NotToBeHad(Exception):
    """Why the wheel cannot be held against this checkout here."""

    def __init__(self, reason: str, excused: bool) -> None:
        super().__init__(reason)
        self.excused = excused
        """Whether nothing here can change it: another torch, another platform, no package index that has it."""


def environment() -> dict[str, str]:
    """The environment of a process that can import the real torch_npu. Raises NotToBeHad with the reason."""
    torch = version("torch").partition("+")[0]
    if torch.split(".")[:2] != VERSION.split(".")[:2]:
        raise NotToBeHad(f"torch_npu {VERSION} needs torch {VERSION}; found {torch}", excused=True)
    if not sysconfig.get_platform().startswith("linux-"):
        raise NotToBeHad(f"torch_npu has wheels for Linux only, not for {sysconfig.get_platform()}", excused=True)
    FOLDER.parent.mkdir(parents=True, exist_ok=True)
    with FOLDER.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two workers may want it
        if not (FOLDER / "done").exists():
            shutil.rmtree(FOLDER, ignore_errors=True)
            _unpack()
            _build_stand_ins()
            (FOLDER / "done").touch()
    return os.environ | {
        "LD_LIBRARY_PATH": str(FOLDER / "cann"),
        "PYTHONPATH": str(FOLDER / "site"),
        "TORCH_DEVICE_BACKEND_AUTOLOAD": "0",
    }


def _unpack() -> None:
    options = ["--no-deps", "--only-binary=:all:", "--dest", str(FOLDER)]
    fetch(f"torch_npu {VERSION}", "download", *options, f"torch_npu=={VERSION}")
    (wheel,) = FOLDER.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(FOLDER / "site")
    wheel.unlink()


def _build_stand_ins() -> None:
    folder = FOLDER / "cann"
    folder.mkdir()
    functions = [f"int {name}(void) {{ return 0; }}" for name in SYMBOLS.read_text().split()]
    for name in ("libascendcl", *LIBRARIES):
        source = folder / f"{name}.c"
        source.write_text("\n".join(functions if name == "libascendcl" else []) + "\n")
        options = ["-shared", "-fPIC", "-w", "-fno-builtin", f"-Wl,-soname,{name}.so"]
        subprocess.run([*_compiler(), *options, "-o", folder / f"{name}.so", source], check=True)


def _compiler() -> list[str]:
    """The machine's C compiler, else the one that pip brings."""
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name):
            return [name]
    zig = FOLDER / "zig"
    if not zig.exists():
        fetch("ziglang, for want of a C compiler", "install", "--target", str(zig), "ziglang")
    return [sys.executable, str(zig / "ziglang" / "__main__.py"), "cc"]


def fetch(what: str, *arguments: str) -> None:
    """Run pip. Raises NotToBeHad with its last words, which name ``what`` was to be fetched."""
    done = subprocess.run([sys.executable, "-m", "pip", *arguments], capture_output=True, text=True)
    if done.returncode:
        words = (done.stdout + done.stderr).strip()
        last = (words.splitlines() or ["no message"])[-1]
        raise NotToBeHad(f"pip could not fetch {what}: {last}", excused=NO_INDEX in words)
