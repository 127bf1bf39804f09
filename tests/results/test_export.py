"""Exports parse back to what was measured."""

from __future__ import annotations

import csv
import io
import itertools
import json
import sys
from pathlib import Path

import pytest

from fiabench.cases.errors import InputError
from fiabench.results.export import FORMATS, to_csv, to_json, to_markdown, to_parquet
from fiabench.results.measurement import Measurement
from fiabench.results.metrics import METRICS
from fiabench.results.rundir import Run
from tests.results.samples import HEADER, measurement

MEASUREMENTS = [
    measurement(heads=16, tp=2),
    measurement("unsettled", "too wide, by far", seq_len_q=48, timing={"oversubscribed": True}),
    measurement("error", 'RuntimeError: "a", b|c\n[ERROR] é', seq_len_q=96),
]


@pytest.fixture
def run():
    return Run(Path("run"), HEADER, MEASUREMENTS)


def rows_of(run):
    return list(csv.DictReader(io.StringIO(to_csv(run))))


def test_csv_has_a_row_a_case_with_its_fields_and_every_metric_with_its_interval(run):
    rows = rows_of(run)
    for row, made in zip(rows, MEASUREMENTS, strict=True):
        assert (row["id"], row["status"], row["reason"]) == (made.id, made.status, made.reason)
        assert int(row["seq_len_q"]) == made.case["seq_len_q"]
        assert row["operator"] == "fiabench (emulated)"
        assert row["oversubscribed"] == str(made.timing["oversubscribed"])
        for name, metric in METRICS.items():
            entry = made.metrics.get(name, {})
            column = f"{name}_{metric.unit.replace('/', '_per_')}"
            for key, field in ((column, "value"), (f"{name}_low", "low"), (f"{name}_high", "high")):
                if field in entry:
                    assert float(row[key]) == entry[field]
                else:
                    assert not row.get(key)


def test_csv_has_the_fields_that_a_run_of_an_earlier_version_did_not_have():
    old, new = (
        measurement(),
        measurement(ring=2, cfg=2, batch=2, inputs="strided", kv_cache="paged_NZ_128", against="fia"),
    )
    for key in ("inputs", "kv_cache", "ring", "cfg", "against"):
        del old.case[key]
    first, second = rows_of(Run(Path("run"), HEADER, [old, new]))
    names = ("inputs", "kv_cache", "ring", "cfg", "against")
    assert [first[name] for name in names] == ["contiguous", "contiguous", "1", "1", "none"]
    assert [second[name] for name in names] == ["strided", "paged_NZ_128", "2", "2", "fia"]
    assert float(second["ring_exchange_s"]) == pytest.approx(1.1e-3)
    assert float(second["ratio_ratio"]) == 2.0


def test_csv_says_which_state_of_an_outside_project_ran(run):
    origin = {"path": "x", "file": "/x/y.py", "commit": "0123456789abcdef", "dirty": True, "version": "1.2"}
    made = measurement(timing={"projects": {"theirs": origin, "other": origin | {"commit": None, "dirty": None}}})
    (row,) = rows_of(Run(Path("run"), HEADER, [made]))
    assert row["projects"] == "theirs: 1.2 (commit 0123456789ab and changes); other: 1.2"
    assert "projects" not in rows_of(run)[0]


def test_csv_leaves_out_columns_that_nothing_fills(run):
    assert "mfu_ratio" not in rows_of(run)[0]
    assert "peak_memory_low" not in rows_of(run)[0]


def test_csv_of_nothing_is_empty_and_not_an_error():
    assert to_csv(Run(Path("run"), HEADER, [])).strip() == ""


def test_json_holds_the_header_and_every_sample(run):
    found = json.loads(to_json(run))
    assert found["run"] == HEADER
    assert [Measurement(**fields) for fields in found["measurements"]] == MEASUREMENTS


def test_markdown_has_a_table_with_every_cell_and_the_reasons(run):
    text = to_markdown(run, "planted on a CPU: not NPU figures")
    lines = text.splitlines()
    assert lines[0] == "**planted on a CPU: not NPU figures**"
    tables = [line for line in lines if line.startswith("|")]
    for heading, rule in itertools.pairwise(tables):
        if set(rule) <= set("|-: "):
            assert heading.count("|") == rule.count("|")
    rows = {line.split("|")[1].strip(): line for line in tables}
    assert "7.70 ms" in rows["24"]
    assert "~*<br>" in rows["48"]
    assert "error" in rows["96"]
    assert "one of 2 groups" in text
    assert f'- error: RuntimeError: "a", b|c [ERROR] é [{MEASUREMENTS[2].id}]' in lines
    assert any(line.startswith("- ~ unsettled") for line in lines)
    assert any(line.startswith("- * oversubscribed") for line in lines)


def test_markdown_breaks_a_row_title_where_a_variant_stands_beside_the_length():
    grid = [
        measurement(measure="kernel", layout=layout, inputs=inputs)
        for layout in ("BNSD", "BSND", "BSH", "TND")
        for inputs in ("contiguous", "strided")
    ]
    tables = [line for line in to_markdown(Run(Path("run"), HEADER, grid), "planted").splitlines() if line[:1] == "|"]
    assert [line.split("|")[1].strip() for line in tables[2:]] == [
        f"24<br>{name} inputs" for name in ("contiguous", "strided")
    ]


def test_every_format_has_an_export():
    assert FORMATS == ("csv", "json", "md", "parquet")


def table_of(run):
    parquet = pytest.importorskip("pyarrow.parquet")
    return parquet.read_table(io.BytesIO(to_parquet(run)))


def test_parquet_has_a_row_a_sample_of_every_session(run):
    second = measurement(heads=16, tp=2)
    second.session = 1
    lines = [*MEASUREMENTS, second]
    table = table_of(Run(Path("run"), HEADER, lines))
    rebuilt: dict = {}
    for row in table.to_pylist():
        of_line = rebuilt.setdefault((row["id"], row["session"]), {})
        durations = of_line.setdefault(row["phase"], {}).setdefault(str(row["rank"]), [])
        assert row["iteration"] == len(durations)
        durations.append(row["seconds"])
    assert rebuilt == {(line.id, line.session): line.samples for line in lines if line.samples}


def test_parquet_says_what_every_sample_is_of(run):
    table = table_of(run)
    assert json.loads(table.schema.metadata[b"fiabench.run"]) == HEADER
    assert set(table["status"].to_pylist()) == {"ok", "unsettled"}
    assert set(table["operator"].to_pylist()) == {"fiabench (emulated)"}
    assert set(table["simulated"].to_pylist()) == {False}
    for row in table.to_pylist():
        (line,) = (made for made in MEASUREMENTS if made.id == row["id"])
        fields = {name: value for name, value in line.case.items() if name != "variables"}
        assert fields.items() <= row.items()


def test_parquet_holds_variables_as_words_and_old_runs_defaults():
    set_to = measurement(variables=(("A", "1"), ("B", "2")))
    old = measurement(seq_len_q=48)
    del old.case["variables"]
    table = table_of(Run(Path("run"), HEADER, [set_to, old]))
    assert set(table["variables"].to_pylist()) == {"A=1 B=2", None}


def test_parquet_of_nothing_is_a_table_all_the_same():
    assert table_of(Run(Path("run"), HEADER, [MEASUREMENTS[2]])).num_rows == 0


def test_parquet_without_pyarrow_says_what_to_install(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match="pip install pyarrow"):
        to_parquet(run)
