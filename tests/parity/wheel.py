"""The real torch_npu wheel, importable without CANN: unpacked in a folder of its own, with empty stand-ins for CANN.

Nothing of it goes into an environment: the wheel registers an entry point by which torch imports it, and where CANN is
missing that breaks `import torch`. The folder is kept in build/ and used again.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

VERSION = "2.13.0"
FOLDER = Path(__file__).resolve().parents[2] / "build" / f"torch_npu-{VERSION}"
SYMBOLS = Path(__file__).with_name("cann_symbols.txt")
"""Functions of CANN that the wheel's libraries ask for when they are loaded; each stand-in returns 0."""
LIBRARIES = ("libhccl", "libacl_op_compiler", "libge_runner", "libgraph", "libacl_tdt_channel")
"""Libraries of CANN that must be there; nothing in them is called at import."""


class NotToBeHad(Exception):
    """Why the wheel cannot be held against this checkout here."""


def environment() -> dict[str, str]:
    """The environment of a process that can import the real torch_npu. Raises NotToBeHad with the reason."""
    torch = version("torch").partition("+")[0]
    if torch.split(".")[:2] != VERSION.split(".")[:2]:
        raise NotToBeHad(f"torch_npu {VERSION} needs torch {VERSION}; found {torch}")
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
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--dest", str(FOLDER)]
    fetched = subprocess.run([*command, f"torch_npu=={VERSION}"], capture_output=True, text=True)
    if fetched.returncode:
        words = fetched.stderr.strip().splitlines() or ["no message"]
        raise NotToBeHad(f"pip could not fetch torch_npu {VERSION}: {words[-1]}")
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
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--target", zig, "ziglang"], check=True)
    return [sys.executable, str(zig / "ziglang" / "__main__.py"), "cc"]
