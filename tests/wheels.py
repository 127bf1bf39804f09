"""Real releases of outside projects, by name and version: fetched by pip once, unpacked and kept in build/."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

PATIENCE = 40
"""Seconds. Where the index does not answer at all, pip goes on for minutes, and a test may want three releases."""
FOLDER = Path(__file__).resolve().parents[1] / "build" / "wheels"


def release(name: str, version: str) -> Path:
    """The folder of that release's Python files. Where pip cannot fetch it, the test says that it did not run."""
    folder = FOLDER / f"{name}-{version}"
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several workers may want the same release
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=FOLDER) as scratch:
                _fetch(name, version, Path(scratch)).rename(folder)
    return folder


def _fetch(name: str, version: str, scratch: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--dest", str(scratch), f"{name}=={version}"]
    try:
        fetched = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        pytest.skip(f"NOT RUN with {name} {version}, which pip could not fetch within {PATIENCE} s")
    if fetched.returncode:
        words = fetched.stderr.strip().splitlines() or ["no message"]
        pytest.skip(f"NOT RUN with {name} {version}, which pip could not fetch: {words[-1]}")
    (wheel,) = scratch.glob("*.whl")
    unpacked = scratch / "unpacked"
    with zipfile.ZipFile(wheel) as archive:
        wanted = [file for file in archive.namelist() if file.endswith((".py", ".dist-info/METADATA"))]
        archive.extractall(unpacked, wanted)
    return unpacked
