"""The driver's version, from the files that the drivers leave. Imports no torch."""

from __future__ import annotations

import re
from pathlib import Path

ASCEND = Path("/usr/local/Ascend/driver/version.info")
NVIDIA = Path("/proc/driver/nvidia/version")

_ASCEND_LINE = re.compile(r"^version=(\S+)", re.IGNORECASE | re.MULTILINE)
_NVIDIA_LINE = re.compile(r"^NVRM version:.*?\s(\d+(?:\.\d+)+)\s", re.MULTILINE)


def ascend_version(path: Path = ASCEND) -> str | None:
    """`24.1.1`; None where the file is not there or says nothing."""
    return _find(_ASCEND_LINE, path)


def nvidia_version(path: Path = NVIDIA) -> str | None:
    """`550.54.15`; None where the file is not there or says nothing."""
    return _find(_NVIDIA_LINE, path)


def _find(line: re.Pattern[str], path: Path) -> str | None:
    try:
        found = line.search(path.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    return found.group(1) if found else None
