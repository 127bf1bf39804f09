"""Environment variables of a sweep: their combinations, how a case carries them, and what is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiabench.cases.case import Case
from fiabench.cases.errors import InputError
from fiabench.cases.expand import expand
from fiabench.cases.filters import parse_filters
from fiabench.cases.variables import combinations

TEXT = """
geometry: {heads: 8, head_dim: 64}
axes: {seq_len_q: [64, 128]}
variables: {TASK_QUEUE_ENABLE: [1, "2"], HCCL_OP_EXPANSION_MODE: [AIV, HOST]}
"""
BASE = "ulysses.fia.BNSD.bf16.none.b1.q64.kv64.h8.8.d64.tp1.u1"


def test_every_combination_is_a_point_of_each_case(sweep):
    loaded = sweep(TEXT)
    cases = list(expand(loaded))
    assert len(cases) == loaded.points == 8
    assert cases[0].variables == (("HCCL_OP_EXPANSION_MODE", "AIV"), ("TASK_QUEUE_ENABLE", "1"))
    assert [case.id for case in cases[:4]] == [
        f"{BASE}.HCCL_OP_EXPANSION_MODE={mode}.TASK_QUEUE_ENABLE={queue}"
        for queue, mode in (("1", "AIV"), ("1", "HOST"), ("2", "AIV"), ("2", "HOST"))
    ]
    assert len({case.id for case in cases}) == 8


def test_an_exchange_alone_has_them_too(sweep):
    text = "measure: exchange\naxes: {ulysses: [2], exchange_bytes: [1 KiB]}\nvariables: {HCCL_MODE: [AIV]}\n"
    (case,) = expand(sweep(text))
    assert case.id == "exchange.bf16.u2.bytes1024.HCCL_MODE=AIV"


@given(st.dictionaries(st.sampled_from("ABCD"), st.lists(st.sampled_from("123"), min_size=1, unique=True)))
def test_combinations_are_all_different_and_sorted_by_name(swept):
    found = combinations(swept)
    assert len(found) == len(set(found))
    for variables in found:
        assert [name for name, _ in variables] == sorted(swept)
        assert all(value in swept[name] for name, value in variables)
    for name, values in swept.items():
        assert {dict(variables)[name] for variables in found} == set(values)


def test_a_case_comes_back_from_its_line(sweep):
    case = list(expand(sweep(TEXT)))[1]
    written = json.loads(json.dumps(case.as_dict()))
    assert written["variables"] == {"HCCL_OP_EXPANSION_MODE": "HOST", "TASK_QUEUE_ENABLE": "1"}
    assert Case.from_dict(written) == case
    turned = written | {"variables": dict(reversed(written["variables"].items()))}
    assert Case.from_dict(turned) == case
    del written["variables"]  # as older runs have it
    assert Case.from_dict(written) == case._replace(variables=())


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        (["TASK_QUEUE_ENABLE=1"], 4),
        (["TASK_QUEUE_ENABLE=1, 2"], 8),
        (["TASK_QUEUE_ENABLE=1", "HCCL_OP_EXPANSION_MODE=AIV", "seq_len_q=64"], 1),
    ],
)
def test_filters_name_the_variables(sweep, filters, count):
    loaded = sweep(TEXT)
    assert sum(map(parse_filters(filters, variables=loaded.variables), expand(loaded))) == count


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("TASK_QUEUE_ENABLE=3", "found '3'; allowed: 1, 2"),
        ("TASK_QUEUE_ENABL=1", "did you mean TASK_QUEUE_ENABLE?"),
        ("variables=1", "the unknown field 'variables'"),
    ],
)
def test_filters_that_are_refused(sweep, text, message):
    with pytest.raises(InputError) as caught:
        parse_filters([text], variables=sweep(TEXT).variables)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("variables", "found", "allowed"),
    [
        ("{A-B: [1]}", "'A-B'", "a name of letters, digits and underscores"),
        ("{1A: [1]}", "'1A'", "a name of letters, digits and underscores"),
        ("{WORLD_SIZE: [1]}", "'WORLD_SIZE'", "a variable that fiabench does not set itself"),
        ("{OMP_NUM_THREADS: [1]}", "'OMP_NUM_THREADS'", "OMP_NUM_THREADS"),
        ("{FIABENCH_DEVICE: [cpu]}", "'FIABENCH_DEVICE'", "FIABENCH_..."),
        ("{A: []}", "an empty list", "at least one entry"),
        ("{A: 1}", "1", "a list"),
        ("{A: [0.5]}", "0.5", "a whole number, or a word"),
        ("{A: [true]}", "true", "a whole number, or a word"),
        ("{A: ['a,b']}", "'a,b'", "a whole number, or a word"),
        ("{A: ['']}", "''", "a whole number, or a word"),
        ("{A: [1, '1']}", "A 1 again", "every value once"),
    ],
)
def test_what_is_refused_with_what(problems, variables, found, allowed):
    (problem,) = problems(f"geometry: {{heads: 8, head_dim: 64}}\naxes: {{seq_len_q: [64]}}\nvariables: {variables}\n")
    assert found in problem.found
    assert allowed in problem.allowed
    assert problem.line == 3


def test_what_is_wrong_elsewhere_is_said_too(problems):
    text = "geometry: {heads: 8, head_dim: 64}\naxes: {seq_len_q: [63], ulysses: [2]}\nvariables: {RANK: [1]}\n"
    assert {problem.key for problem in problems(text)} == {"axes.seq_len_q[0]", "variables.RANK"}


def test_a_profile_replaces_them_all(sweep):
    text = TEXT + "profiles: {short: {variables: {OTHER: [x]}}, none: {variables: {}}}\n"
    assert sweep(text, "short").variables == {"OTHER": ("x",)}
    assert sweep(text, "none").points == 2
