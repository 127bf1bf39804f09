"""The run directory keeps what was measured, whatever happens: it is the only truth of a run."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fiabench.cases.errors import InputError
from fiabench.results.measurement import STATUSES, Measurement
from fiabench.results.rundir import CASES, FORMAT, HEADER, RunDirectory, read_run
from tests.results.samples import measurement

TEXT = st.text(st.characters(), max_size=20)  # with newlines, NUL and lone surrogates
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
FACTS = st.dictionaries(TEXT, JSON, max_size=4)
SAMPLES = st.dictionaries(TEXT, st.dictionaries(TEXT, st.lists(NUMBER, max_size=4), max_size=3), max_size=3)
MEASUREMENTS = st.builds(
    Measurement,
    id=TEXT,
    case=FACTS,
    status=st.sampled_from(sorted(STATUSES)),
    reason=TEXT,
    check=FACTS,
    timing=FACTS,
    samples=SAMPLES,
    metrics=st.dictionaries(TEXT, FACTS, max_size=3),
    session=st.integers(0, 9),
)


def well_formed(value) -> bool:
    """Whether a text is not the first half of a surrogate pair whose second half follows: that is one character."""
    if isinstance(value, dict):
        return all(well_formed(item) for pair in value.items() for item in pair)
    if isinstance(value, list):
        return all(map(well_formed, value))
    return not isinstance(value, str) or json.loads(json.dumps(value)) == value


@settings(max_examples=40)  # each is forced to the disk
@given(FACTS.filter(well_formed), st.lists(MEASUREMENTS.filter(lambda made: well_formed(made.as_dict())), max_size=4))
def test_what_is_written_is_read(tmp_path_factory, facts, measurements):
    folder = tmp_path_factory.mktemp("run")
    directory = RunDirectory.create(folder, {"facts": facts})
    for made in measurements:
        directory.append(made)
    run = read_run(folder)
    assert run.header == {"format": FORMAT, "facts": facts}
    assert run.lines == measurements


@pytest.fixture
def run(tmp_path):
    directory = RunDirectory.create(tmp_path / "run", {"sweep": {}})
    directory.append(measurement())
    directory.append(measurement(status="crash", reason="rank 1 was killed"))
    return directory


def ids(folder):
    return [made.status for made in read_run(folder).lines]


def test_every_line_is_one_json_object_that_can_be_followed_as_it_grows(run):
    lines = (run.path / CASES).read_bytes().split(b"\n")
    assert lines[-1] == b""
    assert [json.loads(line)["status"] for line in lines[:-1]] == ["ok", "crash"]


@pytest.mark.parametrize("cut", [1, 10, 200])
def test_a_line_cut_short_is_passed_over_and_removed_on_reopening(run, cut):
    cases = run.path / CASES
    whole = cases.read_bytes()
    cases.write_bytes(whole[:-cut])
    assert ids(run.path) == ["ok"]
    assert cases.read_bytes() == whole[:-cut], "reading changes nothing"
    run.close()
    reopened, found = RunDirectory.reopen(run.path)
    assert [made.status for made in found.measurements] == ["ok"]
    reopened.append(measurement(status="unsettled", reason="cap"))
    assert ids(run.path) == ["ok", "unsettled"]


def test_reopening_a_whole_run_changes_nothing(run):
    before = (run.path / CASES).read_bytes()
    run.close()
    reopened, found = RunDirectory.reopen(run.path)
    assert (run.path / CASES).read_bytes() == before
    assert reopened.header == found.header == run.header


def test_a_broken_line_within_is_named(run):
    cases = run.path / CASES
    cases.write_bytes(b'{"id": 1}\n' + cases.read_bytes())
    with pytest.raises(InputError, match=rf"{CASES}:1: is no measurement"):
        read_run(run.path)


def test_a_run_without_a_finished_case_has_none(tmp_path):
    RunDirectory.create(tmp_path, {})
    assert read_run(tmp_path).measurements == []


@pytest.mark.parametrize(
    ("content", "found"),
    [('{"format": 2}', "2"), ('{"sweep": 1}', "None"), ("[1]", "'list'"), ('{"format": "1"}', "'1'")],
)
def test_another_format_is_refused_with_what_was_found_and_what_is_read(tmp_path, content, found):
    (tmp_path / HEADER).write_text(content)
    with pytest.raises(InputError, match=f"found format {found}; this fiabench reads format {FORMAT}"):
        read_run(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe"])
def test_a_header_that_is_no_json_is_named(tmp_path, content):
    (tmp_path / HEADER).write_bytes(content)
    with pytest.raises(InputError, match=f"{HEADER}: cannot be read"):
        read_run(tmp_path)


def test_what_is_no_run_directory_is_said_to_be_none(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(InputError, match="is no run directory"):
            read_run(path)


def test_a_run_is_not_overwritten(run):
    before = {file.name: file.read_bytes() for file in run.path.iterdir()}
    with pytest.raises(InputError, match="holds a run already; go on with --resume"):
        RunDirectory.create(run.path, {})
    assert {file.name: file.read_bytes() for file in run.path.iterdir()} == before


def test_what_is_there_is_left_alone(tmp_path):
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.write_text("mine")
    folder.mkdir()
    (folder / "mine").touch()
    for path in (file, folder):
        with pytest.raises(InputError, match="is there and is no empty directory"):
            RunDirectory.create(path, {})
    assert file.read_text() == "mine"
    assert [found.name for found in folder.iterdir()] == ["mine"]


def test_an_empty_directory_is_taken(tmp_path):
    RunDirectory.create(tmp_path, {})
    assert [found.name for found in tmp_path.iterdir()] == [HEADER]


def test_a_path_below_a_file_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot be written \(Not a directory\); name another --out"):
        RunDirectory.create(tmp_path / "file" / "a" / "b", {})
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


@contextmanager
def as_nobody():
    """Without root's right to write everywhere."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("mode", [0o555, 0o000])
def test_a_directory_of_others_cannot_be_written(tmp_path, mode):
    """Neither one that may be read nor one that may not even be looked into."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    for folder in (tmp_path, *tmp_path.parents[:-2]):
        if folder.stat().st_uid == os.geteuid():
            folder.chmod(folder.stat().st_mode | 0o011)
    theirs.chmod(mode)
    try:
        with as_nobody(), pytest.raises(InputError, match=r"cannot be written \(Permission denied\); name another"):
            RunDirectory.create(theirs / "a" / "b", {})
    finally:
        theirs.chmod(0o755)
    assert list(theirs.iterdir()) == []


FILL = """
import sys
from pathlib import Path
from fiabench.cases.errors import InputError
from fiabench.results.measurement import Measurement
from fiabench.results.rundir import RunDirectory
directory = RunDirectory.create(Path(sys.argv[1]), {"sweep": {}})
for number in range(1000):
    try:
        directory.append(Measurement(str(number), {}, "ok", samples={"kernel": {"0": 100 * [0.1]}}))
    except InputError as error:
        print(number, error)
        break
"""


def fill(folder, **options):
    """Appends measurements in a process of its own until one fails; how many were written, and the error's text."""
    done = subprocess.run([sys.executable, "-c", FILL, str(folder)], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stderr
    count, _, text = done.stdout.partition(" ")
    return int(count), text


def check_full(folder, count, text, reason):
    assert count > 3
    assert f"cannot be written ({reason}); the cases before are kept: make room, then go on with --resume" in text
    assert (folder / CASES).read_bytes().endswith(b"\n")
    assert [made.id for made in read_run(folder).lines] == [str(number) for number in range(count)]


def test_a_file_that_may_not_grow_keeps_whole_lines(tmp_path):
    """The kernel writes a part of the last line before it refuses the rest."""
    limit = 10_000
    folder = tmp_path / "run"
    count, text = fill(folder, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    check_full(folder, count, text, "File too large")


def test_a_full_disk_keeps_whole_lines(tmp_path):
    """A real file system of 64 KiB, where this process may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(mount, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("no right to mount a small file system")
    try:
        count, text = fill(disk / "run")
        check_full(disk / "run", count, text, "No space left on device")
        with pytest.raises(InputError, match=r"cannot be written \(No space left on device\); name another"):
            RunDirectory.create(disk / "another" / "run", {"text": 70_000 * "x"})
        assert [found.name for found in disk.iterdir()] == ["run"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_cases_that_cannot_be_opened_are_an_input_error(tmp_path):
    directory = RunDirectory.create(tmp_path, {})
    (tmp_path / CASES).mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        directory.append(measurement())
    with pytest.raises(InputError, match="cannot be read"):
        read_run(tmp_path)


def test_two_runs_do_not_write_into_one_directory(tmp_path):
    """The first holds it for as long as it lives, and no longer."""
    first = RunDirectory.create(tmp_path / "run", {})
    code = (
        "import sys; from pathlib import Path; from fiabench.results.rundir import RunDirectory\n"
        "from fiabench.cases.errors import InputError\n"
        "try: RunDirectory.reopen(Path(sys.argv[1])); print('opened')\n"
        "except InputError as error: print(error)"
    )

    def second() -> str:
        command = [sys.executable, "-c", code, str(tmp_path / "run")]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert "is being written by another run" in second()
    first.close()
    assert second() == "opened\n"
