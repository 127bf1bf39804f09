"""Two sides compared, where it is known what differs: simulated runs through the real engine, and planted failures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fiabench.cases.errors import InputError
from fiabench.results import comparison
from fiabench.results.comparison import compare_sides
from fiabench.results.rundir import Run
from fiabench.results.sides import Side, read_sides
from fiabench.stats.compare import NO_DIFFERENCE, SLOWER, UNDECIDED
from fiabench.stats.sessions import WITHIN
from tests.results.compared import LENGTHS, header, simulated_run
from tests.results.samples import measurement

PLANTED = LENGTHS[2:5]


def judged(a, b, metrics=(), relevant=0.02, wanted=lambda case: True):
    return compare_sides(*read_sides(a, b), metrics, relevant, wanted)


def tokens(row):
    return int(row.label.split()[0].replace(",", ""))


@pytest.fixture(scope="module")
def base():
    return simulated_run("a", 1)


@pytest.fixture(scope="module")
def same():
    return simulated_run("same", 2)


def one(name, *lines, **changes):
    """A run of planted measurements, not simulated."""
    return Run(Path(name), header(**changes), list(lines))


@pytest.mark.parametrize("factor", [1.02, 1.05])
def test_a_planted_change_is_found_and_nothing_else(base, factor):
    where = ",".join(map(str, PLANTED))
    b = simulated_run("b", 3, f"slow-rank=0:{factor}@seq_len_q={where}")
    found = judged([base], [b], ["total"])
    assert {tokens(row) for row in found.rows if row.verdict == SLOWER} == set(PLANTED)
    assert {row.verdict for row in found.rows if tokens(row) not in PLANTED} == {NO_DIFFERENCE}
    for row in found.rows[: len(PLANTED)]:
        assert tokens(row) in PLANTED  # slower first
        assert row.difference.low - 0.01 < factor < row.difference.high + 0.01
        assert row.b / row.a == pytest.approx(row.difference.ratio)
    assert found.worse
    back = judged([b], [base], ["total"])
    assert {tokens(row) for row in back.rows if row.verdict == "faster"} == set(PLANTED)
    assert not back.worse


def test_a_certain_change_that_is_too_small_to_matter_says_so(base):
    b = simulated_run("b", 3, "slow-rank=0:1.02")
    found = judged([base], [b], ["total"], relevant=0.2)
    assert {row.verdict for row in found.rows} == {SLOWER}
    assert all("by less than the 20.0 % that is asked for" in row.why for row in found.rows)
    assert not any("by less than" in row.why for row in judged([base], [b], ["total"]).rows)


def test_equal_sides_differ_in_nothing_and_say_what_would_have_been_seen(base, same):
    found = judged([base], [same])
    assert {row.verdict for row in found.rows} == {NO_DIFFERENCE}
    assert all(row.difference.visible < 0.02 and "would have been seen" in row.why for row in found.rows)
    assert not found.worse
    assert [fact.name for fact in found.environment] == ["simulation.seed"]
    strict = judged([base], [same], relevant=0.001)
    assert {row.verdict for row in strict.rows} == {UNDECIDED}


def test_a_kernel_alone_is_its_total_and_stands_there_once(base, same):
    assert {row.metric for row in judged([base], [same]).rows} == {"total"}
    assert {row.metric for row in judged([base], [same], ["kernel"]).rows} == {"kernel"}


def test_directories_are_sessions_as_those_of_one_run_are(base, same):
    def apart(run, seed):
        parts = []
        for session in range(3):
            lines = [replace(line, session=0) for line in run.lines if line.session == session]
            made = json.loads(json.dumps(run.header))
            made["environment"]["simulation"]["seed"] = seed + session
            parts.append(Run(Path(f"{run.path}-{session}"), made, lines))
        return parts

    whole = judged([base], [same]).rows
    assert judged(apart(base, 10), apart(same, 20)).rows == whole


def test_one_session_a_side_decides_nothing(base, same):
    a, b = (replace_lines(run, [line for line in run.lines if line.session == 0]) for run in (base, same))
    found = judged([a], [b])
    assert {row.verdict for row in found.rows} == {UNDECIDED}
    assert all(WITHIN in row.notes and row.difference.visible is None for row in found.rows)
    assert not found.worse


def replace_lines(run, lines):
    return Run(run.path, run.header, lines)


def test_a_case_that_fails_newly_is_a_regression_and_others_are_listed():
    ok, bad = measurement(), measurement("crash", "rank 1 died")
    other = measurement(seq_len_q=48)
    found = judged([one("a", ok, other)], [one("b", bad, shifted(other, 1.0))])
    (failure,) = found.failed
    assert failure.newly
    assert found.worse
    assert (failure.a, failure.b) == (None, comparison.Ending("crash", "rank 1 died", 1, 1))
    back = judged([one("a", bad)], [one("b", ok)])
    assert [failure.newly for failure in back.failed] == [False]
    assert not back.worse
    left_out = judged([one("a", ok)], [one("b", measurement("does_not_fit", "needs 9 GiB"))])
    assert [failure.newly for failure in left_out.failed] == [False]


def test_a_failure_in_one_of_several_sessions_counts_and_the_others_are_compared():
    a, b = [measurement() for _ in range(3)], [shifted(measurement(), 1 + 0.001 * turn) for turn in range(3)]
    b[1] = measurement("timeout", "no answer in 5 s")
    for lines in (a, b):
        for turn, line in enumerate(lines):
            line.session = turn
    found = judged([one("a", *a)], [one("b", *b)], ["total"])
    assert found.failed[0].b == comparison.Ending("timeout", "no answer in 5 s", 1, 3)
    assert found.worse
    assert found.rows[0].difference.sessions == (3, 2)


def shifted(line, factor):
    """The measurement with all of its samples ``factor`` times as long, and so never a copy."""
    samples = {
        phase: {rank: [factor * value + 1e-12 for value in values] for rank, values in by_rank.items()}
        for phase, by_rank in line.samples.items()
    }
    return replace(line, samples=samples)


def test_cases_of_one_side_alone_are_listed():
    here, there, both = measurement(seq_len_q=48), measurement(seq_len_q=96), measurement()
    found = judged([one("a", both, here)], [one("b", shifted(both, 1.0), there)])
    assert (found.only_in_a, found.only_in_b) == ([here.id], [there.id])
    assert found.labels[here.id].startswith("48 ")


def test_numbers_without_samples_are_set_beside_each_other():
    a, b = measurement(), shifted(measurement(), 1.0)
    assert [row.verdict for row in judged([one("a", a)], [one("b", b)], ["peak_memory"]).rows] == ["equal"]
    b.metrics = b.metrics | {"peak_memory": {**b.metrics["peak_memory"], "value": 2.0**21}}
    (row,) = judged([one("a", a)], [one("b", b)], ["peak_memory"]).rows
    assert (row.verdict, row.a, row.b, row.difference) == ("more", 2**20, 2**21, None)
    assert not row.worse


def test_a_wait_of_nothing_has_no_ratio_and_is_no_error():
    a = measurement()
    b = shifted(a, 1.0)
    for line in (a, b):  # equal durations: no rank waits
        ranks = line.samples["exchange_in"]
        line.samples |= {name: {rank: [1e-3] * 3 for rank in ranks} for name in ("exchange_in", "exchange_out")}
    (row,) = judged([one("a", a)], [one("b", b)], ["wait"]).rows
    assert (row.verdict, row.difference) == (UNDECIDED, None)
    assert "no ratio" in row.why


def test_doubts_come_with_the_side_that_they_are_of():
    a = measurement("unsettled", "half width 3 %", timing={"method": "event", "flags": ["drifts"]})
    b = shifted(measurement(timing={"method": "graph", "flags": ["drifts"], "oversubscribed": True}), 1.0)
    (row,) = judged([one("a", a)], [one("b", b)], ["total"]).rows
    assert {"A and B: drifts", "A: unsettled: half width 3 %", "B: oversubscribed"} < set(row.notes)
    assert "timed by event in A and graph in B" in row.notes


def test_what_the_sides_ran_on_is_compared():
    a, b = measurement(), shifted(measurement(), 1.0)
    origin = {"path": "x", "file": "/x/y.py", "commit": "0123456789abcdef", "dirty": False, "version": "1.2"}
    b.timing["projects"] = {"theirs": origin}
    changes = {"device_name": "Other CPU", "versions": {"torch": "2.2"}, "variables": {"OMP_NUM_THREADS": "2"}}
    found = judged([one("a", a, versions={"torch": "2.1"}, variables={})], [one("b", b, **changes, emulated=[])])
    facts = {fact.name: (fact.a, fact.b) for fact in found.environment}
    assert facts["versions.torch"] == ("2.1", "2.2")
    assert facts["variables.OMP_NUM_THREADS"] == (None, "2")
    assert facts["project theirs"] == (None, "1.2 (commit 0123456789ab)")
    assert any("the device" in caution for caution in found.cautions)
    assert "the operator is emulated in A alone" in found.cautions


def test_an_unfinished_side_says_so():
    unfinished = one("b", shifted(measurement(), 1.0))
    unfinished.header["finished"] = None
    assert "b: is unfinished" in judged([one("a", measurement())], [unfinished]).cautions


def test_everything_can_be_written_as_json(base, same):
    found = judged([base], [same])
    data = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert data["rows"][0]["difference"]["verdict"] == NO_DIFFERENCE
    assert data["cases"] == {"judged": 8, "slower": 0, "faster": 0, "undecided": 0, "no difference": 8}
    assert data["simulated"]
    few = judged([one("a", short(1.0))], [one("b", short(1.1))], ["total"]).as_dict()
    assert few["rows"][0]["difference"]["high"] is None
    json.dumps(few, allow_nan=False)


def short(factor):
    """A measurement of one sample, whose interval has no bounds."""
    line = shifted(measurement(), factor)
    cut = {phase: {rank: values[:1] for rank, values in of.items()} for phase, of in line.samples.items()}
    return replace(line, samples=cut)


@pytest.mark.parametrize(
    ("sides", "said"),
    [
        (lambda base, same: ([base], [base]), "is given twice"),
        (lambda base, same: ([base], [one("real", measurement())]), "is simulated, and the other side measured"),
        (lambda base, same: ([one("a", measurement())], [one("copy", measurement())]), "of which it is a copy"),
        (lambda base, same: ([base, Run(Path("x"), base.header, same.lines)], [same]), "one seed twice"),
    ],
)
def test_what_is_no_comparison_is_refused(base, same, sides, said):
    with pytest.raises(InputError, match=said):
        judged(*sides(base, same))


def test_sessions_of_one_side_ran_on_one_box():
    runs = [one("x", measurement(), cores=2), one("y", shifted(measurement(), 1.0), cores=4)]
    with pytest.raises(InputError, match="y: found cores 4, x has 2"):
        Side("A", runs)
    assert Side("A", [one("x", measurement(), host="1"), one("y", measurement(), host="2")]).sessions == 2


def test_nothing_in_common_and_metrics_that_are_not_there():
    a, b = one("a", measurement()), one("b", measurement(seq_len_q=48))
    with pytest.raises(InputError, match=r"no case in common$"):
        judged([a], [b])
    c = one("c", shifted(measurement(), 1.0))
    with pytest.raises(InputError, match="that --filter keeps"):
        judged([a], [c], wanted=lambda case: False)
    with pytest.raises(InputError, match="did you mean kernel"):
        judged([a], [c], ["kernle"])
    with pytest.raises(InputError, match="--metric mfu: no case has it on both sides; allowed: kernel, all_to_all"):
        judged([a], [c], ["mfu"])
