"""What the gate makes of a finding: of one run alone, by what pairs say of it, and by what is accepted."""

from __future__ import annotations

import random

import pytest

from fiabench.history import confirm, gating
from fiabench.history.acceptance import Acceptances
from fiabench.history.detecting import detect_changes
from fiabench.history.gating import ALARM, CLEARED, SMALL, SUSPECT, Gate
from fiabench.history.pairs import Pairing
from fiabench.history.series import Series
from tests.history.drawn import series
from tests.history.made import CASE, Box, Made


def gate(found: Series, metric: str = "total", least: float = 0.0) -> Gate:
    return gating.gate([found], detect_changes([found], [metric]), Acceptances([], None), least=least)


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
