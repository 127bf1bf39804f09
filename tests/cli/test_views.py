"""What a terminal shows of cases: tables that fit it, labels that tell cases apart, shapes of a rank."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from fiabench.cli.planning import shape_on_rank
from fiabench.cli.table import section_tables
from fiabench.results import pivot
from fiabench.results.naming import label, varying
from tests.results.samples import measurement
from tests.ulysses.points import exchange_alone, make_case


def printed(measurements, width):
    """The one section of the measurements, table by table, each as its lines."""
    (section,) = pivot.sections(measurements)
    texts = []
    for table in section_tables(section, width, plain=True):
        console = Console(file=io.StringIO(), width=width)
        console.print(table)
        texts.append(console.file.getvalue().splitlines())
    return texts


@pytest.mark.parametrize("width", [40, 60, 120, 300])
def test_a_table_too_wide_is_continued_below_and_no_cell_is_broken(width):
    grid = [measurement(seq_len_q=tokens, heads=16, ulysses=degree) for tokens in (24, 1048) for degree in (1, 2, 4, 8)]
    tables = printed(grid, width)
    assert len(tables) == {40: 4, 60: 2, 120: 1, 300: 1}[width]
    for lines in tables:
        assert all(len(line) <= width for line in lines)
        assert sum("tokens" in line for line in lines) == 1
        assert sum("1,048" in line for line in lines) == 1
    text = "\n".join(line for lines in tables for line in lines)
    assert text.count("ms ±28 %") == 8, "a latency and its interval stay on a line"


def test_one_column_wider_than_the_terminal_is_still_shown():
    ((*lines,),) = printed([measurement()], 20)
    assert any("24" in line for line in lines)


def test_rows_that_are_empty_in_a_part_are_left_away_there():
    grid = [measurement(heads=16, ulysses=degree) for degree in (1, 2, 4)]
    first, *_, last = printed([*grid, measurement(heads=16, ulysses=1, seq_len_q=48)], 40)
    assert any(line.startswith("|     48 |") for line in first)
    assert not any("48 |" in line for line in last)


def test_a_label_names_what_varies_in_the_sweep_and_nothing_else():
    cases = [
        make_case(mask=mask, layout="BSND", inputs=inputs)
        for mask in ("none", "causal_full")
        for inputs in ("contiguous", "strided")
    ]
    beside = varying(cases)
    assert [label(case, beside) for case in cases] == [
        "sdpa 24 tokens tp1xu2 separate no mask",
        "sdpa 24 tokens tp1xu2 separate strided inputs no mask",
        "sdpa 24 tokens tp1xu2 separate causal_full",
        "sdpa 24 tokens tp1xu2 separate strided inputs causal_full",
    ]
    assert label(cases[0], varying(cases[:1])) == "sdpa 24 tokens tp1xu2 separate"


def test_a_label_has_degrees_both_lengths_and_the_pair():
    cases = [
        make_case(ring=2, cfg=2, batch=2),
        make_case(ulysses=1, seq_len_q=1, seq_len_kv=4096, kv_cache="paged_NZ_128", against="fia"),
    ]
    assert [label(case, varying(cases)) for case in cases] == [
        "sdpa 24 tokens tp1xu2xring2xcfg2 separate batch 2",
        "sdpa 1 x 4,096 tokens tp1xu1 against fia batch 1 paged NZ 128",
    ]


def test_a_label_of_an_exchange_alone_has_its_bytes():
    cases = [exchange_alone(dtype=dtype) for dtype in ("fp32", "bf16")]
    assert label(cases[1], varying(cases)) == "all-to-all 768 B u2 bf16"


@pytest.mark.parametrize(
    ("changes", "shape"),
    [
        ({}, "[1, 4, 24, 16]"),
        ({"kv_heads": 2}, "[1, 4, 24, 16], keys [1, 1, 24, 16]"),
        ({"ulysses": 1, "seq_len_q": 1, "seq_len_kv": 4096, "batch": 8}, "[8, 8, 1, 16], keys [8, 8, 4096, 16]"),
        ({"ring": 2}, "[1, 4, 12, 16]"),
        ({"batch": 4, "cfg": 2}, "[2, 4, 24, 16]"),
        ({"seq_len_q": 25, "heads": 9}, "[1, 5, 26, 16]"),
        ({"seq_len_q": 25, "measure": "kernel"}, "[1, 4, 25, 16]"),
    ],
)
def test_the_shape_on_a_rank_is_the_kernels(changes, shape):
    assert shape_on_rank(make_case(**changes)) == shape
