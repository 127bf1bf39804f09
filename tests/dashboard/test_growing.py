"""What is kept between builds may be old, cut short or somebody else's: the pages are those of a first build."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fiabench.dashboard import build
from fiabench.dashboard.model import Asked
from fiabench.stats.changes import detector
from fiabench.stats.changes.found import Detection
from fiabench.stats.changes.given import Given
from tests.dashboard import learned
from tests.dashboard.conftest import Fresh, built
from tests.dashboard.learned import Learned


def pages(folder: Path) -> dict[str, bytes]:
    html = folder / "html"
    return {path.relative_to(html).as_posix(): path.read_bytes() for path in html.rglob("*") if path.is_file()}


def as_at_first(made: Learned, folder: Path) -> dict[str, bytes]:
    """The pages of a build that has nothing to go by."""
    folder.mkdir()
    built(made, folder)
    return pages(folder)


def test_a_table_that_grew_is_the_old_one_and_its_new_lines(tmp_path: Path, fresh: Fresh) -> None:
    made = fresh(13)
    built(made, tmp_path)
    before = {path.name: path.stat() for path in (tmp_path / "html" / "cases").glob("*.csv")}
    (one,) = (tmp_path / "kept" / "tables").glob(f"{Path(next(iter(before))).stem}.csv")
    text = one.read_text()
    one.write_text(text.replace(",ok,", ",OK,", 1))  # of the same size: nobody reads it again
    learned.add(made, 13)
    built(made, tmp_path)
    after = {path.name: path.stat() for path in (tmp_path / "html" / "cases").glob("*.csv")}
    assert {name: stat.st_ino for name, stat in after.items()} == {name: stat.st_ino for name, stat in before.items()}
    assert all(after[name].st_size > before[name].st_size for name in before)
    grown = (tmp_path / "html" / "cases" / one.name).read_text()
    assert grown.startswith(text.replace(",ok,", ",OK,", 1))
    assert len(grown.splitlines()) == len(text.splitlines()) + 1


def cut_short(folder: Path) -> None:
    for path in (folder / "tables").glob("*.csv"):
        path.write_bytes(path.read_bytes()[:-30])


def half_written_on(folder: Path) -> None:
    for path in (folder / "tables").glob("*.csv"):
        path.write_bytes(path.read_bytes() + b"abc,")


def without_tables(folder: Path) -> None:
    for path in (folder / "tables").glob("*.csv"):
        path.unlink()


def of_nothing(folder: Path) -> None:
    (folder / "tables" / "tables.json").write_text("[1, 2]")
    (folder / "judged.json").write_text("null")


def odd(folder: Path) -> None:
    index = folder / "tables" / "tables.json"
    index.write_text(json.dumps({key: [1] for key in json.loads(index.read_text())}))
    judged = json.loads((folder / "judged.json").read_text())
    (folder / "judged.json").write_text(json.dumps(judged | {"judged": {key: [1, 2] for key in judged["judged"]}}))


def of_another_detector(folder: Path) -> None:
    judged = json.loads((folder / "judged.json").read_text())
    wrong = {name: [[], [], [], "judged by another", None] for name in judged["judged"]}
    assert wrong
    (folder / "judged.json").write_text(json.dumps({"detector": "another", "judged": wrong}))


@pytest.mark.parametrize("break_it", [cut_short, half_written_on, without_tables, of_nothing, odd, of_another_detector])
def test_what_is_kept_may_be_broken(break_it: Callable[[Path], None], tmp_path: Path, fresh: Fresh) -> None:
    made = fresh(13)
    built(made, tmp_path)
    break_it(tmp_path / "kept")
    learned.add(made, 13)
    built(made, tmp_path)
    assert pages(tmp_path) == as_at_first(made, tmp_path / "first")


def test_a_commit_that_was_measured_again_or_is_gone(tmp_path: Path, fresh: Fresh) -> None:
    made = fresh(13)
    built(made, tmp_path)
    new = learned.add(made, 13)
    (of_old,) = made.store.runs.glob(f"*/{made.commits[4].hash}/*")
    lines = (of_old / "cases.jsonl").read_text().splitlines(keepends=True)
    (of_old / "cases.jsonl").write_text("".join(lines[1:]))
    built(made, tmp_path)
    assert pages(tmp_path) == as_at_first(made, tmp_path / "first")
    shutil.rmtree(new)
    shutil.rmtree(of_old)
    built(made, tmp_path)
    assert pages(tmp_path) == as_at_first(made, tmp_path / "second")


def test_pages_that_were_copied_are_those_of_today(tmp_path: Path, fresh: Fresh) -> None:
    """As on a file system without links."""
    made = fresh(13)
    built(made, tmp_path)
    shutil.copytree(tmp_path / "html", tmp_path / "copy")
    shutil.rmtree(tmp_path / "html")
    (tmp_path / "copy").rename(tmp_path / "html")
    learned.add(made, 13)
    built(made, tmp_path)
    assert pages(tmp_path) == as_at_first(made, tmp_path / "first")


def test_only_what_is_new_is_judged(tmp_path: Path, fresh: Fresh, monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[int] = []
    really = detector._judge_all

    def counted(parts: list[Given], known: detector.Known, spread: detector.Spread) -> list[Detection]:
        judged.append(sum(detector._name(part) not in known for part in parts))
        return really(parts, known, spread)

    monkeypatch.setattr(detector, "_judge_all", counted)
    made = fresh(13)
    built(made, tmp_path)
    assert sum(judged) >= 6
    judged.clear()
    first = pages(tmp_path)
    built(made, tmp_path)
    assert (sum(judged), pages(tmp_path)) == (0, first)


def test_pictures_are_drawn_anew_where_a_figure_or_the_run_is_another(tmp_path: Path, fresh: Fresh) -> None:
    made = fresh(1)
    plots = tmp_path / "plots"
    plots.mkdir()

    def names() -> dict[str, bytes]:
        build.write(Asked(made.store), tmp_path / "html", tmp_path / "kept", plots)
        return {path.name: path.read_bytes() for path in (tmp_path / "html" / "pictures").rglob("*.svg")}

    def figure(name: str, number: int) -> None:
        (plots / name).write_text(
            "from matplotlib.figure import Figure\n\n\ndef draw(run):\n    figure = Figure()\n"
            f"    figure.text(0.1, 0.{number}, run.header['created'] + str(run.lines[0].samples))\n    return figure\n"
        )

    figure("memory.py", 1)
    first = names()
    figure("memory.py", 2)
    figure("newfig.py", 3)
    second = names()
    assert set(second) == {"memory.svg", "newfig.svg"}
    assert second["memory.svg"] != first["memory.svg"]
    (plots / "newfig.py").unlink()
    assert names() == {"memory.svg": second["memory.svg"]}
    (path,) = made.store.runs.glob("*/*/*/cases.jsonl")
    line, *others = [json.loads(text) for text in path.read_text().splitlines()]
    line["samples"]["kernel"]["0"][0] *= 2
    path.write_text("".join(json.dumps(one) + "\n" for one in (line, *others)))
    assert names()["memory.svg"] != second["memory.svg"]
