"""What the calling Python brings along: its torch, torch_npu and numpy, and where they lie.

`look` imports nothing and takes milliseconds, so that a second `make env` is instant. `why_torch_fails` imports torch,
in a process of its own: a box whose driver or CANN is missing may end that process with a signal.
"""

from __future__ import annotations

import importlib.util
import os
import re
import site
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

#: Packages whose binaries fit one another: the box's own versions stay, whatever the pins say.
FITTED = ("torch", "torch_npu", "numpy")


@dataclass(frozen=True)
class Box:
    """A calling Python in which torch is found."""

    torch: str
    """Folder that holds the torch package."""
    versions: dict[str, str]
    """Versions of those of `FITTED` that are there and known to pip."""
    system_site: bool
    """Whether the packages of the base interpreter belong to the box: not those behind an isolated venv."""
    folders: tuple[str, ...]
    """site-packages that `.venv` would not see by itself: those of a calling virtual environment."""


def look() -> Box | None:
    """The box, or None where the calling Python has no torch."""
    try:
        found = importlib.util.find_spec("torch")
    except (ImportError, ValueError):
        return None
    if found is None or found.origin is None:  # a stray folder named torch is no torch
        return None
    in_venv = sys.prefix != sys.base_prefix
    # `--system-site-packages` shows the packages of the base interpreter, also when a virtual environment calls.
    folders = tuple(path for path in site.getsitepackages([sys.prefix]) if os.path.isdir(path)) if in_venv else ()
    return Box(
        torch=os.path.dirname(os.path.dirname(os.path.realpath(found.origin))),
        versions={name: version for name in FITTED if (version := installed_version(name))},
        system_site=not in_venv or sees_system(Path(sys.prefix)),
        folders=folders,
    )


def installed_version(name: str) -> str | None:
    import importlib.metadata  # a third of this script's time, and only a box needs it

    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def sees_system(venv: Path) -> bool:
    """Whether a virtual environment was made with system site packages."""
    try:
        text = (venv / "pyvenv.cfg").read_text()
    except OSError:
        return False
    return re.search(r"^include-system-site-packages\s*=\s*true\s*$", text, re.M | re.I) is not None


PROBE = """
import torch
print("torch imports", flush=True)
import importlib.util
if importlib.util.find_spec("torch_npu"):
    import torch_npu
"""


def why_torch_fails(python: str) -> tuple[str, str]:
    """Two reasons, each empty where all is well: why torch, and why torch_npu, cannot be imported by `python`."""
    # Without CANN's variables torch_npu's entry point makes `import torch` itself fail; that is torch_npu's trouble.
    environment = {**os.environ, "TORCH_DEVICE_BACKEND_AUTOLOAD": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        ran = subprocess.run([python, "-c", PROBE], env=environment, capture_output=True, text=True, timeout=300)
    except subprocess.TimeoutExpired:
        return "importing it took more than 5 minutes", ""
    if ran.returncode == 0:
        return "", ""
    said = [line for line in ran.stderr.splitlines() if line.strip()]
    reason = said[-1].strip() if said else f"the process ended with status {ran.returncode}"
    return ("", reason) if "torch imports" in ran.stdout else (reason, "")
