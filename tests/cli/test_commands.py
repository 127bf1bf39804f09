"""The command as a user types it: what it prints, what it refuses, how it ends."""

from __future__ import annotations

import csv
import io
import json
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import ROOT, Command, lines_of

COMMANDS = ("list", "plan", "run", "show", "export", "plot")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory of three cases on one and two ranks, measured once for this module."""
    folder = tmp_path_factory.mktemp("finished")
    sweep = folder / "tiny.yaml"
    sweep.write_text(
        "name: tiny\nabout: Two lengths, one and two ranks.\ngeometry: {heads: 4, head_dim: 16}\n"
        "axes: {seq_len_q: [64, 128], ulysses: [1, 2], tp: [2]}\n"
        "sampling: {min_samples: 3, max_samples: 4, max_seconds: 1, warmup_max_seconds: 0.1}\n"
    )
    arguments = ["run", str(sweep), "--device", "cpu", "--out", str(folder / "out"), "--peak-tflops", "1"]
    code, out, err = Command(arguments, ROOT, None).wait()
    assert code == 0, err
    (folder / "printed.txt").write_text(out)
    return folder / "out"


def refused(start: Any, *arguments: object) -> str:
    """What a command says on standard error when it refuses; it must print nothing else and exit with 2."""
    code, out, err = start(*arguments).wait()
    assert (code, out) == (2, ""), (code, out, err)
    assert "Traceback" not in err
    return str(err)


@pytest.mark.slow
def test_the_table_says_what_ran_and_what_each_number_is(finished: Path) -> None:
    printed = (finished.parent / "printed.txt").read_text()
    assert "tiny on CPU" in printed
    assert "emulated operator, not NPU figures" in printed
    assert "one of 2 groups" in printed
    assert "residual: closure" in printed
    assert "MFU" in printed
    assert "\x1b" not in printed


@pytest.mark.slow
def test_a_run_directory_holds_the_header_the_cases_and_the_figures(finished: Path) -> None:
    header = json.loads((finished / "run.json").read_text())
    assert header["format"] == 1
    assert header["finished"]
    assert header["environment"]["emulated"]
    assert header["environment"]["peak"]["source"] == "given with --peak-tflops"
    lines = lines_of(finished)
    assert [line["case"]["seq_len_q"] for line in lines] == [64, 128, 64, 128]
    ulysses = lines[2]
    assert ulysses["case"]["device"] == "cpu"
    assert ulysses["case"]["heads_per_rank"] == 1
    assert ulysses["check"]["passed"] is True
    assert ulysses["check"]["exchange"] == "exact"
    assert ulysses["timing"]["described_world_size"] == 4
    assert ulysses["timing"]["world_size"] == 2
    assert ulysses["timing"]["group"]["seconds"]["ulysses 2"] > 0
    phases = {"pack_in", "exchange_in", "unpack_in", "kernel", "pack_out", "exchange_out", "unpack_out", "end_to_end"}
    assert set(ulysses["samples"]) == phases | {"aligned_exchange_in", "aligned_exchange_out"}
    assert ulysses["timing"]["transfer"] == "aligned"
    assert set(ulysses["metrics"]) >= {"kernel", "all_to_all", "wait", "total", "closure_residual", "mfu", "busbw"}
    assert sorted(path.suffix for path in (finished / "figures").glob("latency.*")) == [".png", ".svg"]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["csv", "json", "md"])
def test_export_gives_what_other_programs_read(form: str, finished: Path, start: Any) -> None:
    code, out, _ = start("export", finished, "--format", form).wait()
    assert code == 0
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(out)))
        assert [row["seq_len_q"] for row in rows] == ["64", "128", "64", "128"]
        assert float(rows[0]["total_s"]) > 0
    elif form == "json":
        assert len(json.loads(out)["measurements"]) == 4
    else:
        assert out.count("| 128 |") == 1


@pytest.mark.slow
def test_show_prints_the_same_table_again(finished: Path, start: Any) -> None:
    code, out, _ = start("show", finished).wait()
    assert code == 0
    assert (finished.parent / "printed.txt").read_text() == out
    code, out, _ = start("show", finished, "--json").wait()
    assert [row["status"] in ("ok", "unsettled") for row in json.loads(out)] == [True] * 4


@pytest.mark.slow
def test_json_streams_each_measurement_as_it_ends(write_sweep: Any, start: Any, tmp_path: Path) -> None:
    sweep = write_sweep(axes={"seq_len_q": [64, 128]}, measure="kernel")
    arguments = ("run", sweep, "--device", "cpu", "--out", tmp_path / "out", "--no-figures", "--json")
    code, out, _ = start(*arguments).wait()
    assert code == 0
    assert [json.loads(line) for line in out.splitlines()] == lines_of(tmp_path / "out")


@pytest.mark.long
def test_each_setting_of_the_variables_has_ranks_of_its_own(write_sweep: Any, start: Any, tmp_path: Path) -> None:
    """OMP_SCHEDULE is a variable that changes nothing here; the ranks' process ids tell the groups apart."""
    sweep = write_sweep(measure="kernel", axes={"seq_len_q": [64, 128]}, variables={"OMP_SCHEDULE": ["static", "auto"]})
    arguments = ("run", sweep, "--device", "cpu", "--out", tmp_path / "out", "--no-figures")
    code, out, err = start(*arguments).wait()
    assert code == 0, err
    lines = lines_of(tmp_path / "out")
    assert [line["case"]["variables"] for line in lines] == [
        {"OMP_SCHEDULE": word} for word in ("auto",) * 2 + ("static",) * 2
    ]
    pids = [line["timing"]["group"]["pids"] for line in lines]
    assert pids[0] == pids[1] != pids[2] == pids[3]
    assert "OMP_SCHEDULE=auto" in out
    assert "OMP_SCHEDULE=static" in err


@pytest.mark.long
def test_a_cross_check_says_which_kernels_ran(write_sweep: Any, start: Any, tmp_path: Path) -> None:
    sweep = write_sweep(axes={"seq_len_q": [256], "ulysses": [1, 2]})
    out = tmp_path / "out"
    code, printed, err = start(
        "run", sweep, "--device", "cpu", "--out", out, "--no-figures", "--cross-check", "profiler"
    ).wait()
    assert code == 0, err
    alone, shared = (line["timing"]["cross_check"] for line in lines_of(out))
    assert alone["0"]["collectives"] == []
    assert [found["collectives"] for found in shared.values()] == 2 * [["gloo:all_to_all"]]
    assert any("attention" in kernel["name"] for kernel in alone["0"]["kernels"])
    assert all("peak_memory" not in line["metrics"] for line in lines_of(out)), "the profiler's memory would be in it"
    assert "gloo:all_to_all" in printed


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, start: Any) -> None:
    code, out, _ = start(command, "--help").wait()
    assert code == 0
    assert "Usage" in out


def test_list_names_every_shipped_sweep(start: Any) -> None:
    code, out, _ = start("list").wait()
    assert code == 0
    assert {line.split()[0] for line in out.splitlines()[1:]} == {
        path.stem for path in (ROOT / "sweeps").glob("*.yaml")
    }


def test_a_plan_without_cases_is_refused_and_a_filter_holds_for_what_is_left_out(start: Any) -> None:
    code, _, err = start("plan", "quick", "--filter", "ulysses=3", "--device", "cpu").wait()
    assert code == 2
    assert "no case of quick is left by --filter ulysses=3" in err
    code, out, _ = start("plan", "wan2.2-t2v", "--filter", "tp=1", "--device", "cpu", "--json").wait()
    assert code == 0
    points = [json.loads(line) for line in out.splitlines()]
    assert {(point.get("point") or point["case"])["tp"] for point in points} == {1}


def test_plan_says_what_does_not_fit_and_what_is_left_out(start: Any) -> None:
    code, out, _ = start("plan", "long-context", "--device", "cpu").wait()
    assert code == 0
    assert "do not fit in memory here" in out
    assert "1,048,576 tokens" in out
    code, out, _ = start("plan", "wan2.2-t2v", "--device", "cpu").wait()
    assert "ulysses 8 does not divide the 20 heads that tp 2 leaves of 40" in out


def test_plan_json_streams_every_point(start: Any) -> None:
    code, out, _ = start("plan", "wan2.2-t2v", "--device", "cpu", "--json", "--filter", "ulysses=4,8").wait()
    assert code == 0
    lines = [json.loads(line) for line in out.splitlines()]
    cases = [line for line in lines if "id" in line]
    assert {line["case"]["ulysses"] for line in cases} == {4, 8}
    assert len([line for line in lines if "left_out" in line]) == 4
    seed = next(line for line in cases if line["case"]["tp"] == 2 and line["case"]["seq_len_q"] == 25200)
    assert seed["case"]["heads_per_rank"] == 5
    assert seed["exchanged_bytes"] == 2 * 25200 * 5 * 128 * 4


def test_a_reader_that_has_seen_enough_gets_no_traceback(write_sweep: Any) -> None:
    """As `plan --json | head -1`: click ends the command, with 1."""
    sweep = write_sweep(axes={"seq_len_q": [{"from": 64, "to": 640000, "step": 64}]})
    command = [sys.executable, str(ROOT / "tools" / "sweep.py"), "plan", str(sweep), "--device", "cpu", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["case"]["seq_len_q"] == 64
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


@pytest.mark.long
def test_the_seeds_shards_are_measured_at_a_length_for_a_cpu(start: Any, tmp_path: Path) -> None:
    """sglang's pull request 23572: 40 heads, tensor parallel 2 and Ulysses 4 leave 5 on each of 4 ranks."""
    only = ("--filter", "op=fia", "--device", "cpu", "--no-figures")
    arguments = ("run", "pr-23572", "--profile", "quick", *only, "--out", tmp_path / "out")
    code, out, err = start(*arguments).wait()
    assert code == 0, err
    (line,) = lines_of(tmp_path / "out")
    shape = [line["case"][name] for name in ("batch", "heads_per_rank", "seq_len_q", "head_dim")]
    assert shape == [1, 5, 1008, 128]
    assert line["case"]["heads"] == 40
    assert sorted(line["samples"]["kernel"]) == ["0", "1", "2", "3"]
    assert line["check"]["passed"] is True
    assert "one of 2 groups" in out


def test_bad_sweeps_are_refused_before_anything_is_made(write_sweep: Any, start: Any, tmp_path: Path) -> None:
    sweep = write_sweep(axes={"seq_len_q": [64], "ulysses": [3]}, sampling={"min_sample": 3})
    err = refused(start, "run", sweep, "--out", tmp_path / "out")
    assert f"{sweep}:" in err
    assert "did you mean min_samples?" in err
    assert "ulysses 3 does not divide" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("plan", "quik"), "did you mean quick?"),
        (("plan", "quick", "--profile", "slow"), "slow"),
        (("plan", "quick", "--filter", "ulises=2"), "did you mean ulysses?"),
        (("plan", "quick", "--filter", "ulysses=two"), "whole numbers"),
        (("run", "quick", "--device", "tpu"), "'tpu' is not one of"),
        (("run", "quick", "--device", "npu"), "torch_npu is not installed"),
        (("run",), "allowed: a path or a name"),
        (("run", "quick", "--filter", "seq_len_q=7"), "no case of quick is left"),
        (("show", "/nowhere"), "is no run directory"),
        (("export", "/nowhere", "--format", "xml"), "'xml' is not one of"),
        (("run", "quick", "--resume", "/nowhere"), "give the directory alone, or a --budget"),
        (("run", "--resume", "/nowhere"), "is no run directory"),
        (("run", "quick", "--peak-tflops", "-1"), "-1"),
        (("run", "quick", "--device", "sim:910b3", "--cross-check", "profiler"), "on which no kernel runs"),
        (("run", "quick", "--cross-check", "guess"), "'guess' is not one of"),
        (("run", "quick", "--budget", "30"), "found '30'; allowed: a time above 0 with s, m or h: 90s, 30m, 1.5h"),
        (("run", "quick", "--budget", "0m"), "allowed: a time above 0"),
        (("run", "quick", "--budget", "-5m"), "allowed: a time above 0"),
        (("run", "quick", "--budget", "1d"), "allowed: a time above 0"),
    ],
)
def test_bad_arguments_are_refused_in_one_sentence(arguments: tuple[str, ...], said: str, start: Any) -> None:
    assert said in refused(start, *arguments)


@pytest.mark.slow
def test_more_ranks_than_the_device_allows(write_sweep: Any, start: Any, tmp_path: Path) -> None:
    sweep = write_sweep(geometry={"heads": 256, "head_dim": 16}, axes={"seq_len_q": [4096], "ulysses": [2, 128]})
    err = refused(start, "run", sweep, "--device", "cpu", "--out", tmp_path / "out")
    assert "128 ranks" in err
    assert "--filter ulysses=2" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_directory_that_cannot_be_used_is_refused(
    finished: Path, write_sweep: Any, start: Any, tmp_path: Path
) -> None:
    sweep = write_sweep(measure="kernel")
    assert "--resume" in refused(start, "run", sweep, "--device", "cpu", "--out", finished)
    (tmp_path / "file").write_text("")
    assert "name another --out" in refused(start, "run", sweep, "--device", "cpu", "--out", tmp_path / "file")
    assert "cannot be written" in refused(start, "run", sweep, "--device", "cpu", "--out", tmp_path / "file" / "below")


@pytest.mark.slow
def test_a_disk_that_fills_ends_the_run_and_keeps_what_is_done(write_sweep: Any, start: Any, tmp_path: Path) -> None:
    """The size of files is limited for real: the second line no longer fits."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))

    sweep = write_sweep(measure="kernel", axes={"seq_len_q": list(range(64, 1024, 64))})
    arguments = ("run", sweep, "--device", "cpu", "--out", tmp_path / "out", "--no-figures")
    code, _, err = start(*arguments, preexec=limit).wait()
    assert code == 2
    assert "cannot be written" in err
    assert "Traceback" not in err
    text = (tmp_path / "out" / "cases.jsonl").read_text()
    assert text.endswith("\n")
    assert len(text) < 6000
    assert lines_of(tmp_path / "out")


def test_no_torch_in_the_coordinator() -> None:
    """What the import contracts promise, seen in a real process."""
    code = "import sys; sys.path.insert(0, 'src'); import fiabench.cli.sweep; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
