"""The first bad commit of histories whose truth is known, and of a real one with a crash."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from fiabench.cases.errors import InputError
from fiabench.cli.confirming import bisect as command
from fiabench.history.bisect import BAD, GOOD, SKIPPED, Bisection, Found, between
from fiabench.history.pairs import Pairing
from fiabench.history.repository import Commit, Repository
from fiabench.results.measurement import Measurement
from fiabench.results.words import kind_of
from tests.history.made import CASE, Box, Made, commit
from tests.history.toy import COMMENTED, CRASHES, PLAIN, UNLOADABLE, Toy, write_sweep

NAMES = "abcdefghijklm"


def found_in(
    history: Sequence[float | tuple[str, str]], spread: float = 0.004, seconds: float = 60.0, metric: str = "total"
) -> Found:
    """The bisection of commits that take so many seconds or end so, the first of which is GOOD."""
    box = Box()
    made = [
        Made(name, box, ends=lambda _, truth=truth: truth)
        if isinstance(truth, tuple)
        else Made(name, box, truth, spread)
        for name, truth in zip(NAMES, history)
    ]
    by_hash = {one.commit.hash: one for one in made}
    base = made[0]

    def against(wanted: Commit) -> Pairing:
        return Pairing((base, by_hash[wanted.hash]), metric, random.Random(1))

    commits = [one.commit for one in made[1:]]
    return Bisection(commits, CASE, against, seconds, lambda text: None).find(0.02)


@pytest.mark.parametrize("place", [1, 2, 5, 8])
def test_the_commit_of_a_slowdown_is_found(place: int) -> None:
    found = found_in([1.0] * place + [1.06] * (9 - place))
    assert found.first_bad == commit(NAMES[place])
    assert found.threshold == pytest.approx(1.06**0.5, abs=0.005)
    assert found.error < 0.07
    assert len(found.decisions) <= 4


def test_the_commit_that_made_less_of_what_is_better_higher_is_found() -> None:
    found = found_in([1.0] * 5 + [1.06] * 4, metric="tokens_per_s")
    assert found.first_bad == commit(NAMES[5])
    assert found.threshold == pytest.approx(1.06**-0.5, abs=0.005)


def test_a_change_within_that_is_less_than_half_of_it_is_not_blamed() -> None:
    found = found_in([1.0, 1.02, 1.02, 0.98, 1.1, 1.1, 1.08])
    assert found.first_bad == commit("e")


SHAPE = ("error", "rank 0: RuntimeError: query shape [1, 5]")
IMPORT = ("error", "ProjectError: no module")


def test_the_commit_of_a_crash_is_found_past_those_that_cannot_be_judged() -> None:
    found = found_in([1.0, 1.0, IMPORT, IMPORT, 1.0, SHAPE, SHAPE, SHAPE])
    assert found.first_bad == commit("f")
    assert found.threshold is None
    judged = {decision.commit.hash[0]: decision.decision for decision in found.decisions}
    assert set(judged.values()) <= {GOOD, BAD, SKIPPED}
    assert judged["e"] == GOOD
    assert judged.get("c", SKIPPED) == SKIPPED


def test_what_cannot_be_told_apart_is_named() -> None:
    found = found_in([1.0, 1.0, IMPORT, IMPORT, SHAPE, SHAPE])
    assert found.first_bad is None
    assert found.suspects == [commit(name) for name in "cde"]


def test_a_wrong_result_is_not_taken_for_a_crash() -> None:
    wrong = ("wrong", "max error 1.0")
    assert found_in([1.0, 1.0, ("crash", "gone"), wrong, wrong]).suspects == [commit("c"), commit("d")]


@pytest.mark.parametrize("last", [1.0, 0.9])
def test_where_bad_is_not_worse_there_is_nothing_to_find(last: float) -> None:
    found = found_in([1.0, 1.0, last])
    assert not found.suspects
    assert not found.decisions


def test_two_failures_are_one_by_status_and_exception() -> None:
    def failed(status: str, reason: str) -> Measurement:
        return Measurement("x", {}, status, reason)

    def kind(made: Measurement) -> tuple[str, str]:
        return kind_of(made.status, made.reason)

    assert kind(failed(*SHAPE)) == kind(failed("error", "RuntimeError: query shape [1, 7]"))
    assert kind(failed(*SHAPE)) != kind(failed(*IMPORT))
    assert kind(failed("crash", "rank 1: a")) == kind(failed("crash", "b"))


def test_commits_lie_between_the_two_in_order(tmp_path: Path) -> None:
    toy = Toy(tmp_path / "toy")
    hashes = [toy.commit(PLAIN, name) for name in "abc"]
    toy.git("checkout", "--quiet", "-b", "side", hashes[0])
    aside = toy.commit(COMMENTED, "aside")
    repository = Repository(toy.path)
    first, last = repository.commit(hashes[0]), repository.commit(hashes[2])
    assert [one.subject for one in between(repository, first, last)] == ["b", "c"]
    for good, bad in ((last, first), (repository.commit(aside), last), (first, first)):
        with pytest.raises(InputError):
            between(repository, good, bad)


@pytest.mark.long
def test_the_real_commit_of_a_crash_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toy = Toy(tmp_path / "toy")
    toy.commit(PLAIN, "Attend")
    toy.git("tag", "good")
    toy.commit(UNLOADABLE, "Import what is not there")
    toy.commit(COMMENTED, "Do not")
    culprit = toy.commit(CRASHES, "Cache the head count")
    arguments = ["good", "main", "--case", "q512", "--project", str(toy.path), "--device", "cpu"]
    arguments += ["--sweep", str(write_sweep(tmp_path / "sweep.yaml"))]
    assert command.main(arguments, standalone_mode=False) == 0
    out = capsys.readouterr().out
    assert f"first bad commit: {culprit[:10]} Cache the head count" in out
    assert "toy.py" in out
    assert "query shape [1, 5]" in out
