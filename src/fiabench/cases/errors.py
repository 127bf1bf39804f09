"""Errors that a user can mend: each with file, line, column and key, what was found and what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, NamedTuple


class Problem(NamedTuple):
    """One thing that is wrong with one place of an input."""

    file: str
    """The file as the user named it; empty where the input is no file."""
    line: int | None
    """Line, counted from 1; None where the whole file is meant."""
    column: int | None
    """Column, counted from 1."""
    key: str
    """The place in the document, as `axes.ulysses[2]`; empty where the whole file is meant."""
    found: str
    """What stands there, in words."""
    allowed: str
    """What may stand there, in words; empty where there is nothing to choose from."""
    hint: str = ""
    """A way out, where there is a likely one."""

    def __str__(self) -> str:
        place = self.file
        if self.line is not None:
            place += f":{self.line}:{self.column}"
        parts = [part for part in (place, self.key) if part]
        message = f"found {self.found}" if self.found else ""
        if self.allowed:
            message += f"; allowed: {self.allowed}" if message else f"allowed: {self.allowed}"
        if self.hint:
            message += f" ({self.hint})" if message else self.hint
        return ": ".join([*parts, message])


class InputError(Exception):
    """Bad input: everything that is wrong with it at once. Commands print it and exit with 2."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__(str(self))

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)

    @classmethod
    def plain(cls, text: str) -> InputError:
        """An error that is one sentence and belongs to no file."""
        return cls([Problem("", None, None, "", "", "", text)])


def nearest(word: str, words: Iterable[str]) -> str:
    """`did you mean ...?` for a word that is not one of ``words``; empty where none is close."""
    close = difflib.get_close_matches(word, list(words), n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else ""


def describe(value: Any) -> str:
    """A value in words, with its type where the text alone would mislead."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"{str(value).lower()} (a boolean)"
    if isinstance(value, str):
        text = value if len(value) <= 60 else value[:57] + "..."
        return f"{text!r} (a string)"
    if isinstance(value, dict):
        return f"a mapping of {', '.join(map(str, list(value)[:6]))}" if value else "an empty mapping"
    if isinstance(value, list):
        return f"a list of {len(value)}" if value else "an empty list"
    text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."
