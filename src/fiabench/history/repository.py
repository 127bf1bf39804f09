"""A git repository whose commits are measured: which they are, in which order, what they are called. Writes nothing."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fiabench.cases.errors import InputError

NEWEST, OLDEST, HALVING = "newest", "oldest", "halving"
ORDERS = (NEWEST, HALVING, OLDEST)
_FIELDS = "%H%x00%ct%x00%cs%x00%s"
_SHORT = 10


class Commit(NamedTuple):
    """A commit in the words of git."""

    hash: str
    seconds: int
    """When it was committed, since 1970."""
    date: str
    """The same as YYYY-MM-DD."""
    subject: str

    @property
    def short(self) -> str:
        return self.hash[:_SHORT]

    def __str__(self) -> str:
        return f"{self.short} {self.subject}"


class Repository:
    """The git repository at ``path``, which may also be a folder in one, or bare."""

    def __init__(self, path: Path) -> None:
        """Raises InputError where there is no repository."""
        self.path = path
        if not path.is_dir():
            raise InputError.plain(f"{path}: found no folder; allowed: a git repository, or a folder in one")
        answer = self._try("rev-parse", "--is-bare-repository", "--absolute-git-dir")
        if answer.returncode:
            raise InputError.plain(f"{path}: is in no git repository ({_last_words(answer.stderr)})")
        bare, directory = answer.stdout.splitlines()
        if bare == "true":
            self.root, self.subfolder = Path(directory), ""
        else:
            self.root = Path(self.git("rev-parse", "--show-toplevel"))
            self.subfolder = self.git("rev-parse", "--show-prefix").rstrip("/")
        self._bare = bare == "true"

    def git(self, *arguments: str) -> str:
        """What git prints; raises InputError with git's own words where it fails."""
        answer = self._try(*arguments)
        if answer.returncode:
            raise InputError.plain(f"{self.path}: git {arguments[0]}: {_last_words(answer.stderr)}")
        return answer.stdout.rstrip("\n")

    def _try(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["git", "-C", str(self.path), *arguments]
        return subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")

    @property
    def changed(self) -> int:
        """Files that differ from what is committed, new ones included."""
        return 0 if self._bare else len(self.git("status", "--porcelain").splitlines())

    def commits(self, span: str, tags: bool = False, every: int = 1) -> list[Commit]:
        """The commits of ``span`` (`A..B`: after A, up to B, along the first parents), oldest first.

        With ``tags`` those alone that a tag names, on whatever line they are; of all of them each ``every``-th, counted
        back from the newest. An empty ``span`` is, with ``tags``, every tag. Raises InputError where there are none.
        """
        lines = ["--topo-order"] if tags else ["--first-parent"]
        chosen = ["--end-of-options", span] if span else ["--tags"]
        found = self._log("--reverse", *lines, *chosen, "--")
        if tags:
            tagged = set(self.git("for-each-ref", "refs/tags", "--format=%(*objectname)%(objectname)").splitlines())
            named = {line[:40] for line in tagged}  # of an annotated tag its commit stands first
            found = [commit for commit in found if commit.hash in named]
        if not found:
            what = "has no tag in it" if tags else "holds no commit"
            raise InputError.plain(
                f"--range {span or '(all)'}: {what} in {self.path}; A..B are the commits after A up to B"
            )
        return found[::-1][::every][::-1]

    def commit(self, name: str) -> Commit:
        """The one that ``name`` (a hash, a tag, a branch) stands for. Raises InputError where there is none."""
        (found,) = self._log("-1", "--end-of-options", name, "--")
        return found

    def known(self, hashes: Sequence[str]) -> list[Commit]:
        """Those of ``hashes`` that the repository has, in the order of its history, oldest first."""
        wanted = set(hashes)
        answer = subprocess.run(
            ["git", "-C", str(self.path), "cat-file", "--batch-check=%(objectname) %(objecttype)"],
            input="\n".join(wanted), capture_output=True, text=True,
        )  # fmt: skip
        there = [line.split()[0] for line in answer.stdout.splitlines() if line.endswith(" commit")]
        if not there:
            return []
        found = self._log("--topo-order", "--reverse", *there, "--")
        return [commit for commit in found if commit.hash in wanted]

    def ancestry(self, hashes: Sequence[str]) -> Ancestry:
        """Of ``hashes``, all of which the repository has."""
        lines = self.git("rev-list", "--parents", *hashes, "--").splitlines() if hashes else []
        return Ancestry({name: parents for name, *parents in map(str.split, lines)})

    def _log(self, *arguments: str) -> list[Commit]:
        lines = self.git("log", f"--format={_FIELDS}", *arguments).splitlines()
        parts = [line.split("\0", 3) for line in lines]
        return [Commit(name, int(seconds), date, subject) for name, seconds, date, subject in parts]


class Ancestry:
    """Commits with their parents."""

    def __init__(self, parents: dict[str, list[str]]) -> None:
        self._parents = parents
        self._between: dict[tuple[str, str], frozenset[str]] = {}

    def between(self, old: str, new: str) -> frozenset[str]:
        """The commits that come after ``old`` and lead to ``new``: along the first parents where ``old`` is on that
        line, as a range is measured, else all."""
        if (old, new) not in self._between:
            self._between[old, new] = self._found(old, new)
        return self._between[old, new]

    def _found(self, old: str, new: str) -> frozenset[str]:
        line: list[str] = []
        name = new
        while parents := self._parents.get(name):
            name = parents[0]
            if name == old:
                return frozenset(line)
            line.append(name)
        return frozenset(self._past(new) - self._past(old) - {new})

    def _past(self, name: str) -> set[str]:
        found, waiting = {name}, [name]
        while waiting:
            new = set(self._parents.get(waiting.pop(), ())) - found
            found |= new
            waiting += new
        return found


def _last_words(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].removeprefix("fatal: ") if lines else "no message"


def in_order(commits: Sequence[Commit], order: str) -> list[Commit]:
    """``commits``, given oldest first, in the order in which they are measured.

    ``halving`` takes the newest, the oldest, and then what lies in the middle between two that were taken, so that
    whenever it is ended the whole range is covered evenly.
    """
    if order == OLDEST:
        return list(commits)
    if order == NEWEST:
        return list(commits)[::-1]
    taken = [len(commits) - 1, 0] if len(commits) > 1 else [0]
    gaps = [(0, len(commits) - 1)]
    while gaps:
        low, high = gaps.pop(0)
        if high - low > 1:
            middle = (low + high) // 2
            taken.append(middle)
            gaps += [(low, middle), (middle, high)]
    return [commits[index] for index in taken]
