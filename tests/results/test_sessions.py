"""Several sessions of a case become one measurement, with the interval that their differences leave."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from fiabench.results.rundir import RunDirectory, read_run
from fiabench.results.sessions import over_sessions
from fiabench.stats.sessions import BETWEEN
from tests.results.samples import HEADER, measurement


def in_sessions(factors, **changes):
    """A case whose samples are ``factors`` times as long, one of each session."""
    found = []
    for session, factor in enumerate(factors):
        made = measurement(**changes)
        made.session = session
        made.metrics = {
            name: entry | {key: factor * entry[key] for key in ("value", "low", "high") if key in entry}
            for name, entry in made.metrics.items()
        }
        found.append(made)
    return found


def test_one_session_stays_as_it_is():
    (line,) = in_sessions([1.0])
    (made,) = over_sessions([line])
    assert made is line
    assert made.each_session == [line]


def test_the_value_is_the_geometric_mean_with_students_interval():
    factors = [0.99, 1.0, 1.02]
    lines = in_sessions(factors)
    once = lines[1].metrics["kernel"]["value"]
    (made,) = over_sessions(lines)
    kernel = made.metrics["kernel"]
    logs = np.log(factors)
    reach = 4.302653 * logs.std(ddof=1) / math.sqrt(3)
    assert kernel["value"] == pytest.approx(once * math.exp(logs.mean()))
    assert kernel["low"] == pytest.approx(once * math.exp(logs.mean() - reach), rel=1e-6)
    assert kernel["high"] == pytest.approx(once * math.exp(logs.mean() + reach), rel=1e-6)
    assert (kernel["scope"], kernel["sessions"], kernel["count"]) == (BETWEEN, 3, 9)
    assert made.each_session == lines
    assert made.samples["kernel"]["0"] == [sample for line in lines for sample in line.samples["kernel"]["0"]]


def test_many_cases_steady_each_others_intervals():
    wide = over_sessions(in_sessions([0.999, 1.001]))[0].metrics["kernel"]
    orders = itertools.cycle([[0.999, 1.001], [1.001, 0.999]])
    lines = [line for n in range(8) for line in in_sessions(next(orders), seq_len_q=1024 * (n + 1))]
    steadied = over_sessions(lines)[0].metrics["kernel"]
    assert steadied["high"] - steadied["low"] < (wide["high"] - wide["low"]) / 3


def test_the_most_memory_counts_and_the_median_of_other_numbers():
    made = over_sessions(in_sessions([1.0, 3.0, 2.0]))[0]
    assert made.metrics["peak_memory"]["value"] == 3 * 2**20
    once = measurement().metrics["tokens_per_s"]["value"]
    assert made.metrics["tokens_per_s"]["value"] == pytest.approx(2 * once)


def test_a_median_of_nothing_has_the_range_of_the_sessions():
    lines = in_sessions([0.0, 1.0, 2.0])
    wait = over_sessions(lines)[0].metrics["wait"]
    values = sorted(line.metrics["wait"]["value"] for line in lines)
    assert [wait["low"], wait["value"], wait["high"]] == values
    assert wait["level"] == 0.75


def test_a_case_that_failed_in_one_session_has_failed_and_says_in_which_part():
    lines = in_sessions([1.0, 1.0, 1.0])
    lines[1].status, lines[1].reason, lines[1].metrics, lines[1].samples = "crash", "rank 1 was killed", {}, {}
    (made,) = over_sessions(lines)
    assert (made.status, made.reason, made.metrics) == ("crash", "in 1 of 3 sessions: rank 1 was killed", {})


def test_a_case_that_is_unsettled_in_one_session_is_unsettled():
    lines = in_sessions([1.0, 1.0])
    lines[1].status, lines[1].reason = "unsettled", "too wide"
    (made,) = over_sessions(lines)
    assert (made.status, made.reason) == ("unsettled", "in 1 of 2 sessions: too wide")
    assert made.metrics["kernel"]["scope"] == BETWEEN


def test_doubts_say_which_part_of_the_sessions_has_them():
    lines = in_sessions([1.0, 1.0])
    lines[0].timing["flags"] = ["drifts", "closure: 5.2 % of the total"]
    lines[1].timing["flags"] = ["closure: 10 % of the total"]
    assert over_sessions(lines)[0].flags == ["drifts (in 1 of 2 sessions)", "closure: 5.2 % of the total"]


def test_a_run_directory_holds_each_session_and_gives_one_measurement_a_case(tmp_path):
    directory = RunDirectory.create(tmp_path / "run", HEADER)
    lines = in_sessions([1.0, 1.01])
    for line in lines:
        directory.append(line)
    run = read_run(directory.path)
    assert run.lines == lines
    (made,) = run.measurements
    assert made.each_session == lines
    assert "sessions" not in made.as_dict()
