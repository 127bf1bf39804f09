"""Reads a YAML file into plain data that remembers where each value stands, and refuses what YAML makes dangerous.

Values are plain Python (dict, list, str, int, float, bool, None). A scalar that YAML 1.1 reads as something a person
did not mean (`no`, `12:30`, `010`, a date) becomes a :class:`Surprise`, which no key of a sweep accepts, so that the
message can show both readings.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from fiabench.cases.errors import InputError, Problem

MAX_BYTES = 1 << 20
MAX_NODES = 200_000
MAX_DEPTH = 20

Path_ = tuple[str | int, ...]
"""A place in a document: mapping keys and list indices from the top."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_PLAIN_INT = re.compile(r"[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)")
_PLAIN_FLOAT = re.compile(r"[-+]?[0-9_]*\.?[0-9_]*([eE][-+][0-9]+)?")


class Mark(NamedTuple):
    """Line and column, counted from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Surprise:
    """A scalar that YAML reads differently from how it looks."""

    text: str
    reading: str

    def __str__(self) -> str:
        return f"{self.text}, which YAML reads as {self.reading}"


def dotted(path: Path_) -> str:
    """`axes.ulysses[2]` for ('axes', 'ulysses', 2)."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


@dataclass
class Document:
    """A file's data with the place of every key and value, and the problems that did not keep it from being read."""

    file: str
    data: Any = None
    keys: dict[Path_, Mark] = field(default_factory=dict)
    values: dict[Path_, Mark] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    moved: dict[Path_, Path_] = field(default_factory=dict)
    """Where a part of ``data`` that did not come from its own place (a profile's, say) stands in the file."""

    def original(self, path: Path_) -> Path_:
        """The place in the file that ``path`` in ``data`` came from."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.moved:
                return self.moved[path[:length]] + path[length:]
        return path

    def mark(self, path: Path_, *, of_key: bool = False) -> Mark | None:
        """Where ``path`` stands, or the nearest thing around it that stands in the file."""
        path = self.original(path)
        if of_key and path in self.keys:
            return self.keys[path]
        while path not in self.values and path:
            path = path[:-1]
        return self.values.get(path)

    def problem(
        self, path: Path_, found: str, allowed: str, hint: str = "", *, of_key: bool = False, mark: Mark | None = None
    ) -> Problem:
        """What is wrong at ``path``, with its file, line and column."""
        mark = mark or self.mark(path, of_key=of_key)
        line, column = mark if mark else (None, None)
        return Problem(self.file, line, column, dotted(self.original(path)), found, allowed, hint)


def read(path: str | Path) -> Document:
    """The document in the file at ``path``. Raises InputError where there is none that could be read at all."""
    file = str(path)
    text = _text(Path(path), file)
    _refuse_bombs(text, file)
    try:
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        raise _broken(error, file) from None
    document = Document(file)
    if node is not None:
        _Reader(document).read(node)
    return document


def _text(path: Path, file: str) -> str:
    def refuse(found: str, hint: str = "") -> InputError:
        return InputError([Problem(file, None, None, "", found, "a YAML file in UTF-8", hint)])

    try:
        if path.is_dir():
            raise refuse("a directory")
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise refuse(f"no readable file: {error.strerror or error}") from None
    if len(raw) > MAX_BYTES:
        raise refuse(f"more than {MAX_BYTES >> 10} KiB", "a range says a long list in one line")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise refuse("bytes that are no UTF-8 text") from None
    if "\0" in text:
        raise refuse("a binary file")
    if not text.strip():
        raise refuse("an empty file")
    return text


def _broken(error: yaml.YAMLError, file: str) -> InputError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    context = getattr(error, "context", None)
    what = getattr(error, "problem", None) or str(error).splitlines()[0]
    line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
    found = f"no YAML ({what}{', ' + context if context else ''})"
    return InputError([Problem(file, line, column, "", found, "one YAML document")])


def _refuse_bombs(text: str, file: str) -> None:
    """Refuse what would grow or nest without end, from the events alone: nothing is built yet.

    Each anchor's size is kept as it stands with its aliases written out, so nine lines of nine aliases each are
    counted and never expanded.
    """
    sizes: dict[str, int] = {}
    open_: list[list[Any]] = []  # [anchor, nodes so far] of each collection around
    total = 0

    def refuse(event: Any, found: str, allowed: str) -> InputError:
        mark = event.start_mark
        return InputError([Problem(file, mark.line + 1, mark.column + 1, "", found, allowed)])

    try:
        for event in yaml.parse(text, Loader=_LOADER):
            if isinstance(event, yaml.CollectionStartEvent):
                if len(open_) == MAX_DEPTH:
                    raise refuse(event, f"more than {MAX_DEPTH} levels of nesting", f"at most {MAX_DEPTH}")
                open_.append([event.anchor, 1])
                continue
            if isinstance(event, yaml.CollectionEndEvent):
                anchor, size = open_.pop()
            elif isinstance(event, yaml.ScalarEvent):
                anchor, size = event.anchor, 1
            elif isinstance(event, yaml.AliasEvent):
                if any(event.anchor == around for around, _ in open_):
                    raise refuse(event, f"*{event.anchor} inside what it stands for", "aliases that end")
                anchor, size = None, sizes.get(event.anchor or "", 1)
            else:
                continue
            if anchor:
                sizes[anchor] = size
            if open_:
                open_[-1][1] += size
            total = max(total, size, open_[-1][1] if open_ else 0)
            if total > MAX_NODES:
                allowed = f"at most {MAX_NODES:,} values, aliases written out"
                raise refuse(event, f"more than {MAX_NODES:,} values", allowed)
    except yaml.YAMLError as error:
        raise _broken(error, file) from None


class _Reader:
    """Turns a node tree into data and marks. Collects problems of single keys and values in the document."""

    def __init__(self, document: Document) -> None:
        self.document = document

    def read(self, node: yaml.Node) -> None:
        self.document.data = self._value(node, ())

    def _value(self, node: yaml.Node, path: Path_) -> Any:
        mark = Mark(node.start_mark.line + 1, node.start_mark.column + 1)
        self.document.values[path] = mark
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        return Surprise(f"the tag {node.tag.replace(_TAG, '!!')}", "a type that no sweep uses")

    def _mapping(self, node: yaml.MappingNode, path: Path_) -> dict[str, Any]:
        data: dict[str, Any] = {}
        document = self.document
        for key_node, value_node in node.value:
            mark = Mark(key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            key = _scalar(key_node) if isinstance(key_node, yaml.ScalarNode) else None
            if key_node.tag == _TAG + "merge":
                document.problems.append(
                    document.problem((*path, "<<"), "a merge key", "keys written out", "aliases work", mark=mark)
                )
                continue
            if not isinstance(key, str):
                found = "a list or mapping as a key" if not isinstance(key_node, yaml.ScalarNode) else f"the key {key}"
                document.problems.append(document.problem(path, found, "text as a key", mark=mark))
                continue
            place = (*path, key)
            if key in data:
                found = f"{key} again, first on line {document.keys[place].line}"
                document.problems.append(document.problem(place, found, "every key once", mark=mark))
                continue
            document.keys[place] = mark
            data[key] = self._value(value_node, place)
        return data


def _scalar(node: yaml.ScalarNode) -> Any:
    text, kind = node.value, node.tag.removeprefix(_TAG)
    if kind == "str":
        return text
    if kind == "null":
        return None
    if kind == "bool":
        word = text.lower()
        return word == "true" if word in ("true", "false") else Surprise(text, str(word in ("yes", "on")).lower())
    if kind == "int":
        if _PLAIN_INT.fullmatch(text):
            return int(text.replace("_", ""), 0)
        return Surprise(text, _reading(node))
    if kind == "float":
        digits = text.replace("_", "")
        if _PLAIN_FLOAT.fullmatch(text) and any(map(str.isdigit, digits)):
            return float(digits)
        return Surprise(text, _reading(node))
    return Surprise(text, "a date" if kind == "timestamp" else f"the type {kind}")


def _reading(node: yaml.ScalarNode) -> str:
    """The number that PyYAML makes of a number in an unusual form (base 2, 8 or 60, infinity)."""
    try:
        return str(yaml.SafeLoader("").construct_object(node))
    except (ValueError, yaml.YAMLError):
        return "a broken number"
