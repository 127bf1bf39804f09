"""`compare` and `export` as commands: exit codes, tables in a pipe and on a narrow terminal, refusals."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fiabench.cli.comparing import print_comparison
from fiabench.cli.sweep import main
from fiabench.results.comparison import compare_sides
from fiabench.results.rundir import Run, RunDirectory, read_run
from fiabench.results.sides import read_sides
from tests.results.compared import CASES, header, simulated_run
from tests.results.samples import measurement

FEW = CASES[:2]
SLOW = "slow-rank=0:1.05@seq_len_q=2048"


def said(capsys: Any, *arguments: object) -> tuple[int, str, str]:
    """What the command says in this process: exit code, standard output, standard error."""
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def write(run: Run, path: Path) -> Path:
    directory = RunDirectory.create(path, {key: value for key, value in run.header.items() if key != "format"})
    for line in run.lines:
        directory.append(line)
    directory.close()
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three sessions each: two alike, and one with a slower case."""
    folder = tmp_path_factory.mktemp("runs")
    made = {"a": (1,), "same": (2,), "slow": (3, SLOW)}
    return {
        name: write(simulated_run(name, seed, *plants, cases=FEW), folder / name)
        for name, (seed, *plants) in made.items()
    }


def real(path: Path, *lines: Any) -> Path:
    return write(Run(path, header(), list(lines)), path)


def test_a_slower_case_is_told_and_ends_with_1(runs, capsys):
    code, out, _ = said(capsys, "compare", runs["a"], runs["slow"])
    assert code == 1
    rows = [line for line in out.splitlines() if line.startswith("| ")]
    assert "2,048" in rows[1]
    assert "slower" in rows[1]
    assert "1,024" in rows[2]
    assert "slower" not in rows[2]
    assert out.splitlines()[-1].startswith("1 of 2 cases slower, 0 faster")
    assert "simulation.plants" in out
    assert "simulated, not measured anywhere" in out


def test_what_the_command_measures_it_compares(tmp_path, capsys):
    """From `run` to `compare`; without noise the planted factor is the difference."""
    usual = ("run", "quick", "--device", "sim:910b3", "--filter", "ulysses=1", "--no-figures", "--out")
    assert main([*usual, str(tmp_path / "a")]) == 0
    assert main([*usual, str(tmp_path / "b"), "--plant", "slow-rank=0:1.1@op=sdpa"]) == 0
    capsys.readouterr()
    _, out, _ = said(capsys, "compare", tmp_path / "a", tmp_path / "b")
    apart = "4 undecided (1 of them apart by more than they vary within their sessions)"
    assert apart in out.splitlines()[-1]
    code, out, _ = said(capsys, "compare", tmp_path / "a", tmp_path / "b", "--json")
    rows = {row["label"]: row["difference"]["ratio"] for row in json.loads(out)["rows"]}
    assert code == 0  # one session a side is no evidence
    slower = rows.pop("4,096 tp1 x u1 sdpa")
    assert slower == pytest.approx(1.1, rel=0.02)
    assert list(rows.values()) == pytest.approx([1.0] * 3)


def test_alike_runs_end_with_0_either_way(runs, capsys):
    for pair in (("a", "same"), ("slow", "a")):
        code, out, _ = said(capsys, "compare", *(runs[name] for name in pair))
        assert code == 0
        assert "0 of 2 cases slower" in out


def test_json_says_the_same_with_the_same_code(runs, capsys):
    code, out, _ = said(capsys, "compare", runs["a"], runs["slow"], "--json", "--metric", "total")
    found = json.loads(out)
    assert code == 1
    assert found["worse"]
    assert (found["rows"][0]["metric"], found["rows"][0]["verdict"]) == ("total", "slower")
    assert found["rows"][0]["difference"]["sessions"] == [3, 3]
    assert found["a"] == [str(runs["a"])]


def test_more_directories_are_more_sessions(runs, capsys):
    code, out, _ = said(capsys, "compare", runs["a"], runs["slow"], "--with-a", runs["same"], "--json")
    assert code == 1
    assert json.loads(out)["rows"][0]["difference"]["sessions"] == [6, 3]


def test_a_filter_keeps_cases(runs, capsys):
    code, out, _ = said(capsys, "compare", runs["a"], runs["slow"], "--filter", "seq_len_q=1024")
    assert code == 0
    assert "0 of 1 case slower" in out


def test_what_fails_in_b_alone_ends_with_1(tmp_path, capsys):
    a, b = measurement(), measurement("out_of_memory", "3 GiB were asked for")
    code, out, _ = said(capsys, "compare", real(tmp_path / "a", a), real(tmp_path / "b", b))
    assert code == 1
    assert "fails in B alone: 24 tp1 x u2: A: measured | B: out of memory (3 GiB were asked for)" in out
    assert "0 of 0 cases slower" in out
    assert "1 case fails in B alone" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a", "a"), "is given twice"),
        (("a", "nowhere"), "is no run directory"),
        (("a", "same", "--metric", "totl"), "did you mean total?"),
        (("a", "same", "--relevant", "0"), "0"),
        (("a", "same", "--filter", "ulysses=4"), "no case in common that --filter keeps"),
        (("a", "same", "--filter", "length=4"), "unknown field 'length'"),
    ],
)
def test_bad_input_ends_with_2(runs, tmp_path, capsys, arguments, message):
    paths = {"nowhere": tmp_path / "nowhere", **runs}
    code, out, err = said(capsys, "compare", *(paths.get(word, word) for word in arguments))
    assert (code, out) == (2, "")
    assert message in err


def test_simulated_is_no_evidence_against_measured(runs, tmp_path, capsys):
    code, _, err = said(capsys, "compare", runs["a"], real(tmp_path / "real", measurement()))
    assert code == 2
    assert "is simulated, and the other side measured" in err


def test_another_format_ends_with_2(runs, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    (other / "run.json").write_text('{"format": 99}')
    code, _, err = said(capsys, "compare", runs["a"], other)
    assert code == 2
    assert "found format 99" in err


@pytest.mark.parametrize("width", [60, 80, 150])
def test_no_terminal_is_too_narrow(runs, width):
    found = compare_sides(
        *read_sides([read_run(runs["a"])], [read_run(runs["slow"])]), ["total"], 0.02, lambda case: True
    )
    screen = io.StringIO()
    print_comparison(Console(file=screen, width=width, force_terminal=True, color_system=None), found)
    text = screen.getvalue()
    row = found.rows[0]
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    words = " ".join(text.replace("│", " ").split())
    for part in (row.label, "slower", "no difference", "noise alone"):
        assert part in words


def test_doubts_that_differ_in_a_number_alone_are_one_line(tmp_path, capsys):
    a = [measurement(seq_len_q=length, timing={"flags": [f"drifts by {length}.5 %"]}) for length in (24, 48, 96)]
    b = [measurement(seq_len_q=length, heads=16) for length in (24, 48, 96)]
    for line, other in zip(a, b):
        other.id, other.case = line.id, line.case
        other.samples = {name: {rank: [2 * value for value in values] for rank, values in of.items()}
                         for name, of in line.samples.items()}  # fmt: skip
    _, out, _ = said(capsys, "compare", real(tmp_path / "a", *a), real(tmp_path / "b", *b))
    doubts = [line for line in out.splitlines() if "drifts" in line]
    assert len(doubts) == 1
    assert "(and the like) [" in doubts[0]


def test_samples_are_exported_into_a_file(runs, tmp_path, capsys):
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "samples.parquet"
    assert said(capsys, "export", runs["a"], "--format", "parquet", "--out", out)[0] == 0
    run = read_run(runs["a"])
    expected = sum(len(values) for line in run.lines for of in line.samples.values() for values in of.values())
    assert parquet.read_table(out).num_rows == expected


def test_an_export_goes_into_a_file_or_nowhere(runs, tmp_path, capsys):
    assert said(capsys, "export", runs["a"], "--out", tmp_path / "cases.csv") == (0, "", "")
    code, out, _ = said(capsys, "export", runs["a"])
    assert (code, out) == (0, (tmp_path / "cases.csv").read_text())
    code, _, err = said(capsys, "export", runs["a"], "--out", tmp_path / "nowhere" / "cases.csv")
    assert code == 2
    assert "cannot be written" in err


def test_parquet_is_not_for_a_terminal(runs, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    code, _, err = said(capsys, "export", runs["a"], "--format", "parquet")
    assert code == 2
    assert "give --out FILE" in err
