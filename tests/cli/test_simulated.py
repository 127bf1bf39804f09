"""A simulated device through the command: it runs as a real one, and nothing that comes out can be taken for one."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from fiabench.cli.sweep import main
from tests.cli.conftest import ROOT, Command, lines_of
from tests.simulation.simulated import ROUND

SIMULATED = "simulated, not measured anywhere"
GEOMETRY = {"model": "wan-14b"}


def write(folder: Path, **changes: Any) -> Path:
    sweep: dict[str, Any] = {
        "name": "planned",
        "about": "Cases for a simulated device.",
        "geometry": GEOMETRY,
        "axes": {"seq_len_q": [25600, 51200], "ulysses": [2, 4]},
        "sampling": {"deadline_seconds": 20},
    } | changes
    path = folder / "planned.yaml"
    path.write_text(yaml.safe_dump(sweep))
    return path


def said(capsys: Any, *arguments: object) -> tuple[int, str, str]:
    """What the command says in this process: exit code, standard output, standard error."""
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with figures, noise and a slow rank."""
    folder = tmp_path_factory.mktemp("simulated")
    sweep = write(folder, axes={"seq_len_q": [25600], "ulysses": [1, 2, 4, 8], "ring": [1, 2]})
    planted = ("--plant", "noise=gaussian:0.002", "--plant", "slow-rank=3:1.05", "--seed", "11")
    arguments = ["run", str(sweep), "--device", "sim:910b3", "--out", str(folder / "out"), *planted]
    code, out, err = Command(arguments, ROOT, None).wait()
    assert code == 0, err
    (folder / "out.txt").write_text(out)
    (folder / "err.txt").write_text(err)
    return folder / "out"


@pytest.mark.slow
def test_every_output_says_simulated(finished: Path, capsys: Any) -> None:
    table, progress = ((finished.parent / name).read_text() for name in ("out.txt", "err.txt"))
    headline = f"planned on simulated 910B3 (16 nodes of 8): {SIMULATED}"
    assert headline in table
    assert "with noise=gaussian:0.002, slow-rank=3:1.05 planted" in table
    assert "MFU" in table
    assert [line for line in progress.splitlines() if line.startswith("[") and "simulated" not in line] == []
    assert SIMULATED in said(capsys, "show", finished)[1]
    rows = list(csv.DictReader(io.StringIO(said(capsys, "export", finished, "--format", "csv")[1])))
    assert {row["simulated"] for row in rows} == {"True"}
    assert {row["device"] for row in rows} == {"sim:910b3"}
    assert f"**{headline}" in said(capsys, "export", finished, "--format", "md")[1]
    exported = json.loads(said(capsys, "export", finished, "--format", "json")[1])
    assert exported["run"]["environment"]["simulated"] is True
    assert all(one["timing"]["simulated"] and one["check"]["simulated"] for one in exported["measurements"])
    assert all(row["timing"]["simulated"] for row in json.loads(said(capsys, "show", finished, "--json")[1]))
    figures = sorted((finished / "figures").glob("*.svg"))
    assert figures
    assert [figure.name for figure in figures if SIMULATED not in figure.read_text()] == []


@pytest.mark.slow
def test_the_header_says_what_was_simulated_and_how(finished: Path) -> None:
    header = json.loads((finished / "run.json").read_text())
    assert header["options"]["device"] == "sim:910b3"
    assert header["options"]["plants"] == ["noise=gaussian:0.002", "slow-rank=3:1.05"]
    assert header["options"]["seed"] == 11
    environment = header["environment"]
    assert environment["simulation"]["spec"]["node"]["source"]
    assert environment["peak"]["flops"]["bf16"] == 294.9e12
    assert environment["emulated"] == []


@pytest.mark.slow
def test_a_slow_rank_is_the_slowest_in_the_samples(finished: Path) -> None:
    four = next(line for line in lines_of(finished) if line["case"]["ulysses"] == 4 and line["case"]["ring"] == 1)
    medians = [sorted(samples)[len(samples) // 2] for samples in four["samples"]["kernel"].values()]
    assert medians[3] / medians[0] == pytest.approx(1.05, abs=0.01)


@pytest.mark.slow
def test_a_run_with_other_constants_is_not_gone_on_with(finished: Path, capsys: Any) -> None:
    path = finished / "run.json"
    before = path.read_text()
    header = json.loads(before)
    header["environment"]["simulation"]["spec"]["peak"]["tflops"]["bf16"] = 300.0
    path.write_text(json.dumps(header))
    code, _, err = said(capsys, "run", "--resume", finished)
    assert code == 2
    assert "was begun with simulation" in err
    header = json.loads(before)
    header["environment"] |= {"device": "cpu"}
    path.write_text(json.dumps(header))
    code, _, err = said(capsys, "run", "--resume", finished)
    assert code == 2
    assert "--plant" in err, "what was planted cannot go on with measuring"
    path.write_text(before)


@pytest.mark.slow
def test_planted_failures_cost_their_own_case_and_the_seed_the_rest(start: Any, tmp_path: Path) -> None:
    sweep = write(tmp_path, sampling={"deadline_seconds": 10})
    plants = (
        "hang=1@seq_len_q=25600@ulysses=2",
        "oom=1@seq_len_q=51200@ulysses=2",
        "wrong=3@seq_len_q=25600@ulysses=4",
    )
    planted = [word for plant in plants for word in ("--plant", plant)]
    out = tmp_path / "out"
    code, _, err = start("run", sweep, "--device", "sim:h100", "--out", out, "--no-figures", *planted).wait()
    assert code == 3, err
    lines = {(line["case"]["seq_len_q"], line["case"]["ulysses"]): line for line in lines_of(out)}
    assert {key: line["status"] for key, line in lines.items()} == {
        (25600, 2): "timeout",
        (51200, 2): "out_of_memory",
        (25600, 4): "wrong",
        (51200, 4): "ok",
    }
    assert "the ranks' process within 10 s" in lines[25600, 2]["reason"]
    assert lines[51200, 2]["reason"].startswith("rank 1: ")
    assert lines[25600, 4]["reason"].startswith("rank 3: ")
    assert all(line["timing"]["simulated"] for line in lines.values())
    assert not (out / "figures").exists()


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("--device", "sim:910b9"), "allowed: sim:910b3, sim:a3-die, sim:h100, sim:PATH.yaml"),
        (("--device", "sim:nowhere.yaml"), "cannot be read"),
        (("--device", "sim:h100", "--plant", "noise=loud:1"), "gaussian:SD"),
        (("--device", "sim:h100", "--plant", "hang=99"), "allowed: below 4"),
        (("--device", "cpu", "--plant", "hang=0"), "allowed: with sim:910b3"),
        (("--device", "cpu", "--seed", "3"), "allowed: with sim:910b3"),
    ],
)
def test_bad_input_is_refused_before_anything_is_made(
    arguments: tuple[str, ...], found: str, tmp_path: Path, capsys: Any
) -> None:
    code, out, err = said(capsys, "run", write(tmp_path), "--out", tmp_path / "out", *arguments)
    assert (code, out) == (2, "")
    assert found in err
    assert not (tmp_path / "out").exists()


def test_too_many_ranks_for_the_topology(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "one.yaml").write_text(yaml.safe_dump(ROUND | {"across": ROUND["across"] | {"nodes": 1}}))
    sweep = write(tmp_path, axes={"seq_len_q": [25600], "ulysses": [8]})
    device = f"sim:{tmp_path / 'one.yaml'}"
    code, _, err = said(capsys, "run", sweep, "--device", device, "--out", tmp_path / "out")
    assert code == 2
    assert "allows 4 here" in err


def test_plan_predicts_and_says_where_it_stops_and_what_does_not_fit(capsys: Any) -> None:
    code, out, _ = said(capsys, "plan", "plans", "--device", "sim:910b3", "--predict", "--show", "5")
    assert code == 0
    assert "predicted by a model, not measured anywhere" in out
    assert "Ulysses with tp1: stops paying at u10, which is slower than u8" in out
    assert "tp1 x u16 separate does not fit: heads: ulysses 16 does not divide 40 heads" in out
    assert "tp1 x u8 x ring4 separate does not fit: tokens: ulysses 8 x ring 4 does not divide 25,200 tokens" in out
    assert "tp2 x u20 x ring4 separate does not fit: ranks: needs 160, 910B3 has 128" in out
    code, _, err = said(capsys, "plan", "plans", "--device", "cpu", "--predict")
    assert code == 2
    assert "allowed: with sim:910b3" in err


def test_predictions_for_machines_are_sorted_and_say_simulated(capsys: Any, tmp_path: Path) -> None:
    sweep = write(tmp_path, axes={"seq_len_q": [25600, 4194304], "ulysses": [1, 2, 4]})
    code, out, _ = said(capsys, "plan", sweep, "--device", "sim:h100", "--predict", "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert all(line["simulated"] for line in lines)
    totals = [line["predicted"]["total"] for line in lines if "predicted" in line]
    assert len(totals) >= 3
    assert totals[:3] == sorted(totals[:3])
    assert all(line["does_not_fit"].startswith("memory: needs") for line in lines if "does_not_fit" in line)
    assert any("does_not_fit" in line for line in lines)


def test_plan_counts_on_a_simulated_device(capsys: Any) -> None:
    code, out, _ = said(capsys, "plan", "wan2.2-t2v", "--device", "sim:a3-die")
    assert code == 0
    assert "on 384 x simulated A3 die" in out
