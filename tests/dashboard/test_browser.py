"""The pages in a real browser, from file://: clicked, typed at, without scripts; and what the browser asked for."""

from __future__ import annotations

from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from fiabench.dashboard import markup, script
from fiabench.results import units
from tests.asv.browser import CHROMIUM
from tests.dashboard.chromium import Page, browser
from tests.dashboard.conftest import Fresh, Site, built

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")]


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.fixture
def page(tab: Page, site: Site) -> Iterator[Page]:
    """The first view, just opened. Whatever a test does, nothing is asked of anybody and nothing goes wrong."""
    tab.start()
    tab.open(site.address)
    yield tab
    tab.ask("1")  # so that all that was said until now is noted
    folder = site.out.as_uri()
    foreign = [one for one in tab.requests if not one.startswith((folder, "data:", "blob:", "about:"))]
    assert foreign == []
    assert tab.complaints == []


def test_the_first_view_has_the_verdict_the_changes_and_the_heat_map(page: Page) -> None:
    assert page.text(".verdict").split()[:3] == ["▲", "6", "regressed"]
    assert page.text("#changes h3").startswith("▲ regressed:")
    assert page.ask("document.querySelectorAll('#heat-tables table').length") == 2
    assert page.ask("document.querySelector('#phases').hidden")
    assert "simulated, not measured anywhere" in page.text("header")
    # Where it is narrow, the columns stand in a column, each cell with its heading.
    page.resize(400)
    seen = "getComputedStyle(document.querySelector('#changes td:nth-child({})'), '::before').content"
    heads = page.ask("[...document.querySelector('#changes thead tr').cells].map((one) => one.textContent)")
    for place in range(2, len(heads) + 1):
        assert heads[place - 1] in page.ask(seen.format(place))
    page.resize(1300)
    assert page.ask(seen.format(6)) == "none"


def test_filters_hide_cases_everywhere_and_stay_in_the_url(page: Page, site: Site) -> None:
    shown = "[...document.querySelectorAll('#changes tr[data-seq]')].filter((row) => !row.hidden).length"
    whole = page.ask(shown)
    page.then(lambda: page.choose("#choose-shard", "tp1 x u4"))
    assert 0 < page.ask(shown) < whole
    assert page.text("#filters output") == "2 of 6 cases"
    assert page.ask("document.querySelectorAll('#heat-tables td a').length") == 2
    address = page.ask("location.href")
    assert "shard=tp1+x+u4" in address
    page.open(address)
    assert page.text("#filters output") == "2 of 6 cases"
    page.then(lambda: page.click("#clear"))
    assert page.ask(shown) == whole
    assert "shard" not in page.ask("location.hash")


def test_from_the_heat_map_to_a_case_to_its_samples_and_back(page: Page) -> None:
    page.then(lambda: page.click("#heat-tables td a"))
    page.wait(lambda: page.ask("document.querySelector('#case-samples svg.plot') !== null"))
    assert page.ask("document.querySelector('#case-history canvas') !== null")
    assert page.ask("document.querySelector('#heat').hidden")
    assert "no mask" in page.text("#case h3")
    assert page.ask("document.querySelectorAll('#case-samples path.dots').length") == 1
    assert "max error" in page.text("#case-samples")
    page.click("#case-samples button")  # nobody takes the file, and nothing is said against it
    assert "8.0.RC2" in page.text("#case-samples")
    read = page.text("#case-samples")
    assert "temperature: rank 0 41 °C to 44 °C, rank 1 41 °C to 44 °C" in read
    assert "clock: rank 0 1800 MHz, rank 1 1800 MHz" in read
    assert "memory: rank 0 8.00 MiB to 16.0 MiB" in read
    assert "samples: rank" not in read
    drawn = "document.querySelector('#case-history canvas').toDataURL()"
    light = page.ask(drawn)
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    page.send("Emulation.setEmulatedMedia", features=dark)
    page.wait(lambda: page.ask(drawn) != light)  # in colours that are seen on black
    page.send("Emulation.setEmulatedMedia", media="print", features=dark)
    page.wait(lambda: "0, 0, 0" in page.ask("getComputedStyle(document.body).color"))
    shown = "[...document.querySelectorAll('#case .hint, #case form label')].filter((one) => one.checkVisibility())"
    assert page.ask(f"{shown}.map((one) => one.innerText.split(' ')[0])") == ["metric", "commit", "phase"]
    page.send("Emulation.setEmulatedMedia", media="", features=[])
    page.then(lambda: page.choose("#choose-at", page.ask("document.querySelector('#choose-at').options[12].value")))
    page.then(
        lambda: page.choose("#choose-against", page.ask("document.querySelector('#choose-against').options[1].value"))
    )
    assert "kernel" in page.text("#case-difference")
    assert "%" in page.text("#case-difference")
    address = page.ask("location.href")
    page.open(address)
    page.wait(lambda: page.ask("document.querySelector('#case-samples svg.plot') !== null"))
    assert page.ask("document.querySelector('#choose-at').selectedIndex") == 12
    page.then(lambda: page.ask("history.pushState(null, '', '#'), window.dispatchEvent(new Event('fiabench-state'))"))
    assert not page.ask("document.querySelector('#heat').hidden")


def test_a_failed_commit_says_why_and_has_no_samples(page: Page, site: Site) -> None:
    place = site.learned.truth["wrong"].introduced
    page.then(lambda: page.click("#heat-tables td a"))
    page.then(lambda: page.choose("#choose-at", site.learned.commits[place].hash[:10]))
    page.wait(lambda: "No samples" in page.text("#case-samples"))
    assert "wrong: head 3: error 2.86" in page.text("#case-samples")
    newest = page.ask("document.querySelector('#choose-against').options[1].value")
    page.then(lambda: page.choose("#choose-against", newest))
    assert "GiB" in page.text("#case-difference") or "ms" in page.text("#case-difference")
    assert "interval" not in page.text("#case-difference tbody")


def test_the_heat_map_shows_any_metric_and_the_change_against_a_commit(page: Page, site: Site) -> None:
    page.then(lambda: page.choose("#choose-metric", "kernel"))
    assert "kernel at the newest commit" in page.text("#heat-said")
    page.then(lambda: page.choose("#choose-base", site.learned.commits[0].hash[:10]))
    assert "change from" in page.text("#heat-said")
    cells = page.ask("[...document.querySelectorAll('#heat-tables td a')].map((cell) => parseFloat(cell.textContent))")
    assert len(cells) == 6
    # The slowdown makes the kernel 1.45 and 1.3 times as long, the mask another 1.25 of the causal cases.
    for seen, wanted in zip(cells, [45, 45, 45, 62.5, 62.5, 62.5]):
        assert abs(seen - wanted) < 6
    assert page.ask("document.querySelectorAll('#heat-tables td.worse3').length") == 6


def test_everything_is_reached_with_the_keyboard(page: Page, site: Site) -> None:
    focused = "document.activeElement"
    page.press("Tab")
    assert page.ask(f"{focused}.className") == "skip"
    page.press("Enter")
    assert page.ask(f"{focused}.id") == "main"
    page.ask("document.querySelector('#heat-tables td a').focus()")
    first = page.ask(f"{focused}.textContent")
    page.press("ArrowRight")
    assert page.ask(f"{focused}.textContent") != first
    page.press("ArrowLeft")
    assert page.ask(f"{focused}.textContent") == first
    page.then(lambda: page.press("Enter"))
    assert page.ask("location.hash").startswith("#view=case")
    page.ask("document.querySelector('#case-history').focus()")
    page.press("Home")
    assert "34c16968e1" in page.text("#case .hint")
    page.press("ArrowRight")
    assert "a818438bfc" in page.text("#case .hint")
    page.then(lambda: page.press("Enter"))
    assert "at=a818438bfc" in page.ask("location.hash")
    assert page.ask(f"{focused}.id") == "case-history"
    (chart,) = [one for one in page.send("Accessibility.getFullAXTree")["nodes"] if one["role"]["value"] == "slider"]
    assert "Enter opens one" in chart["name"]["value"]
    told = {one["name"]: one["value"]["value"] for one in chart["properties"]}
    assert told["focused"]
    assert (chart["value"]["value"], told["valuemin"], told["valuemax"]) == (2, 1, 14)
    said = f"{focused}.getAttribute('aria-valuetext')"  # DevTools tells an empty one
    assert "a818438bfc" in page.ask(said)
    page.press("ArrowRight")
    third = site.learned.commits[2].hash[:10]
    assert third in page.text("#case .hint")
    assert third in page.ask(said)


def test_what_the_url_and_the_results_say_is_not_taken_on_trust(page: Page, site: Site) -> None:
    page.open(f"{site.address}#metric=constructor")
    assert page.text("#heat-said").startswith("total at the newest commit")
    page.then(lambda: page.click("#heat-tables tr:last-child td:last-child a"))
    page.wait(lambda: page.ask("document.querySelector('#case-samples .key') !== null"))
    assert page.text("#case-samples .key").split("\n") == [f"rank {rank}" for rank in range(4)]
    first = "document.querySelector('#case-samples path.rank{}').getAttribute('d').split(' ')[0]"
    assert len({page.ask(first.format(rank)) for rank in range(4)}) == 4
    page.open(f"{site.address}#view=history&metric=constructor")
    page.wait(lambda: page.ask("document.querySelector('#history .spark') !== null"))
    odd = "a\u202eb\u2066\x00\x7f\n\ud800\U0001f600"
    page.ask(script.take("odd", {odd: [odd, 1, None]}))
    shown = unescape(markup.text(odd))
    assert page.ask("fiabench.load('odd')") == {shown: [shown, 1, None]}
    sizes = [-0.0004, 0.0004, -0.04, 0.0996]
    assert page.ask(f"{sizes}.map(fiabench.relative)") == [units.relative(size) for size in sizes]
    assert units.relative(-0.0004) == "+0.0 %"


def test_nothing_that_can_be_used_is_without_a_name(page: Page) -> None:
    nameless = """[...document.querySelectorAll('a, button, select, summary')].filter((one) => one.checkVisibility()
        && !(one.innerText || one.getAttribute('aria-label') || (one.labels && one.labels.length))).length"""
    for view in ("changes", "heat", "phases", "throughput", "history", "environments", "pictures", "notices"):
        page.then(lambda view=view: page.click(f'nav a[data-view="{view}"]') if view != "changes" else page.ask(
            "window.dispatchEvent(new Event('fiabench-state'))"))  # fmt: skip
        assert page.ask(nameless) == 0
        assert page.ask("document.querySelectorAll('nav [aria-current]').length") == 1
        assert "simulated, not measured anywhere" in page.text("header")


def test_long_names_do_not_widen_the_page(tab: Page, fresh: Fresh, tmp_path: Path) -> None:
    made = fresh(2)
    (made.store.runs / "box").rename(made.store.runs / ("m" * 80))
    next(made.store.runs.glob("*/*/*/run.json")).write_text("{")
    address = built(made, tmp_path).index.as_uri()
    for width in (1300, 320):
        tab.resize(width)
        tab.open(f"{address}#seq=512")
        for selector in ("#heat-tables td a", ".noticed a", 'nav a[data-view="history"]'):
            tab.then(lambda selector=selector: tab.click(selector))
            assert tab.ask("document.documentElement.scrollWidth") == width, selector
            assert "seq=512" in tab.ask("location.hash")
    tab.resize(1300)


def test_every_csv_that_is_offered_is_there(page: Page, site: Site) -> None:
    offered = page.ask("[...document.querySelectorAll('.csv a')].map((one) => one.getAttribute('href'))")
    assert len(offered) >= 5
    for name in offered:
        assert len((site.out / name).read_text().splitlines()) > 1, name


def test_without_scripts_tables_say_it(tab: Page, site: Site) -> None:
    tab.start()
    tab.send("Emulation.setScriptExecutionDisabled", value=True)
    try:
        tab.send("Page.navigate", url=site.address)
        tab.wait(lambda: tab.ask("document.readyState") == "complete" and "performance" in tab.ask("document.title"))
        for said in ("Build the causal mask", "Bring q, k and v", "Derive the scale", "Read the head counts once"):
            assert said in tab.text("#changes")
        assert "ms" in tab.text("#heat-tables")
        assert "busbw" in tab.text("#throughput")
        assert "8.0.RC2" in tab.text("#environments")
        link = tab.ask("document.querySelector('#history a').href")
        tab.send("Page.navigate", url=link)
        tab.wait(lambda: tab.ask("document.querySelectorAll('tbody tr').length") == 14)
        assert "210146a751" in tab.text("tbody tr")
        assert all(one.startswith((site.out.as_uri(), "data:")) for one in tab.requests)
    finally:
        tab.send("Emulation.setScriptExecutionDisabled", value=False)
