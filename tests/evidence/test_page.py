"""docs/accuracy.md is what the command writes, and each verdict on it is the one that its number deserves."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from fiabench.evidence import __main__ as command
from fiabench.evidence import comparing, simulated
from fiabench.evidence.chapters import Found, real_rows, rows
from fiabench.evidence.oracle import OnCpu
from fiabench.evidence.page import Study, page, read
from fiabench.evidence.planted import KINDS, KNOWN
from fiabench.evidence.real import DELAYS, LONG, Closure, Real
from fiabench.evidence.rows import MET, MISSED, Row, row
from fiabench.evidence.words import CHAPTERS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "accuracy.md"


class Cells(NamedTuple):
    chapter: str
    what: str
    found: str
    target: str
    verdict: str


def cells(text: str) -> list[Cells]:
    """The tables of a page."""
    chapter, read = "", []
    for line in text.splitlines():
        if line.startswith("## "):
            chapter = line.removeprefix("## ")
        elif line.startswith("| ") and not line.startswith("| what |"):
            read.append(Cells(chapter, *(cell.strip() for cell in line.strip("|").split("|"))))
    return read


def deserved(found: str, target: str) -> str:
    """The verdict, worked out from the words alone."""
    if not target:
        return ""
    if "flagged" in found:
        return MET
    if found == "none":
        return MISSED
    value = float(found.split()[0])
    bounds = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", target)]
    if target.startswith("at least"):
        return MET if value >= bounds[0] else MISSED
    if target.startswith("at most"):
        return MET if value <= bounds[0] else MISSED
    low, high = bounds
    return MET if low <= value <= high else MISSED


@pytest.fixture(scope="module")
def regenerated() -> Study:
    """Everything that is simulated at one seed; what is real is made up."""
    seeds = 1
    real = Real(dict.fromkeys(DELAYS, 0.002), 1.01, dict.fromkeys(LONG, Closure(-0.04, True)))
    found = Found(
        rates={name: simulated.rates(name, seeds) for name in KINDS},
        sessions=simulated.session_rates(seeds),
        pooled_sessions=0.95,
        ranks=[simulated.slow_rank(seed) for seed in range(seeds)],
        delays=dict.fromkeys(simulated.DELAYS, 1.0),
        oracles={kind.name: 20 for kind in KNOWN},
        compared=comparing.study(seeds),
    )
    cpu = OnCpu(timings=250, half_width=0.01, fixed=24, mean_samples=30.0, near=0.95)
    return Study([*rows(found), *real_rows(cpu, real)], seeds, 1, "2 cores, CPU", "unknown", 60.0)


def test_a_page_is_read_as_it_was_written(regenerated):
    again = read(page(regenerated))
    assert page(again) == page(regenerated)
    assert again._replace(rows=[]) == regenerated._replace(rows=[])


def test_what_is_real_can_be_run_anew_alone(regenerated, monkeypatch):
    """Every other row stays, and the page says that the commits differ."""
    cpu = OnCpu(timings=250, half_width=0.02, fixed=20, mean_samples=25.0, near=0.9)
    calm = Real(dict.fromkeys(DELAYS, 0.0), 1.0, dict.fromkeys(LONG, Closure(0.01, False)))
    monkeypatch.setattr(command, "real_studies", lambda rounds, say: (cpu, calm))
    before, after = (
        {(cell.chapter, cell.what): cell.found for cell in cells(page(study))}
        for study in (regenerated, command.with_real_again(regenerated, 7))
    )
    changed = {key for key in before if before[key] != after[key]}
    assert before.keys() == after.keys()
    assert changed
    assert changed <= {(row.chapter, row.what) for row in real_rows(cpu, calm)}
    assert "what is real was run anew at commit" in page(command.with_real_again(regenerated, 7))


@pytest.fixture(scope="module")
def committed() -> list[Cells]:
    return cells(PAGE.read_text(encoding="utf-8"))


def test_the_page_has_the_rows_and_targets_that_the_command_writes(committed, regenerated):
    written = cells(page(regenerated))
    assert len(written) > 50
    assert [(cell.chapter, cell.what, cell.target) for cell in committed] == [
        (cell.chapter, cell.what, cell.target) for cell in written
    ]


def test_every_verdict_on_the_page_is_deserved(committed):
    assert [cell.verdict for cell in committed] == [deserved(cell.found, cell.target) for cell in committed]


def test_every_miss_is_told_with_its_reason(committed):
    misses = PAGE.read_text(encoding="utf-8").split("## What misses its target")[1]
    told = " ".join(misses.split())
    for missed in (cell for cell in committed if cell.verdict == MISSED):
        assert f"- {missed.what}: {missed.found}, asked for {missed.target}. Why:" in told
    assert told.count("Why:") == sum(cell.verdict == MISSED for cell in committed)


def test_the_page_tells_its_seeds_machine_and_time():
    text = PAGE.read_text(encoding="utf-8")
    assert re.search(r"^- seeds: \d", text, re.MULTILINE)
    assert re.search(r"^- machine: \d+ cores, CPU; commit [0-9a-f]{10}$", text, re.MULTILINE)
    assert re.search(r"^- took: \d+\.\d minutes$", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("given", "found", "target", "verdict"),
    [
        (row("c", "w", 0.9699, least=97), "96.99 %", "at least 97 %", MISSED),
        (row("c", "w", 0.97, least=97), "97.00 %", "at least 97 %", MET),
        (row("c", "w", 0.995, least=92, most=99), "99.50 %", "92 to 99 %", MISSED),
        (row("c", "w", 0.0012, "ms", most=1), "1.20 ms", "at most 1 ms", MISSED),
        (row("c", "w", 0.0999, most=3, flagged=True), "9.99 %, flagged", "at most 3 %", MET),
        (row("c", "w", float("nan"), "times", most=1.3), "none", "at most 1.3 times", MISSED),
        (row("c", "w", 0.5), "50.00 %", "", ""),
    ],
)  # fmt: skip
def test_a_row_in_words(given: Row, found, target, verdict):
    assert (given.found, given.target, given.verdict) == (found, target, verdict)
    assert deserved(found, target) == verdict


def test_chapters_are_all_there_and_json_holds_every_row(committed, regenerated):
    assert list(dict.fromkeys(cell.chapter for cell in committed)) == list(CHAPTERS)
    read = json.loads(json.dumps(command.as_json(regenerated), allow_nan=False))
    assert [one["verdict"] for one in read["rows"]] == [one.verdict for one in regenerated.rows]


def test_seeds_below_one_are_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(["--seeds", "0"])
    assert ended.value.code == 2
    assert "allowed: 1 and more" in capsys.readouterr().err
