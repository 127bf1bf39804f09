"""What the gate makes of a finding: of one run alone, by what pairs say of it, and by what is accepted."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from fiabench.history import confirm, gating
from fiabench.history.acceptance import Acceptances, Entry
from fiabench.history.detecting import detect_changes, reference_of
from fiabench.history.gating import ALARM, CLEARED, SMALL, SUSPECT, Gate
from fiabench.history.pairs import Pairing
from fiabench.history.series import Series
from tests.history.drawn import commits, series
from tests.history.made import CASE, Box, Made


def gate(found: Series, metric: str = "total", *entries: Entry, least: float = 0.0) -> Gate:
    return gating.gate([found], detect_changes([found], [metric]), Acceptances(entries, None), least=least)


@pytest.mark.parametrize(("count", "outcome"), [(1, SUSPECT), (2, ALARM), (3, ALARM)])
def test_a_step_of_one_run_alone_is_a_suspect_however_sure_it_looks(count: int, outcome: str) -> None:
    (finding,) = gate(series({"total": [1.0] * (60 - count) + [1.2] * count})).findings
    assert finding.change
    assert finding.change.flagged
    assert finding.at == 60 - count
    assert finding.outcome == outcome


def test_pairs_make_an_alarm_of_a_step_of_one_run() -> None:
    (finding,) = gate(series({"total": [1.0] * 59 + [1.2]})).findings
    for new, outcome in ((1.2, ALARM), (1.0, CLEARED)):
        box = Box()
        sides = Made("a", box, 1.0, 0.004), Made("b", box, new, 0.004)
        (finding.verdict,) = confirm.confirm(Pairing(sides, "total", random.Random(1)), [CASE], 0.02, 20.0)
        assert finding.outcome == outcome


@pytest.mark.parametrize(("level", "outcome"), [(0.6, ALARM), (0.9, SMALL), (1.0, CLEARED), (1.6, CLEARED)])
def test_pairs_uphold_what_is_worse_where_higher_is_better(level: float, outcome: str) -> None:
    (finding,) = gate(series({"tokens_per_s": [1.0] * 12 + [0.6] * 4}), "tokens_per_s", least=0.2).findings
    box = Box()
    sides = Made("a", box, 1.0, 0.004), Made("b", box, 1 / level, 0.004)
    (verdict,) = confirm.confirm(Pairing(sides, "tokens_per_s", random.Random(1)), [CASE], 0.02, 20.0)
    assert verdict.ratio == pytest.approx(level, rel=0.05)
    assert verdict.worse is (level < 1)
    finding.verdict = verdict
    assert finding.outcome == outcome


def entry(place: int, case: str = "toy", metric: str = "total", machine: str = "") -> Entry:
    return Entry(case, commits(place + 1)[place].hash, metric, "known", machine=machine)


STEP = [1.0] * 8 + [1.2] * 8


def test_every_entry_of_an_accepted_change_accepts_it() -> None:
    both = entry(8), entry(8, "toy.BNSD")
    found = gate(series({"total": STEP}), "total", *both)
    assert found.passes
    assert not found.stale
    ((_, _, said),) = found.accepted
    assert said == both[0]


def test_two_entries_of_one_commit_do_not_accept_the_next_change_too() -> None:
    found = series({"total": [1.0] * 12})
    both = entry(5), entry(5, "toy.BNSD"), entry(7)
    assert Acceptances(both, None).match(found, "total", [(5, 5), (6, 6)]) == {0: [both[0], both[1]], 1: [both[2]]}
    assert Acceptances(both[:2], None).match(found, "total", [(5, 5), (6, 6)]) == {0: [both[0], both[1]]}
    assert Acceptances(both[1:], None).match(found, "total", [(6, 6)]) == {0: [both[1], both[2]]}


def test_an_entry_is_not_there_only_where_it_was_looked_for() -> None:
    found = series({"total": STEP, "kernel": [1.0] * 16})
    away = entry(4)
    assert gate(found, "total", away).stale == [away]
    assert gate(found, "kernel", away).stale == []
    assert gate(found, "total", replace(away, machine="moon")).stale == []
    assert gate(found, "total", replace(away, case="sdpa")).stale == []
    assert gate(found, "total", entry(0), entry(20)).stale == []
    fails = entry(4, metric="status")
    assert gate(found, "kernel", fails).stale == [fails]
    earlier = replace(found, points=found.points[:7])
    assert gate(earlier, "total", entry(8)).stale == []
    short = replace(found, points=found.points[:5])
    assert gate(short, "total", entry(4)).stale == []


def test_a_case_is_not_divided_by_itself() -> None:
    found = [series({"total": STEP, "peak_memory": [1.0] * 16}, op=op) for op in ("toy", "sdpa")]
    reference = reference_of(found[:1], "total")
    toy, memory, other, _ = detect_changes(found, ["total", "peak_memory"], reference)
    assert "is the reference itself" in toy.abstains
    assert not memory.abstains
    assert not other.abstains
    answer = gating.gate(found[:1], [toy], Acceptances([entry(8)], None))
    assert not answer.stale
    assert [why for _, _, why in answer.unjudged] == [toy.abstains]
