"""What a hostile, foreign or broken result does to the pages: it is escaped, or passed over with a notice."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fiabench.dashboard import build, markup, script
from fiabench.dashboard.model import Asked
from fiabench.dashboard.tables import safe
from fiabench.history.series import UNORDERED
from fiabench.history.store import Store
from tests.dashboard.conftest import Fresh, built, taken
from tests.dashboard.learned import ROOT

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


@pytest.mark.parametrize("place", [0, 9])
@pytest.mark.parametrize("number", range(8))
def test_a_line_that_makes_no_sense_is_passed_over_with_a_notice(
    number: int, place: int, fresh: Fresh, tmp_path: Path
) -> None:
    made = fresh(10)
    (path,) = made.store.runs.glob(f"*/{made.commits[place].hash}/*/cases.jsonl")
    first, *others = path.read_text().splitlines(keepends=True)
    path.write_text(broken(first, number) + "".join(others))
    done = built(made, tmp_path)
    assert done.verdict.total == 6
    quiet = number == 1 or (number, place) == (6, 0)  # samples are only shown, and stacked at the newest commit
    assert bool(done.model.notices) is not quiet
    assert all(str(path.parent) in notice or "cannot be stacked" in notice for notice in done.model.notices)
    if done.model.notices:
        assert "Notices (1)" in done.index.read_text()


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"format": 99}', '{"format": 1}', '{"format": 1, "environment": {}, "created": "soon"}'],
)
def test_a_foreign_run_is_passed_over_with_a_notice(content: str, tmp_path: Path, fresh: Fresh) -> None:
    made = fresh(10)
    path = next(made.store.runs.glob("*/*/*/run.json"))
    path.write_text(content)
    done = built(made, tmp_path)
    assert len(done.model.notices) == 1
    assert str(path.parent) in done.model.notices[0]
    assert done.verdict.total == 6


def test_a_last_line_cut_short_is_passed_over_with_a_notice(tmp_path: Path, fresh: Fresh) -> None:
    made = fresh(10)
    path = next(made.store.runs.glob("*/*/*/cases.jsonl"))
    path.write_bytes(path.read_bytes()[:-40])
    done = built(made, tmp_path)
    assert done.verdict.total == 6
    assert done.model.notices == [f"{path.parent}: the last line of cases.jsonl is cut short and is passed over"]
    assert "Notices (1)" in done.index.read_text()


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
    assert ["end_to_end", [2000], 1_000_000] in [phase for one in files for phase in one[0][0]["phases"]]


def test_empty_results_say_what_to_do(tmp_path: Path) -> None:
    store = Store(tmp_path / "asv", "fiabench", tmp_path / "asv.conf.json")
    done = build.write(Asked(store), tmp_path / "html", tmp_path / "kept", ROOT / "plots")
    page = done.index.read_text()
    assert "tools/history.py run" in page
    assert harmless(page)
    assert "<script" not in page


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


def test_without_the_repository_nothing_is_judged_and_a_notice_says_why(tmp_path: Path, fresh: Fresh) -> None:
    made = fresh(11)
    settings = json.loads(made.store.configuration.read_text())
    made.store.configuration.write_text(json.dumps(settings | {"repo": str(tmp_path / "nowhere")}))
    done = built(made, tmp_path)
    assert done.verdict.since is None
    assert {"regressed", "improved", "failing"}.isdisjoint(done.verdict.counts)
    assert any(UNORDERED in notice for notice in done.model.notices)
    assert UNORDERED in done.index.read_text()
