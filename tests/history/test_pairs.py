"""Rounds: their order, what a drifting box does to them, what a failure costs; and real ranks of two commits."""

from __future__ import annotations

import math
import random
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from fiabench.cases.case import Case
from fiabench.cases.expand import expand
from fiabench.cases.load import load_sweep
from fiabench.history.checkouts import Checkouts
from fiabench.history.contenders import Ranks
from fiabench.history.pairs import BASE, BEST, NEW, STANDS, TYPICAL, Pairing, samples_of, together
from fiabench.history.repository import Repository
from fiabench.workers.machine import find_machine
from tests.history.made import CASE, Box, Made
from tests.history.toy import PLAIN, TWICE, Toy, write_sweep


def pairing(box: Box, base: float = 1.0, new: float = 1.0, spread: float = 0.0) -> Pairing:
    sides = Made("a", box, base, spread), Made("b", box, new, spread)
    for side in sides:
        side.starting = 0.05  # so that there is time for several quartets
    return Pairing(sides, "total", random.Random(1))


def test_sessions_go_in_quartets_whose_lead_changes() -> None:
    box = Box()
    (found,) = pairing(box).round([CASE]).values()
    quartets = ["".join(box.sessions[start : start + 4]) for start in range(0, len(box.sessions), 4)]
    assert len(quartets) > 1
    assert set(quartets) <= {"abba", "baab"}
    assert all(one != other for one, other in pairwise(quartets))
    assert len(found.quartets) == len(quartets)
    assert not box.alive


def test_which_side_comes_first_is_drawn() -> None:
    box = Box()
    made, firsts = pairing(box), set()
    for _ in range(20):
        before = len(box.sessions)
        made.round([CASE])
        firsts.add(box.sessions[before])
    assert firsts == {"a", "b"}


@pytest.mark.parametrize("slope", [-0.05, 0.003, 0.2])
def test_a_steady_drift_of_the_box_cancels(slope: float) -> None:
    (found,) = pairing(Box(lambda number: slope * number), 1.0, 1.07).round([CASE]).values()
    assert found.quartets == pytest.approx([math.log(1.07)] * len(found.quartets))
    assert found.difference(TYPICAL) == pytest.approx(math.log(1.07))


def test_what_hinders_some_sessions_leaves_the_best_twentieth_alone() -> None:
    made = pairing(Box(lambda number: 2.0 if number % 3 else 0.0), 1.0, 1.07)
    (found,) = made.round([CASE]).values()
    assert len(found.quartets) > 1
    assert found.difference(BEST) == pytest.approx(math.log(1.07))


def test_where_higher_is_better_the_best_twentieth_is_the_highest() -> None:
    made = pairing(Box(lambda number: 2.0 if number % 3 else 0.0), 1.0, 1.07)
    made.metric = "tokens_per_s"
    (found,) = made.round([CASE]).values()
    assert len(found.quartets) > 1
    assert found.difference(BEST, True) == pytest.approx(-math.log(1.07))


def test_a_failure_ends_the_round_for_its_case_alone() -> None:
    box = Box()
    other = CASE._replace(seq_len_q=128)
    new = Made("b", box)
    real = new.measure
    new.measure = lambda cases: {  # type: ignore[method-assign]
        name: found if name != other.id else Made("c", box, ends=lambda made: ("crash", "gone")).measure([other])[name]
        for name, found in real(cases).items()
    }
    rounds = Pairing((Made("a", box), new), "total", random.Random(1)).round([CASE, other])
    assert [(side, failed.reason) for side, failed in rounds[other.id].failures] == [(NEW, "gone")]
    assert rounds[CASE.id].quartets
    assert not rounds[CASE.id].failures


def test_apart_no_two_sides_are_alive_at_once() -> None:
    box = Box()
    most = 0

    def watch(made: Made) -> None:
        nonlocal most
        most = max(most, len(box.alive))

    sides = Made("a", box, ends=watch), Made("b", box, ends=watch)
    Pairing(sides, "total", random.Random(1)).round([CASE], apart=True)
    assert most == 1
    Pairing(sides, "total", random.Random(1)).round([CASE])
    assert most == 2


def test_a_metric_that_is_not_there_is_no_number() -> None:
    (found,) = Made("a", Box()).measure([CASE]).values()
    assert samples_of(found, "total") is not None
    assert samples_of(found, "peak_memory") is None


def test_cases_stand_together_by_the_ranks_that_they_need() -> None:
    cases = [CASE, CASE._replace(variables=(("A", "1"),)), CASE._replace(seq_len_q=8), CASE._replace(threads=2)]
    assert [[case.seq_len_q for case in part] for part in together(cases)] == [[64, 8], [64], [64]]


@pytest.mark.long
def test_real_ranks_of_two_commits_are_told_apart(tmp_path: Path) -> None:
    toy = Toy(tmp_path / "toy")
    plain, twice = toy.commit(PLAIN, "Attend"), toy.commit(TWICE, "Attend twice")
    (toy.path / "toy.py").write_text("raise SystemExit('not committed')\n")
    before = toy.git("status", "--porcelain"), toy.git("worktree", "list")
    repository = Repository(toy.path)
    sweep = load_sweep(write_sweep(tmp_path / "sweep.yaml"))
    cases = [case for case in expand(sweep) if isinstance(case, Case)]
    machine = find_machine("cpu")
    with Checkouts(repository) as checkouts:
        sides = [
            Ranks(repository.commit(name), machine, sweep, {"toy": checkouts.path(repository.commit(name))}, tmp_path)
            for name in (plain, twice)
        ]
        folder = checkouts.folder
        made = Pairing((sides[BASE], sides[NEW]), "total", random.Random(1))
        (found,) = made.round(cases).values()
        (alone,) = made.alone(NEW, cases).values()
    assert not found.failures
    for stand in STANDS:
        assert found.difference(stand) > 0
    assert alone.timing["projects"]["toy"]["commit"] == twice
    assert (toy.git("status", "--porcelain"), toy.git("worktree", "list")) == before
    assert not folder.exists()
    ranks = [child for child in psutil.Process().children() if "fiabench.workers.rank" in " ".join(child.cmdline())]
    assert not ranks
