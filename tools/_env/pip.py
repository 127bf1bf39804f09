"""pip with something to look at while it works, and with advice when it fails."""

from __future__ import annotations

import os
import queue
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

#: Seconds without a line from pip after which we say that it is still at work.
QUIET = 4.0


class PipFailed(Exception):
    """pip ended with an error; the text says what it said and what to do about it."""


def environment() -> dict[str, str]:
    """The user's environment and pip configuration, less what would install anywhere but into `.venv`."""
    kept = {key: value for key, value in os.environ.items() if key not in ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT")}
    return {
        **kept,
        "PIP_USER": "0",  # a configured `user = true` would write into the box's own packages
        "PIP_NO_INPUT": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }


def install(python: Path, arguments: list[str], log: Path, say: Callable[[str], None], cwd: Path | None = None) -> None:
    """`pip install` into the environment of `python`; its whole output goes to `log`, a summary to `say`."""
    command = [str(python), "-m", "pip", "install", *arguments]
    lines: list[str] = []
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment(),
        cwd=cwd,
    )
    try:
        with log.open("a") as file:
            file.write(f"$ {' '.join(command)}\n")
            doing = "pip starts"
            for line in follow(process):
                if line is None:
                    say(f"  ... {doing}")
                    continue
                lines.append(line)
                file.write(line + "\n")
                file.flush()
                if news := headline(line):
                    doing = news
                    if not news.startswith("looks at"):
                        say(f"  {news}")
            code = process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    if code:
        raise PipFailed(failure(lines, log))


def follow(process: subprocess.Popen[str]) -> Iterator[str | None]:
    """The process's lines as they come, and None for every `QUIET` seconds without one."""
    arrived: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            arrived.put(line.rstrip())
        arrived.put(None)

    threading.Thread(target=read, daemon=True).start()
    said = time.monotonic()
    while True:
        try:
            line = arrived.get(timeout=max(0.05, said + QUIET - time.monotonic()))
        except queue.Empty:
            yield None
            said = time.monotonic()
            continue
        if line is None:
            return
        yield line
        if not line.startswith(("Requirement already", "Collecting", "Looking in")):
            said = time.monotonic()
        elif time.monotonic() - said > QUIET:
            yield None
            said = time.monotonic()


def headline(line: str) -> str:
    """What a line of pip's output says in a few words, or nothing. What only passes by begins with "looks at"."""
    line = line.strip()
    if found := re.match(r"Downloading (\S+?)(?:\.metadata)? \((.+)\)", line):
        name = found[1].rsplit("/", 1)[-1]
        return f"looks at {name}" if ".metadata" in line or "kB" in found[2] else f"downloads {name} ({found[2]})"
    if found := re.match(r"Collecting (\S+)", line):
        return f"looks at {found[1]}"
    if found := re.match(r"Building (?:wheel|editable) for (\S+)", line):
        return f"builds {found[1]}"
    if "WARNING: Retrying" in line:
        return "no answer from the index, tries again"
    if line.startswith("Installing build dependencies"):
        return "fetches what the build needs"
    if found := re.match(r"Installing collected packages: (.+)", line):
        names = found[1].split(", ")
        shown = ", ".join(names[-3:])
        return f"installs {len(names)} packages, {shown} last" if len(names) > 3 else f"installs {shown}"
    return ""


NO_INDEX = (
    "Behind a proxy set HTTPS_PROXY; with a mirror set PIP_INDEX_URL; without a network put the wheels into a folder "
    "and set PIP_NO_INDEX=1 PIP_FIND_LINKS=/that/folder."
)
TORCH = (
    "For torch, make env TORCH='torch==...' takes any pip requirement, with --index-url or --find-links, or a wheel."
)
#: What pip says (case aside), and what to do about it. The first that fits is shown.
ADVICE = (
    (
        r"no space left|errno 28|quota exceeded|errno 122",
        "The disk is full. Make room where .venv, TMPDIR and pip's cache lie (PIP_CACHE_DIR moves the cache).",
    ),
    (
        r"certificate_verify_failed|sslerror",
        "The index's certificate is not trusted here: PIP_CERT=/path/to/bundle.pem, or pip's `cert` setting.",
    ),
    (
        r"name resolution|name or service not known|newconnectionerror|connecttimeout|timed out|proxyerror|"
        r"connection (refused|reset|broken|aborted)|network is unreachable|max retries",
        f"pip reaches no index. {NO_INDEX}",
    ),
    (
        r"from versions: none",
        f"pip was offered no version at all: it reached no index, or one without this package for this Python and "
        f"machine. {NO_INDEX} {TORCH}",
    ),
    (r"permission denied|errno 13|read-only file system", "Something cannot be written: see the path pip names above."),
    (r"requires a different python|requires-python", "This Python does not fit: make env PYTHON=python3.11"),
    (
        r"no matching distribution|could not find a version|invalid requirement|no such (option|file)|"
        r"requirement .* looks like a|expected (package|end|semicolon)",
        f"pip's index has nothing that fits this name and version for this Python and machine. {TORCH}",
    ),
    (
        r"conflicting dependencies|resolutionimpossible",
        "The versions exclude each other: see constraints.txt, and what PIP_CONSTRAINT or pip's configuration adds.",
    ),
)


def failure(lines: list[str], log: Path) -> str:
    """pip's last words, the advice that fits them, and where all of it is written."""
    passing = ("Requirement already", "[notice]", "Processing", "Collecting", "WARNING: Location")
    tail = [line for line in lines if line.strip() and not line.startswith(passing)][-12:]
    text = "\n".join(lines[-60:]).lower()
    advice = next((what for pattern, what in ADVICE if re.search(pattern, text)), "")
    shown = "\n".join("    " + line[:300] for line in tail)
    return "\n".join(part for part in (f"pip failed. Its last lines (all of it in {log}):", shown, advice) if part)
