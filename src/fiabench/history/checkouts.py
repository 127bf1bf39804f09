"""Commits of a repository, each checked out into a folder of its own; the repository itself stays untouched."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from fiabench.cases.errors import InputError
from fiabench.history.repository import Commit, Repository

_QUIET = ("-c", f"core.hooksPath={os.devnull}", "-c", "advice.detachedHead=false")
"""No hook of the user's runs for what is none of their checkouts."""


class Checkouts:
    """Folders of commits, in a temporary one that is gone at the end of the `with` block."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._folder = Path()

    def __enter__(self) -> Checkouts:
        """Raises InputError where the repository cannot be cloned."""
        self._folder = Path(tempfile.mkdtemp(prefix="fiabench-"))
        try:
            # The objects stay where they are; what git keeps of working trees goes into the clone.
            self._git("clone", "--quiet", "--shared", "--no-checkout", "--", self._repository.root, self._clone)
        except InputError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def folder(self) -> Path:
        """For what else is gone at the end."""
        return self._folder

    @property
    def _clone(self) -> Path:
        return self._folder / "clone"

    def path(self, commit: Commit) -> Path:
        """The checkout of ``commit``; in it the subfolder that the repository was named by. Raises InputError."""
        checkout = self._folder / commit.hash
        if not checkout.exists():
            self._git("-C", self._clone, "worktree", "add", "--quiet", "--detach", checkout, commit.hash)
        return checkout / self._repository.subfolder

    def _git(self, *arguments: str | Path) -> None:
        own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        command = ["git", *_QUIET, *map(str, arguments)]
        done = subprocess.run(command, env=own, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            words = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise InputError.plain(f"{self._repository.path}: git could not check a commit out: {words[-1]}")
