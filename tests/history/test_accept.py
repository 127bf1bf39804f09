"""`history accept`: what it writes, what it refuses, and that the file may be edited by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fiabench.cases.errors import InputError
from fiabench.history import acceptance
from fiabench.history.acceptance import Acceptances, Entry, add_entries, read_entries
from fiabench.history.repository import Repository
from fiabench.history.series import read_series
from tests.history.levels import CASE, Planted, history

SLOWER, MORE = 8, 4
"""Where the planted history steps: in time and in memory."""


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return history(
        tmp_path_factory.mktemp("accepted"), [1.0] * SLOWER + [1.3] * 8, memory=[1e6] * MORE + [2e6] * (16 - MORE)
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "accepted.yaml"


def entry(commit: str = "a" * 40, **changes: str) -> Entry:
    return Entry(**({"case": "toy", "commit": commit, "metric": "total", "reason": "known"} | changes))


def test_the_file_says_what_was_accepted_and_why(planted: Planted, file: Path) -> None:
    reason = "masks are built: the fix of #12 needs them"
    commit = planted.hashes[SLOWER]
    assert planted.run("accept", "q512", commit[:12], "--reason", reason, "--file", file) == 0
    (written,) = yaml.safe_load(file.read_text())
    assert written.pop("change") in ("+29 %", "+30 %", "+31 %")
    assert written == {"case": "q512", "commit": commit, "metric": "total", "reason": reason}


def test_what_the_user_wrote_stays_as_it_is(planted: Planted, file: Path) -> None:
    planted.run("accept", CASE.id, planted.hashes[SLOWER], "--reason", "one", "--file", file)
    text = file.read_text().replace("reason: one", "reason: one  # seen by Ann").rstrip("\n")
    file.write_text(text)
    assert planted.run("accept", CASE.id, planted.hashes[MORE], "--reason", "two", "--file", file) == 0
    assert file.read_text().startswith(text + "\n")
    assert [(found.metric, found.reason) for found in read_entries(file)] == [("total", "one"), ("peak_memory", "two")]


def test_by_default_it_lies_beside_asv_s_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planted = history(tmp_path, [1.0] * 6 + [1.5] * 6)
    assert planted.run("accept", "toy", "HEAD~5", "--reason", "known") == 0
    assert read_entries(planted.store.configuration.with_name(acceptance.FILE))[0].commit == planted.hashes[6]
    capsys.readouterr()
    assert planted.run("show") == 0
    assert "accepted: known" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing", "HEAD", "--reason", "x"], "nothing: found no such case; allowed: " + CASE.id),
        (["toy", "nowhere", "--reason", "x"], "COMMIT nowhere: is no commit of"),
        (["toy", f"HEAD~{15 - SLOWER - 3}", "--reason", "x"], "found no change there; allowed: total +"),
        (["toy", "HEAD"], "Missing option '--reason'"),
        (["toy", f"HEAD~{15 - SLOWER}", "--reason", " "], "--reason: found nothing"),
        (["toy", f"HEAD~{15 - SLOWER}", "--reason", "x", "--metric", "totl"], "did you mean total?"),
        (["toy", f"HEAD~{15 - SLOWER}", "--reason", "x", "--metric", "peak_memory"], "found no change there"),
        (["toy", f"HEAD~{15 - SLOWER}", "--reason", "x", "--machine", "moon"], "--machine: found 'moon'; allowed: box"),
    ],
)
def test_bad_input_writes_nothing(
    planted: Planted, file: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert planted.run("accept", *arguments, "--file", file) == 2
    assert said in capsys.readouterr().err
    assert not file.exists()


def test_twice_is_refused(planted: Planted, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("accept", "toy", planted.hashes[SLOWER], "--reason", "x", "--file", file)
    assert planted.run(*arguments) == 0
    before = file.read_text()
    assert planted.run(*arguments) == 2
    assert "is accepted already" in capsys.readouterr().err
    assert file.read_text() == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("case: toy\n", ":1:1: found a mapping of case; allowed: a list of accepted changes"),
        ("- case: toy\n  comit: x\n", ":2:3: [0].comit: found the unknown key comit"),
        ("- case: toy\n", ":1:3: [0]: found no commit; allowed: the key commit"),
        (f"- case: toy\n  commit: {'a' * 39}\n", ":2:11: [0].commit: found 'aaa"),
        (f"- case: toy\n  commit: {'a' * 40}\n  metric: totl\n  reason: x\n", "did you mean total?"),
        (f"- case: toy\n  commit: {'a' * 40}\n  metric: total\n  reason:\n", ":4:10: [0].reason: found nothing"),
        (f"- case: 5\n  commit: {'a' * 40}\n  metric: total\n  reason: x\n", ":1:9: [0].case: found 5"),
        ("- case: [toy\n", ":2:1: found no YAML"),
        ("- just a word\n", ":1:3: [0]: found 'just a word'"),
    ],
)
def test_a_broken_file_is_refused_with_its_line(
    planted: Planted, file: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    file.write_text(text)
    for command in (["gate", "--accepted", file], ["show", "--accepted", file]):
        assert planted.run(*map(str, command)) == 2
        error = capsys.readouterr().err
        assert f"{file}{said}" in error or (said.startswith("did") and said in error)
    assert planted.run("accept", "toy", planted.hashes[SLOWER], "--reason", "x", "--file", file) == 2
    assert file.read_text() == text


def test_a_list_that_nothing_can_be_added_to_stays(file: Path) -> None:
    text = f"[{{case: toy, commit: {'a' * 40}, metric: total, reason: x}}]\n"
    file.write_text(text)
    assert read_entries(file) == [entry(reason="x")]
    with pytest.raises(InputError, match="nothing can be added to"):
        add_entries(file, [entry()])
    assert file.read_text() == text
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        add_entries(tmp_path / "no folder" / "accepted.yaml", [entry()])


def test_an_empty_file_and_one_of_comments_accept_nothing(file: Path) -> None:
    for text in ("", "\n", "# later\n"):
        file.write_text(text)
        assert read_entries(file) == []
    add_entries(file, [entry()])
    assert read_entries(file) == [entry()]
    assert file.read_text().startswith("# later\n")


words = st.text(st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\ufeff\ufffe\uffff"), min_size=1)
words = words.map(lambda text: " ".join(text.split())).filter(bool)


@settings(max_examples=100)
@given(st.lists(st.tuples(words, words, words), min_size=1, max_size=4))
def test_whatever_is_said_is_read_again(tmp_path_factory: pytest.TempPathFactory, said: list[tuple[str, ...]]) -> None:
    file = tmp_path_factory.mktemp("said") / "accepted.yaml"
    entries = [entry(case=case, reason=reason, change=change) for case, reason, change in said]
    for one in entries:
        add_entries(file, [one])
    assert read_entries(file) == entries


def test_an_entry_takes_the_change_that_its_commit_is_in_or_next_to(planted: Planted) -> None:
    attempts, _ = planted.store.attempts()
    (series,) = read_series(planted.store, attempts, lambda name, case: True)

    def taken(place: int, *ranges: tuple[int, int]) -> set[int]:
        found = Acceptances([entry(planted.hashes[place])], planted.store.repository())
        return set(found.match(series, "total", ranges))

    assert taken(5, (3, 5), (8, 8)) == {0}
    assert taken(7, (3, 5), (8, 8)) == {1}
    assert taken(10, (3, 5), (8, 8)) == set()
    assert Acceptances([entry("b" * 40)], planted.store.repository()).match(series, "total", [(3, 5)]) == {}
    for other in (entry(planted.hashes[5], machine="moon"), entry(planted.hashes[5], case="fia")):
        assert Acceptances([other], planted.store.repository()).match(series, "total", [(3, 5)]) == {}


def test_a_commit_that_was_not_measured_is_found_by_git(tmp_path: Path) -> None:
    planted = history(tmp_path, [1.0, None, 1.0, None, 1.5, None, 1.5])
    attempts, _ = planted.store.attempts()
    (series,) = read_series(planted.store, attempts, lambda name, case: True)
    assert len(series.points) == 4
    found = Acceptances([], Repository(planted.toy.path))
    assert [found.place(series, commit) for commit in planted.hashes] == [0, 1, 1, 2, 2, 3, 3]
    assert [found.place_at_most(series, commit) for commit in planted.hashes] == [0, 0, 1, 1, 2, 2, 3]
    assert found.place(series, "c" * 40) is None
