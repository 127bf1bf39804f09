"""Files that are no sweeps at all, and what YAML makes of some of them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from fiabench.cases import source
from fiabench.cases.errors import InputError
from fiabench.cases.load import load_sweep, profile_names

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("content", "place", "found"),
    [
        (b"", "", "an empty file"),
        (b"  \n\n", "", "an empty file"),
        (b"# nothing but this\n", "", "no content"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\xff", "", "bytes that are no UTF-8 text"),
        (b"name: a\x00b\n", "", "a binary file"),
        (b"name: a\x01b\n", "", "no YAML"),
        (b"- 1\n- 2\n", ":1:1", "a list of 2"),
        (b"hello\n", ":1:1", "'hello' (a string)"),
        (b"a: [1, 2\nb: }\n", ":2:2", "no YAML"),
        (b"a: 1\n---\nb: 2\n", ":2:1", "another document"),
        (b"a: *nowhere\n", ":1:4", "undefined alias"),
        (b"a: &a [1, *a]\n", ":1:11", "*a inside what it stands for"),
        (b"[" * 50_000, ":1:21", "more than 20 levels of nesting"),
        (BOMB.encode(), ":6:", "more than 200,000 values"),
        (b"a: " + b"x" * (2 << 20), "", "more than 1024 KiB"),
    ],
    ids=lambda value: value[:12].decode("latin-1") if isinstance(value, bytes) else None,
)
def test_no_sweep_at_all(tmp_path: Path, content, place, found):
    path = tmp_path / "sweep.yaml"
    path.write_bytes(content)
    started = time.process_time()  # the box may be busy
    with pytest.raises(InputError) as caught:
        load_sweep(path)
    assert time.process_time() - started < 5
    (problem,) = caught.value.problems
    assert str(problem).startswith(f"{path}{place}")
    assert found in problem.found


def test_no_file(tmp_path: Path):
    with pytest.raises(InputError, match="No such file") as caught:
        load_sweep(tmp_path / "nowhere.yaml")
    assert str(caught.value).startswith(f"{tmp_path}/nowhere.yaml: found no readable file")
    with pytest.raises(InputError, match="a directory"):
        load_sweep(tmp_path)


def test_aliases_and_a_byte_order_mark_are_read(tmp_path: Path):
    path = tmp_path / "sweep.yaml"
    path.write_bytes("\ufeffa: &a [1, 2]\nb: {c: *a}\n".encode())
    document = source.read(path)
    assert document.data == {"a": [1, 2], "b": {"c": [1, 2]}}
    assert document.problems == []
    assert document.mark(("b", "c", 1)) == (1, 11)  # where the value stands, not the alias
    assert document.mark(("b", "c"), of_key=True) == (2, 5)


def test_marks_stand_where_an_editor_counts_them(tmp_path: Path):
    path = tmp_path / "sweep.yaml"
    path.write_text("axes:\n  ulysses:\n    - 1\n    - 2\n", encoding="utf-8")
    document = source.read(path)
    assert document.mark(("axes", "ulysses", 1)) == (4, 7)
    assert document.mark(("axes", "ulysses", 9)) == (3, 5)  # the nearest that stands in the file
    assert source.dotted(("axes", "ulysses", 1)) == "axes.ulysses[1]"


@pytest.mark.parametrize(
    ("scalar", "value"),
    [("12", 12), ("1_000", 1000), ("0x10", 16), ("-3", -3), ("0.5", 0.5), ("1.0e+3", 1000.0), ("true", True),
     ("~", None), ("''", ""), ("'12'", "12"), ("1e6", "1e6"), ("64 KiB", "64 KiB")],
)  # fmt: skip
def test_scalars(tmp_path: Path, scalar, value):
    path = tmp_path / "sweep.yaml"
    path.write_text(f"a: {scalar}\n", encoding="utf-8")
    read = source.read(path).data["a"]
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("scalar", "reading"),
    [("no", "false"), ("On", "true"), ("12:30", "750"), ("010", "8"), ("0b11", "3"), ("2026-04-24", "a date"),
     (".inf", "inf"), (".nan", "nan"), ("1:30.5", "90.5"), ("!!binary aGk=", "the type binary"), ("09_", "9")],
)  # fmt: skip
def test_what_yaml_reads_as_something_else(tmp_path: Path, scalar, reading):
    path = tmp_path / "sweep.yaml"
    path.write_text(f"a: {scalar}\n", encoding="utf-8")
    value = source.read(path).data["a"]
    if scalar == "09_":  # no octal number: PyYAML leaves it text
        assert value == "09_"
    else:
        assert isinstance(value, source.Surprise)
        assert value.reading == reading


def test_profile_names(tmp_path: Path):
    path = tmp_path / "sweep.yaml"
    path.write_text("profiles: {b: {}, a: {}}\n", encoding="utf-8")
    assert profile_names(path) == ["b", "a"]
