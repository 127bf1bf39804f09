"""What stands in the views, for a history that is not as even as most."""

from __future__ import annotations

import csv
import json
import re
from array import array
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from fiabench.cases.case import Case
from fiabench.cases.expand import expand
from fiabench.cases.load import load_sweep
from fiabench.dashboard import build, latest
from fiabench.dashboard.model import Asked, Model, facts
from fiabench.dashboard.script import shortened
from fiabench.history.series import Series
from fiabench.results.words import Lengths
from tests.dashboard import learned
from tests.dashboard.conftest import Fresh, built, taken
from tests.dashboard.learned import ROOT, Learned
from tests.dashboard.test_build import unshortened


def table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / "html" / "csv" / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


def without(made: Learned, number: int, part: str) -> None:
    """As if the cases with ``part`` in their id had not been measured at a commit."""
    (path,) = made.store.runs.glob(f"*/{made.commits[number].hash}/*/cases.jsonl")
    lines = [line for line in path.read_text().splitlines() if part not in json.loads(line)["id"]]
    path.write_text("".join(f"{line}\n" for line in lines))


def test_the_environment_is_that_of_the_newest_commit_whatever_case_was_measured_there(
    tmp_path: Path, fresh: Fresh
) -> None:
    made = fresh(9)
    new = {"torch": "9.9.9", "numpy": "2.0"}
    learned.add(made, 9, versions=new)
    learned.add(made, 10, versions=new)
    for number in (9, 10):
        without(made, number, "causal")
    done = built(made, tmp_path)
    facts = {row["fact"]: row["box"] for row in table(tmp_path, "environments")}
    assert facts["torch"] == "9.9.9"
    page = done.index.read_text().partition('<section id="environments">')[2].partition("</section>")[0]
    assert '<th scope="row">torch</th><td>9.9.9</td>' in page
    assert page.count("torch 2.5.1 -&gt; 9.9.9") == 1


def test_a_case_that_the_newest_commit_lacks_is_not_measured_there(tmp_path: Path, fresh: Fresh) -> None:
    made = fresh(3)
    without(made, 2, "causal")
    done = built(made, tmp_path)
    assert done.verdict.counts["not measured"] == 3
    page = done.index.read_text().partition('<section id="heat">')[2].partition("</section>")[0]
    assert page.count(">not measured</a>") == 3
    lacking = [row for row in table(tmp_path, "latest") if "causal" in row["case"]]
    assert {(row["status"], row["total [s]"], row["commit"]) for row in lacking} == {
        ("not measured", "", made.commits[2].hash)
    }
    cases = taken(tmp_path / "html" / "data" / "index.js")["cases"]
    assert sorted(len(case["values"]) > 0 for case in cases) == 3 * [False] + 3 * [True]


def section(made: build.Built, name: str) -> str:
    return made.index.read_text().partition(f'<section id="{name}">')[2].partition("</section>")[0]


def changed(made: Learned, number: int, part: str, **fields: Any) -> None:
    """Of the cases with ``part`` in their id at a commit."""
    (path,) = made.store.runs.glob(f"*/{made.commits[number].hash}/*/cases.jsonl")
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    lines = [line | (fields if part in line["id"] else {}) for line in lines]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize("sweep", ["quick", "exchanges", "decode", "masks", "wan2.2-t2v", "all-to-all", "layouts"])
def test_no_cell_of_a_heat_map_has_two_values(sweep: str) -> None:
    cases = [case for case in expand(load_sweep(ROOT / "sweeps" / f"{sweep}.yaml")) if isinstance(case, Case)]
    series = [Series("box", case.id, case) for case in cases]
    model = cast(Model, SimpleNamespace(series=series, lengths=Lengths.of(cases)))
    variants = latest.variants(model)
    places = [(variants[one.id], *list(facts(one.case, model.lengths).values())[:2]) for one in series]
    assert len(set(places)) == len(places)


def test_marks_stand_beside_every_number(tmp_path: Path, fresh: Fresh) -> None:
    made = fresh(10)
    timing = {"method": "event", "oversubscribed": True, "flags": ["drifts"]}
    changed(made, 9, ".u4.", status="unsettled", timing=timing)
    done = built(made, tmp_path)
    for name in ("heat", "phases", "throughput"):
        shown = section(done, name)
        assert re.search(r"[mµ]s~\*\?<|/s~\*\?<", shown), name
        for meaning in ("~ unsettled: ", "* oversubscribed: ", "? doubtful: "):
            assert shown.count(f"<li>{meaning}") == 1
    for name in ("latest", "phases", "throughput"):
        marks = {row["case"]: row["marks"] for row in table(tmp_path, name)}
        assert set(marks.values()) - {""} == {"~*?"}, name
        assert all((".u4." in case) == bool(found) for case, found in marks.items())
    index = taken(tmp_path / "html" / "data" / "index.js")
    key = next(case["key"] for case in index["cases"] if case["marks"] == "~*?")
    page = (tmp_path / "html" / "cases" / f"{key}.html").read_text()
    assert page.count("~*?</td>") >= 3
    assert "<li>~ unsettled: " in page
    with (tmp_path / "html" / "cases" / f"{key}.csv").open() as file:
        assert [row["marks"] for row in csv.DictReader(file)] == 9 * [""] + ["~*?"]


def test_a_number_is_the_same_wherever_it_stands(tmp_path: Path, fresh: Fresh) -> None:
    made = fresh(1)
    metrics = {"total": {"value": 0.01904986, "low": 0.019, "high": 0.0191, "unit": "s"}}
    changed(made, 0, "", metrics=metrics)
    done = built(made, tmp_path)
    values = [case["values"]["total"] for case in taken(tmp_path / "html" / "data" / "index.js")["cases"]]
    assert set(values) == {0.01904986}
    for path in (tmp_path / "html" / "cases").glob("*.csv"):
        assert "0.01904986" in path.read_text()
    assert ">19.0 ms<" in section(done, "heat")
    assert ">19.0 ms<" in section(done, "phases")


def test_phases_have_a_scale_for_each_length_and_names_of_their_own(tmp_path: Path, fresh: Fresh) -> None:
    made = fresh(1)
    done = built(made, tmp_path)
    rows = re.findall(r'data-seq="(\d+)".*?<svg class="bar"(.*?)</svg>', section(done, "phases"))
    widths: dict[str, list[float]] = {}
    for length, bar in rows:
        widths.setdefault(length, []).append(sum(map(float, re.findall(r'width="([\d.]+)" height="14"', bar))))
    assert len(widths) > 1
    assert all(abs(max(found) - 240) < 1 for found in widths.values())
    (head,) = {tuple(row) for row in table(tmp_path, "phases")}
    assert len(set(head)) == len(head)
    assert len((tmp_path / "html" / "csv" / "phases.csv").read_text().splitlines()[0].split(",")) >= len(head)
    assert "kernel of the mean rank [s]" in head


def test_shortened_numbers_are_rounded() -> None:
    rng = np.random.default_rng(0)
    wanted = np.exp(rng.uniform(-30, 30, 1000)) * rng.choice([-1, 1], 1000)
    off = unshortened(shortened(array("f", wanted))) / wanted - 1
    assert np.abs(off).max() < 1.6e-5
    assert abs(off.mean()) < 2e-6
    odd = unshortened(shortened(array("f", [np.inf, -np.inf, np.nan, 0.0])))
    assert odd[[0, 1, 3]].tolist() == [np.inf, -np.inf, 0.0]
    assert np.isnan(odd[2])


def test_where_nothing_could_be_judged_the_verdict_says_so(tmp_path: Path, fresh: Fresh) -> None:
    page = built(fresh(2), tmp_path).index.read_text()
    assert "nothing could be judged" in page
    assert "nothing stands that is worse" not in page


def test_a_change_is_told_with_its_metric_and_accepted_where_it_is_kept(tmp_path: Path, made: Learned) -> None:
    asked = Asked(made.store, place=made.place)
    done = build.write(asked, tmp_path / "html", tmp_path / "kept", ROOT / "plots", figures=False)
    assert re.search(r">▲ regressed: (total|peak memory) \+\d+ %<", section(done, "changes"))
    rows = table(tmp_path, "changes")
    assert rows
    assert all(f"--store {made.place}" in row["accept"] for row in rows)


def test_the_bar_is_called_by_what_it_is_held_against(tmp_path: Path, fresh: Fresh) -> None:
    made = fresh(1)
    assert '<th scope="col">of the peak</th>' in section(built(made, tmp_path), "throughput")
    (path,) = made.store.runs.glob("*/*/*/run.json")
    header = json.loads(path.read_text())
    header["environment"]["peak"] = None
    path.write_text(json.dumps(header))
    assert '<th scope="col">of the fastest</th>' in section(built(made, tmp_path), "throughput")
