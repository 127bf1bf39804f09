"""Claims against planted measurements: what the interval keeps, breaks or leaves open."""

from __future__ import annotations

import pytest

from fiabench.cases.sweep import Claim
from fiabench.results.claims import judge
from tests.results.samples import measurement


def claim(at_most=None, at_least=None, **when):
    return Claim("It costs nothing.", "ratio", at_most, at_least, {name: [value] for name, value in when.items()})


def measured(value, low, high, **changes):
    made = measurement(**changes)
    made.metrics["ratio"] = {"value": value, "low": low, "high": high, "unit": "ratio", "better": "lower"}
    return made


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.98, 1.01, "holds"), (1.01, 1.03, "undecided"), (1.03, 1.05, "broken"), (1.02, 1.02, "holds")],
)
def test_the_interval_decides(low, high, verdict):
    (found,) = judge([claim(at_most=1.02)], [measured((low + high) / 2, low, high)])
    assert found.verdict == verdict
    assert "claimed at most 1.02" in found.because


def test_a_lower_bound_and_the_case_that_comes_nearest():
    cases = [measured(0.99, 0.98, 1.0, seq_len_q=24), measured(0.97, 0.96, 0.98, seq_len_q=48)]
    (found,) = judge([claim(at_least=0.95)], cases)
    assert found.verdict == "holds"
    assert cases[1].id in found.because
    assert judge([claim(at_least=0.985, at_most=2)], cases)[0].verdict == "broken"


def test_one_broken_case_breaks_a_claim_and_a_condition_picks_the_cases():
    cases = [measured(1.0, 1.0, 1.0, seq_len_q=24), measured(1.5, 1.4, 1.6, seq_len_q=48)]
    assert judge([claim(at_most=1.1)], cases)[0].verdict == "broken"
    assert judge([claim(at_most=1.1, seq_len_q=24)], cases)[0].verdict == "holds"


def test_what_was_not_measured_is_not_borne_out():
    cases = [measured(1.0, 1.0, 1.0), measurement("error", "raised", seq_len_q=48)]
    (found,) = judge([claim(at_most=1.1)], cases)
    assert (found.verdict, found.because) == ("undecided", f"error in {cases[1].id}")
    assert judge([claim(at_most=1.1, seq_len_q=96)], cases)[0].because == "the run has no case that it speaks of"
    assert "no ratio" in judge([claim(at_most=1.1)], [measurement()])[0].because
