"""The closing tables: sequence length down, head shard across, and no number without its marks."""

from __future__ import annotations

import pytest

from fiabench.results import pivot
from tests.results.samples import measurement
from tests.ulysses.points import exchange_alone


def cell_of(section, row, column_index=0):
    (found,) = section.cells[(row, section.columns[column_index])]
    return pivot.cell(found)


def test_tokens_go_down_and_shards_across_in_rising_order():
    grid = [
        measurement(seq_len_q=tokens, heads=16, tp=tp, ulysses=ulysses)
        for tokens in (96, 24, 48)
        for tp, ulysses in ((2, 2), (1, 4), (1, 1), (2, 1))
    ]
    (section,) = pivot.sections(grid)
    assert section.rows == [24, 48, 96]
    assert [pivot.column_title(column)[0] for column in section.columns] == [
        "tp1 x u1",
        "tp1 x u4",
        "tp2 x u1",
        "tp2 x u2",
    ]
    assert len(section.cells) == 12
    for (row, column), (found,) in section.cells.items():
        assert (found.case["seq_len_q"], found.case["tp"], found.case["ulysses"]) == (row, *column[:2])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"op": "fia", "dtype": "fp16"}, "fia · BNSD · fp16"),
        ({"layout": "BSND"}, "BSND"),
        ({"mask": "causal"}, "causal"),
        ({"dtype": "bf16"}, "bf16"),
        ({"batch": 2}, "batch 2"),
        ({"kv_heads": 2}, "8/2 heads x 16"),
        ({"head_dim": 32}, "8 heads x 32"),
        ({"seq_len_kv": 48}, "48 kv tokens"),
        ({"measure": "kernel"}, "kernel alone"),
        ({"replicas": "all"}, "all groups at once"),
    ],
)
def test_what_differs_otherwise_is_another_table_with_its_own_title(changes, words):
    sections = pivot.sections([measurement(), measurement(**changes), measurement(seq_len_q=48)])
    assert len(sections) == 2
    assert words in sections[1].title
    assert words not in sections[0].title
    assert len({section.title for section in sections}) == 2
    assert sections[0].rows == [24, 48], "keys that follow the queries make no other table"


def test_exchange_variants_are_columns_side_by_side():
    (section,) = pivot.sections([measurement(exchange="packed"), measurement(exchange="separate")])
    assert [pivot.column_title(column)[-1] for column in section.columns] == ["separate", "packed"]


def test_a_column_says_which_part_of_the_deployment_ran():
    shards = [measurement(heads=16, tp=2), measurement(heads=16, tp=2, measure="kernel"), measurement(heads=16)]
    titles = [pivot.column_title(column) for section in pivot.sections(shards) for column in section.columns]
    assert titles == [
        ["tp1 x u2", "8 heads", "separate"],
        ["tp2 x u2", "4 heads", "separate", "one of 2 groups"],
        ["tp2 x u2", "4 heads", "1 of 4 ranks"],
    ]
    (section,) = pivot.sections([measurement(heads=16, kv_heads=8, tp=2, replicas="all")])
    assert pivot.column_title(section.columns[0]) == ["tp2 x u2", "4/2 heads", "separate"]


def test_exchanges_alone_go_by_bytes():
    made = [measurement("timeout", "late", ulysses=2) for _ in range(2)]
    for found, size in zip(made, (1 << 20, 1 << 10)):
        found.case = exchange_alone(exchange_bytes=size).as_dict()
    (section,) = pivot.sections(made)
    assert section.title == "all-to-all alone · fp32"
    assert [pivot.row_title(section, row) for row in section.rows] == ["1.00 KiB", "1.00 MiB"]
    assert pivot.column_title(section.columns[0]) == ["tp1 x u2"]


def test_a_cell_has_latency_kernel_exchange_and_residual():
    (section,) = pivot.sections([measurement()])
    total, kernel, throughput, *exchange = cell_of(section, 24)
    assert total == "7.70 ms ±9.1 %"
    assert kernel == "kernel 1.10 ms"
    assert throughput.endswith("FLOP/s")
    assert exchange == ["a2a 6.60 ms = 86 %", "wait 0.00 µs", "residual +0.0 %"]


def test_a_number_that_is_the_hosts_is_marked_and_explained():
    made = measurement(timing={"host_bound": True})
    assert pivot.cell(made)[0] == "7.70 ms ±9.1 %!"
    assert any(line.startswith("! host-bound") for line in pivot.legend([made]))
    assert not any(line.startswith("!") for line in pivot.legend([measurement()]))


def test_a_kernel_alone_has_latency_and_throughput():
    (section,) = pivot.sections([measurement(measure="kernel")])
    latency, throughput = cell_of(section, 24)
    assert latency == "1.10 ms ±9.1 %"
    assert throughput.endswith("FLOP/s")


@pytest.mark.parametrize(
    ("status", "oversubscribed", "marks"),
    [("ok", False, ""), ("unsettled", False, "~"), ("ok", True, "*"), ("unsettled", True, "~*")],
)
def test_marks_stand_at_the_number_and_are_explained(status, oversubscribed, marks):
    made = measurement(status, timing={"oversubscribed": oversubscribed})
    assert pivot.cell(made)[0] == f"7.70 ms ±9.1 %{marks}"
    explained = "".join(line[0] for line in pivot.legend([made, measurement()]) if line[0] in "~*")
    assert explained == marks


@pytest.mark.parametrize(
    "status", ["wrong", "error", "unsupported", "does_not_fit", "out_of_memory", "timeout", "crash"]
)
def test_what_was_not_measured_shows_its_status_and_no_number(status):
    assert pivot.cell(measurement(status, "why")) == [status.replace("_", " ")]


def test_each_reason_is_listed_once_on_one_line_with_its_cases():
    out = [
        measurement("error", "RuntimeError: call aclnn failed\n  [ERROR] 161002", seq_len_q=tokens)
        for tokens in (24, 48, 96)
    ]
    left = measurement("unsupported", "dtype fp32", op="fia")
    assert pivot.reasons([*out, measurement(), left, measurement("unsettled", "too wide")]) == [
        f"error: RuntimeError: call aclnn failed [ERROR] 161002 [{out[0].id} and 2 more]",
        f"unsupported: dtype fp32 [{left.id}]",
    ]


def test_an_interval_of_few_samples_does_not_pass_for_one_of_95_percent():
    few = measurement()
    assert "few samples: the weakest of these intervals covers 75 %" in "".join(pivot.legend([few]))
    many = measurement()
    many.metrics["total"]["level"] = 0.97
    assert "few samples" not in "".join(pivot.legend([many]))


def test_nothing_measured_explains_nothing():
    assert pivot.sections([]) == pivot.legend([]) == pivot.reasons([]) == []
    assert pivot.legend([measurement("crash", "killed")]) == []
