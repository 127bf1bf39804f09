"""Commits of a range, in the orders that a history is measured in, as git itself has them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiabench.cases.errors import InputError
from fiabench.history.repository import HALVING, NEWEST, OLDEST, Commit, Repository, in_order
from tests.history.toy import PLAIN, Toy


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Toy, list[str]]:
    """Six commits; the second and the fifth are tagged."""
    made = Toy(tmp_path_factory.mktemp("git") / "toy")
    hashes = [made.commit(f"{PLAIN}# {number}\n", f"Commit {number}") for number in range(6)]
    made.git("tag", "v1", hashes[1])
    made.git("tag", "--annotate", "--message", "two", "v2", hashes[4])
    return made, hashes


def found(toy: Toy, *arguments: object) -> list[str]:
    return [commit.hash for commit in Repository(toy.path).commits(*arguments)]  # type: ignore[arg-type]


def test_a_range_is_git_s(toy: tuple[Toy, list[str]]) -> None:
    repository, hashes = toy
    assert found(repository, f"{hashes[1]}..{hashes[4]}") == hashes[2:5]
    assert found(repository, "v1..v2") == hashes[2:5]
    assert found(repository, "main") == hashes
    assert Repository(repository.path).commits("main")[3].subject == "Commit 3"


def test_every_nth_has_the_newest(toy: tuple[Toy, list[str]]) -> None:
    repository, hashes = toy
    assert found(repository, "main", False, 2) == hashes[1::2]
    assert found(repository, "main", False, 4) == [hashes[1], hashes[5]]


def test_tags_of_both_kinds(toy: tuple[Toy, list[str]]) -> None:
    repository, hashes = toy
    assert found(repository, "", True) == [hashes[1], hashes[4]]
    assert found(repository, "v1..main", True) == [hashes[4]]


def test_the_order_of_history_is_known_without_a_range(toy: tuple[Toy, list[str]]) -> None:
    repository, hashes = toy
    known = Repository(repository.path).known([hashes[4], hashes[0], "f" * 40, hashes[2]])
    assert [commit.hash for commit in known] == [hashes[0], hashes[2], hashes[4]]


@pytest.mark.parametrize(
    ("span", "tags", "said"),
    [
        ("main..main", False, "holds no commit"),
        ("nowhere..main", False, "bad revision 'nowhere..main'"),
        ("v2..main", True, "has no tag in it"),
    ],
)
def test_a_range_without_commits_is_refused(toy: tuple[Toy, list[str]], span: str, tags: bool, said: str) -> None:
    with pytest.raises(InputError, match=said):
        Repository(toy[0].path).commits(span, tags)


def test_what_is_no_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found no folder"):
        Repository(tmp_path / "nowhere")
    with pytest.raises(InputError, match="in no git repository"):
        Repository(tmp_path)


def test_a_folder_of_a_repository_is_told_apart_from_its_root(toy: tuple[Toy, list[str]]) -> None:
    (toy[0].path / "part").mkdir(exist_ok=True)
    inside = Repository(toy[0].path / "part")
    assert (inside.root.samefile(toy[0].path), inside.subfolder) == (True, "part")


@given(st.integers(1, 70))
def test_each_order_has_every_commit_once(count: int) -> None:
    commits = [Commit(str(number), number, "", "") for number in range(count)]
    for order in (NEWEST, OLDEST, HALVING):
        assert sorted(in_order(commits, order)) == sorted(commits)
    assert in_order(commits, NEWEST) == commits[::-1]


@given(st.integers(2, 70), st.data())
def test_halving_covers_a_range_evenly_whenever_it_ends(count: int, data: st.DataObject) -> None:
    commits = [Commit("", number, "", "") for number in range(count)]
    taken = data.draw(st.integers(2, count))
    there = sorted(commit.seconds for commit in in_order(commits, HALVING)[:taken])
    gaps = [after - before for before, after in pairwise(there)]
    assert (there[0], there[-1]) == (0, count - 1)
    # Halves of halves: none is more than twice as long as another, but for what does not divide.
    assert max(gaps) <= 2 * min(gaps) + 2
