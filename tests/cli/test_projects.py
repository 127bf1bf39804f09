"""Outside projects through the command: sglang's real releases, claims, and what is said where a project is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import lines_of
from tests.wheels import release

pytestmark = pytest.mark.slow

SEED = {
    "geometry": {"heads": 40, "head_dim": 128},
    "axes": {"op": ["sglang", "fia"]},
    "constants": {"seq_len_q": 48, "tp": 2, "ulysses": 4, "layout": "BSND"},
    "projects": {"sglang": {"adapter": "sglang_ascend_fa"}},
}
"""The case of pull request 23572 with fewer tokens."""
TRUE_CLAIM = {"claim": "It ends.", "metric": "first_call", "at_most": 1e6}
FALSE_CLAIM = {"claim": "It takes hours.", "metric": "total", "at_least": 7200.0}
MINE = """
import torch

def attend(query, key, value, causal=False):
    return torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=causal)
"""


def run(start: Any, sweep: Path, out: Path, *more: object) -> tuple[int, str, str]:
    arguments = ("run", sweep, "--device", "cpu", "--out", out, "--no-figures", *more)
    return start(*arguments).wait()  # type: ignore[no-any-return]


def test_the_crash_of_sglang_0_5_10_is_reported_in_the_operators_words(
    write_sweep: Any, start: Any, tmp_path: Path
) -> None:
    code, out, err = run(start, write_sweep(**SEED), tmp_path / "out", "--project", release("sglang", "0.5.10"))
    assert code == 3, err
    wanted = "[CheckQShape] query layout is BNSD, shape [1, 5, 48, 128] should be equal to [1, 20, 48, 128]."
    crashed, measured = lines_of(tmp_path / "out")
    assert crashed["status"] == "error"
    assert wanted in crashed["reason"]
    assert f"error: {wanted}" in out.replace("\n", "")
    assert crashed["timing"]["projects"]["sglang"]["version"] == "0.5.10"
    assert measured["status"] in ("ok", "unsettled")


@pytest.mark.long
def test_sglang_0_5_11_is_measured_and_checked(write_sweep: Any, start: Any, tmp_path: Path) -> None:
    sweep = write_sweep(**SEED, claims=[TRUE_CLAIM])
    code, out, err = run(start, sweep, tmp_path / "out", "--project", f"sglang={release('sglang', '0.5.11')}")
    assert code == 0, err
    for line in lines_of(tmp_path / "out"):
        assert line["check"]["passed"] is True
        assert line["check"]["rows"] == 48  # every token, on 4 ranks
    assert "sglang: 0.5.11" in out
    assert "claim holds: It ends." in out


@pytest.mark.long
def test_exchanges_of_outside_projects_are_measured_by_phase(write_sweep: Any, start: Any, tmp_path: Path) -> None:
    projects = {
        "sglang": {"adapter": "sglang_usp", "path": str(release("sglang", "0.5.11"))},
        "yunchang": {"adapter": "yunchang", "path": str(release("yunchang", "0.6.4"))},
    }
    sweep = write_sweep(axes={"exchange": ["sglang", "yunchang"]}, constants={"seq_len_q": 64, "ulysses": 2},
                        projects=projects)  # fmt: skip
    code, _, err = run(start, sweep, tmp_path / "out")
    assert code == 0, err
    lines = lines_of(tmp_path / "out")
    assert [line["case"]["exchange"] for line in lines] == ["sglang", "yunchang"]
    for line in lines:
        assert line["check"]["exchange"] == "exact"
        phases = {"pack_in", "exchange_in", "unpack_in", "kernel", "pack_out", "exchange_out", "unpack_out"}
        assert phases <= set(line["samples"])
        assert line["metrics"]["transfer"]["value"] > 0


def test_a_callable_in_turns_with_an_operator(write_sweep: Any, start: Any, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    project = {"mine": {"adapter": "any_callable", "path": ".", "target": "mine:attend"}}
    constants = {"op": "mine", "against": "sdpa", "ulysses": 1, "mask": "causal"}
    sweep = write_sweep(axes={"seq_len_q": [64, 128]}, constants=constants, projects=project, claims=[FALSE_CLAIM])
    code, out, err = run(start, sweep, tmp_path / "out")
    assert code == 1, err
    for line in lines_of(tmp_path / "out"):
        pairs = (line["samples"]["end_to_end"]["0"], line["samples"]["baseline_end_to_end"]["0"])
        assert len(pairs[0]) == len(pairs[1]) == line["metrics"]["ratio"]["count"]
        assert 0.1 < line["metrics"]["ratio"]["value"] < 10
        assert line["timing"]["projects"]["mine"]["file"] == str(tmp_path / "mine.py")
        assert "peak_memory" not in line["metrics"], "it would be that of two operators"
    assert "claim broken: It takes hours." in out


def test_a_wrong_operator_in_turns_makes_the_case_wrong(write_sweep: Any, start: Any, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE.replace("is_causal=causal", "is_causal=not causal"))
    project = {"mine": {"adapter": "any_callable", "path": ".", "target": "mine:attend"}}
    constants = {"op": "sdpa", "against": "mine", "ulysses": 1}
    sweep = write_sweep(axes={"seq_len_q": [64]}, constants=constants, projects=project)
    code, _, err = run(start, sweep, tmp_path / "out")
    assert code == 3, err
    (line,) = lines_of(tmp_path / "out")
    assert line["status"] == "wrong"
    assert line["reason"].startswith("mine: head ")
    assert line["samples"] == {}


@pytest.mark.long
def test_without_a_path_the_projects_cases_are_left_out(write_sweep: Any, start: Any, tmp_path: Path) -> None:
    code, out, err = run(start, write_sweep(**SEED), tmp_path / "out", "--filter", "op=sglang")
    assert code == 0, err
    (line,) = lines_of(tmp_path / "out")
    assert line["status"] == "unsupported"
    assert "give --project sglang=PATH" in line["reason"]
    assert "give --project sglang=PATH" in out.replace("\n", " ")


@pytest.mark.long
def test_a_project_that_cannot_be_loaded_is_an_error_of_its_case(write_sweep: Any, start: Any, tmp_path: Path) -> None:
    code, _, err = run(start, write_sweep(**SEED), tmp_path / "out", "--project", tmp_path)
    assert code == 3, err
    failed, measured = lines_of(tmp_path / "out")
    assert failed["status"] == "error"
    assert "ProjectError" in failed["reason"]
    assert measured["status"] in ("ok", "unsettled")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("/nowhere", "found no folder /nowhere"),
        ("sglnag=/tmp", "found 'sglnag'; allowed: sglang (did you mean sglang?)"),
    ],
)
def test_a_wrong_project_is_refused_before_anything_runs(
    write_sweep: Any, start: Any, tmp_path: Path, given: str, said: str
) -> None:
    code, _, err = run(start, write_sweep(**SEED), tmp_path / "out", "--project", given)
    assert code == 2
    assert said in err
    assert not (tmp_path / "out").exists()


def test_a_claim_of_an_unknown_metric_is_refused_before_anything_runs(
    write_sweep: Any, start: Any, tmp_path: Path
) -> None:
    code, _, err = run(start, write_sweep(claims=[{**TRUE_CLAIM, "metric": "ratoi"}]), tmp_path / "out")
    assert code == 2
    assert "claims[0].metric: found 'ratoi' (a string); allowed: kernel, " in err
    assert "did you mean ratio?" in err
    assert not (tmp_path / "out").exists()


def test_a_sweep_without_projects_takes_none(write_sweep: Any, start: Any, tmp_path: Path) -> None:
    code, _, err = run(start, write_sweep(), tmp_path / "out", "--project", tmp_path)
    assert code == 2
    assert "small has none" in err
