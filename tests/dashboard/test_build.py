"""The pages against planted truth: what they name, what is read again, what a hostile or broken result does to them."""

from __future__ import annotations

import base64
import csv
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fiabench.cli import dashboard
from fiabench.dashboard import build, events, markup, script
from fiabench.dashboard.build import Built
from fiabench.dashboard.casefiles import safe
from fiabench.dashboard.model import Asked
from fiabench.history.learning import SYMPTOMS
from fiabench.history.store import Store
from tests.dashboard import learned
from tests.dashboard.conftest import Fresh, Site
from tests.dashboard.learned import ROOT, Learned


def built(made: Learned, folder: Path) -> Built:
    return build.write(Asked(made.store), folder / "html", folder / "kept", ROOT / "plots", figures=False)


def taken(path: Path) -> Any:
    """What a script file hands to the page."""
    text = path.read_text().strip()
    assert text.startswith("fiabench.take(")
    _, content = json.loads(f"[{text.removeprefix('fiabench.take(').removesuffix(');')}]")
    return content


@pytest.mark.parametrize("seed", [0, 1])
def test_every_planted_event_is_named_at_its_commit_and_nothing_else(seed: int, tmp_path: Path) -> None:
    made = learned.make(tmp_path, seed)
    done = built(made, tmp_path)
    with (tmp_path / "html" / "csv" / "changes.csv").open() as file:
        rows = list(csv.DictReader(file))
    named = {(row["state"], row["commit"], row["until"]) for row in rows}
    hashes = [commit.hash for commit in made.commits]
    wanted = set()
    for event in made.truth.values():
        fixed = hashes[event.fixed] if event.fixed is not None else ""
        wanted.add(("over" if fixed else "regressed", hashes[event.introduced], fixed))
    assert named == wanted
    assert done.verdict.counts == {"regressed": 6}
    assert done.verdict.since is not None
    assert done.verdict.since.commit.hash == hashes[min(made.truth[name].introduced for name in ("slowdown", "memory"))]
    page = done.index.read_text()
    for name in SYMPTOMS:
        assert made.commits[made.truth[name].introduced].subject in page
    slower = [
        row for row in rows if row["metric"] == "total" and row["commit"] == hashes[made.truth["slowdown"].introduced]
    ]
    assert slower
    assert all(row["where"].startswith("kernel +") for row in slower)
    assert all(f"confirm {hashes[made.truth['slowdown'].introduced - 1][:10]}" in row["reproduce"] for row in slower)
    assert all(row["whose"] == "the code's" for row in rows)


def test_only_what_is_new_is_read(tmp_path: Path, fresh: Fresh) -> None:
    made = fresh(13)
    assert built(made, tmp_path).read == 13
    before = (tmp_path / "html" / "index.html").read_text()
    assert built(made, tmp_path).read == 0
    assert (tmp_path / "html" / "index.html").read_text() == before
    new = learned.add(made, 13)
    assert built(made, tmp_path).read == 1
    shutil.rmtree(tmp_path / "kept")
    shutil.copytree(tmp_path / "html", tmp_path / "grown")
    assert built(made, tmp_path).read == 14
    for path in (tmp_path / "grown").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "html" / path.relative_to(tmp_path / "grown")).read_bytes(), path
    shutil.rmtree(new)
    built(made, tmp_path)
    assert (tmp_path / "html" / "index.html").read_text() == before
    assert len(list((tmp_path / "html" / "samples").iterdir())) == 13  # what nobody needs any more is gone


def test_a_run_that_grew_is_read_again(tmp_path: Path, fresh: Fresh) -> None:
    made = fresh(10)
    built(made, tmp_path)
    cases = next(made.store.runs.glob("*/*/*/cases.jsonl"))
    lines = cases.read_text().splitlines(keepends=True)
    cases.write_text("".join(lines[:-1]))
    assert built(made, tmp_path).read == 1


def test_an_accepted_change_is_said_to_be(tmp_path: Path, fresh: Fresh) -> None:
    made = fresh()
    accepted = made.store.configuration.with_name("accepted.yaml")
    entry = {"case": "causal", "commit": made.commits[made.truth["memory"].introduced].hash, "metric": "peak_memory",
             "reason": "worth it"}  # fmt: skip
    accepted.write_text(json.dumps([entry]))
    done = built(made, tmp_path)
    found = {event.state for event in events.events(done.model) if event.metric == "peak_memory"
             and event.place.commit.hash == entry["commit"]}  # fmt: skip
    assert found == {"accepted"}
    assert "worth it" in done.index.read_text()


def test_samples_are_those_of_the_run(site: Site) -> None:
    with (site.out / "csv" / "latest.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 6
    (run,) = site.learned.store.runs.glob(f"*/{site.learned.commits[0].hash}/*")
    lines = [json.loads(line) for line in (run / "cases.jsonl").read_text().splitlines()]
    place, line = next((place, line) for place, line in enumerate(lines) if "exchange_in" in line["samples"])
    wanted = np.array(list(line["samples"]["exchange_in"].values()))
    found = [taken(path)[place][0]["phases"].get("exchange_in") for path in site.out.glob("samples/*/0.js")]
    values = [np.frombuffer(base64.b64decode(one["v"]), "<f4").reshape(len(one["n"]), -1) for one in found if one]
    assert sum(np.allclose(one, wanted, rtol=1e-6) for one in values) == 1


def test_a_stack_that_changes_is_marked(tmp_path: Path, fresh: Fresh) -> None:
    made = fresh(12)
    learned.add(made, 12, cann="8.1.RC1")
    done = built(made, tmp_path)
    files = [taken(path) for path in (tmp_path / "html" / "cases").glob("*.js")]
    assert all(found["stack"] == [[12, [["cann", "8.0.RC2", "8.1.RC1"]]]] for found in files)
    assert "8.0.RC2 -&gt; 8.1.RC1" in done.index.read_text()


def test_machines_stand_side_by_side(tmp_path: Path, fresh: Fresh) -> None:
    made = fresh()
    for number in range(14):
        learned.add(made, number, machine="other", cann="9.0")
    done = built(made, tmp_path)
    assert done.verdict.total == 12
    with (tmp_path / "html" / "csv" / "environments.csv").open() as file:
        facts = {row["fact"]: (row["box"], row["other"]) for row in csv.DictReader(file)}
    assert facts["cann"] == ("8.0.RC2", "9.0")


HOSTILE = "<script>document.title='owned'</script>\u2028</script><img src=x onerror=alert(1)>\u202egnp.exe"


_OWN = re.compile(
    r"(\.\./)?(static|data|pictures|cases|csv)/[\w./-]+|#[\w=&;]*|data:,|asv\.html|(\.\./)?index\.html.*|[0-9a-f]{16}\.csv"
)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def harmless(page: str) -> bool:
    """Whether it has no script but its own, no style, no handler, and nothing from elsewhere."""
    parser = _Tags()
    parser.feed(page)
    for tag, attributes in parser.tags:
        own = _OWN.fullmatch(attributes.get("src") or attributes.get("href") or "#")
        if not own or "style" in attributes or any(name.startswith("on") for name in attributes):
            return False
        if tag in ("img", "iframe", "object", "base", "form") and "onerror" in str(attributes):
            return False
    return HOSTILE not in page


def test_hostile_words_stay_words(tmp_path: Path, fresh: Fresh) -> None:
    made = fresh(11)
    folder = next((made.store.runs / "box").glob("*")).parent
    folder.rename(folder.with_name("<img src=x onerror=alert(1)>"))
    for path in made.store.runs.glob("*/*/*/cases.jsonl"):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for line in lines:
            line["case"]["op"] = HOSTILE
            line["id"] += HOSTILE
            line["reason"] = HOSTILE if line["status"] != "ok" else ""
            line["timing"]["flags"] = [HOSTILE]
            line["check"][HOSTILE] = HOSTILE
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = built(made, tmp_path)
    assert done.verdict.total == 6
    pages = list((tmp_path / "html").rglob("*.html"))
    assert len(pages) == 7
    assert all(harmless(path.read_text()) for path in pages)
    for path in (tmp_path / "html").rglob("*.js"):
        if path.parent.name != "static":
            text = path.read_text()
            assert "<" not in text
            assert "\u2028" not in text
            assert taken(path) is not None


def broken(text: str, number: int) -> str:
    line = json.loads(text)
    match number:
        case 0:
            line["metrics"]["total"]["value"] = float("nan")
        case 1:
            line["samples"] = {}
        case 2:
            line["status"] = "splendid"
        case 3:
            line["metrics"] = [1, 2]
        case 4:
            line["case"]["seq_len_q"] = "many"
        case 5:
            del line["case"]["op"]
        case 6:
            line["samples"]["kernel"]["0"] = ["soon", None, 1e-3]
        case 7:
            return text + text
    return json.dumps(line) + "\n"


@pytest.mark.parametrize("number", range(8))
def test_a_line_that_makes_no_sense_is_passed_over_with_a_notice(number: int, tmp_path: Path, fresh: Fresh) -> None:
    made = fresh(10)
    path = next(made.store.runs.glob("*/*/*/cases.jsonl"))
    first, *others = path.read_text().splitlines(keepends=True)
    path.write_text(broken(first, number) + "".join(others))
    done = built(made, tmp_path)
    assert done.verdict.total == 6
    quiet = number in (1, 6)  # samples are only shown, and what is there is shown
    assert bool(done.model.notices) is not quiet
    assert all(str(path.parent) in notice for notice in done.model.notices)
    if done.model.notices:
        assert "Notices (1)" in done.index.read_text()


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"format": 99}', '{"format": 1}', '{"format": 1, "environment": {}, "created": "yesterday"}'],
)
def test_a_foreign_run_is_passed_over_with_a_notice(content: str, tmp_path: Path, fresh: Fresh) -> None:
    made = fresh(10)
    path = next(made.store.runs.glob("*/*/*/run.json"))
    path.write_text(content)
    done = built(made, tmp_path)
    assert len(done.model.notices) == 1
    assert str(path.parent) in done.model.notices[0]
    assert done.verdict.total == 6


def test_a_last_line_cut_short_is_passed_over(tmp_path: Path, fresh: Fresh) -> None:
    made = fresh(10)
    path = next(made.store.runs.glob("*/*/*/cases.jsonl"))
    path.write_bytes(path.read_bytes()[:-40])
    assert built(made, tmp_path).verdict.total == 6


@pytest.mark.slow
def test_a_million_samples_are_thinned(tmp_path: Path, fresh: Fresh) -> None:
    made = fresh(3)
    path = next(made.store.runs.glob("*/*/*/cases.jsonl"))
    first, *others = path.read_text().splitlines(keepends=True)
    line = json.loads(first)
    line["samples"]["end_to_end"]["0"] = [1e-3] * 1_000_000
    path.write_text(json.dumps(line) + "\n" + "".join(others))
    built(made, tmp_path)
    assert max(file.stat().st_size for file in (tmp_path / "html" / "samples").rglob("*.js")) < 200_000
    files = [taken(file) for file in (tmp_path / "html" / "samples").rglob("0.js")]
    assert 1_000_000 in {one[0][0]["phases"].get("end_to_end", {}).get("of") for one in files}


def test_empty_results_say_what_to_do(tmp_path: Path) -> None:
    store = Store(tmp_path / "asv", "fiabench", tmp_path / "asv.conf.json")
    done = build.write(Asked(store), tmp_path / "html", tmp_path / "kept", ROOT / "plots")
    page = done.index.read_text()
    assert "tools/history.py run" in page
    assert harmless(page)
    assert "<script" not in page


def test_a_run_directory_is_shown_without_a_history(
    tmp_path: Path, fresh: Fresh, capsys: pytest.CaptureFixture[str]
) -> None:
    made = fresh(2)
    runs = [str(path.parent) for path in made.store.runs.glob("*/*/*/run.json")]
    (tmp_path / "empty").mkdir()
    given_runs = [part for run in runs for part in ("--runs", run)]
    code = dashboard.main(["build", "--asv", str(tmp_path / "empty"), *given_runs, "--out", str(tmp_path / "html"),
                           "--no-figures"])  # fmt: skip
    assert code == 0
    page = (tmp_path / "html" / "index.html").read_text()
    assert "simulated, not measured anywhere" in page
    assert "2 new runs read" in capsys.readouterr().out


@pytest.mark.slow
def test_figures_are_those_of_the_files(tmp_path: Path, fresh: Fresh) -> None:
    from fiabench.figures.drawing import draw_all
    from fiabench.results.rundir import read_run

    made = fresh(1)
    done = build.write(Asked(made.store), tmp_path / "html", tmp_path / "kept", ROOT / "plots")
    (run,) = made.store.runs.glob("*/*/*/")
    drawn = draw_all(read_run(run), ROOT / "plots", tmp_path / "files", ("svg",))
    there = {path.name: path.read_bytes() for path in (tmp_path / "html" / "pictures").rglob("*.svg")}
    assert there == {path.name: path.read_bytes() for one in drawn for path in one.paths}
    assert "phases.svg" in there
    assert "pictures/" in done.index.read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["build", "--asv", "nowhere"], "is no folder"),
        (["build", "--project", "nobody"], "holds no history"),
        (["build", "--metric", "speed"], "speed"),
        (["serve", "--out", "nowhere"], "holds no pages"),
    ],
)
def test_bad_input_is_one_clear_error(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert dashboard.main(arguments) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@given(st.text())
@settings(max_examples=200)
def test_text_is_never_markup(text: str) -> None:
    shown = markup.text(text)
    assert not set(shown) & set("<>\"'")
    assert not re.search(r"[\u202a-\u202e\u2066-\u2069]", shown)
    assert not safe(text).startswith(("=", "+", "-", "@"))


@given(st.recursive(st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))  # fmt: skip
@settings(max_examples=200)
def test_scripts_hold_what_was_given_and_nothing_that_ends_them(content: object) -> None:
    text = script.take("key", content)
    assert not set(text) & set("<>&\u2028\u2029")
    assert json.loads(f"[{text.strip().removeprefix('fiabench.take(').removesuffix(');')}]") == ["key", content]


@given(st.text(), st.text())
def test_file_names_are_letters_and_digits(machine: str, case: str) -> None:
    assert re.fullmatch("[0-9a-f]{16}", script.key_of(machine, case))
