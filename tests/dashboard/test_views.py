"""What stands in the views, for a history that is not as even as most."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from tests.dashboard import learned
from tests.dashboard.conftest import Fresh, built, taken
from tests.dashboard.learned import Learned


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
    made = fresh(10)
    without(made, 9, "causal")
    done = built(made, tmp_path)
    assert done.verdict.counts["not measured"] == 3
    page = done.index.read_text().partition('<section id="heat">')[2].partition("</section>")[0]
    assert page.count(">not measured</a>") == 3
    lacking = [row for row in table(tmp_path, "latest") if "causal" in row["case"]]
    assert {(row["status"], row["total [s]"], row["commit"]) for row in lacking} == {
        ("not measured", "", made.commits[9].hash)
    }
    cases = taken(tmp_path / "html" / "data" / "index.js")["cases"]
    assert sorted(len(case["values"]) > 0 for case in cases) == 3 * [False] + 3 * [True]
