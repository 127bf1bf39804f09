"""Makes the pages: reads what is new, judges all, writes the files."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from fiabench.cases.errors import InputError
from fiabench.dashboard import casefiles, casepages, changes, events, latest, pictures
from fiabench.dashboard.events import Event
from fiabench.dashboard.keeping import Keeper, Progress
from fiabench.dashboard.markup import page, text
from fiabench.dashboard.model import Asked, Model, build, facts, kept
from fiabench.dashboard.script import key_of, take
from fiabench.dashboard.tables import Tables, Written
from fiabench.history.on_cores import on_every_core, ranges
from fiabench.history.series import Series
from fiabench.results import cells
from fiabench.results.metrics import METRICS
from fiabench.results.rundir import Run

KEPT = "dashboard"
"""The folder in the history's that keeps what was read."""
STATIC = (
    "uPlot.min.js", "uPlot.min.css", "uPlot.LICENSE", "dashboard.css", "core.js", "heat.js", "history.js", "case.js",
    "start.js",
)  # fmt: skip
SCRIPTS = tuple(f"static/{name}" for name in STATIC if name.endswith(".js") and name != "start.js")
_MOST_NOTICES = 100
_CASES_TOGETHER = 16
"""Cases that one process writes at a time."""


@dataclass
class Built:
    """What came of it."""

    index: Path
    model: Model
    verdict: events.Verdict
    read: int
    """Run directories that had to be read."""
    written: list[str]
    """The files, relative to the folder."""


def write(
    asked: Asked,
    out: Path,
    keep: Path,
    plots: Path,
    figures: bool = True,
    each: Progress = lambda what, done, total: None,
) -> Built:
    """Writes the pages of ``asked`` into ``out``.

    ``keep`` is where what was read is kept; ``plots`` has the figures, which are drawn unless ``figures`` says not to;
    ``each`` hears how far it is. Raises InputError where a folder cannot be written.
    """
    collects = gc.isenabled()
    gc.disable()  # a million measurements are in no cycle, and looking for some takes a quarter of the time
    try:
        return _write(asked, out, keep, plots, figures, each)
    except OSError as error:
        raise InputError.plain(f"{error.filename or out}: cannot be written ({error.strerror})") from error
    finally:
        if collects:
            gc.enable()


def _write(asked: Asked, out: Path, keep: Path, plots: Path, figures: bool, each: Progress) -> Built:
    keeper = Keeper(keep)
    model = build(asked, keeper, each)
    keeper.close()
    found = events.events(model)
    of_series = events.states(model, found)
    verdict = events.verdict(model, found, of_series)
    runs = pictures.newest_runs(model)
    site = _Site(out)
    drawn = pictures.draw(runs, plots, keep / "pictures") if figures else {}
    for one in (one for of_machine in drawn.values() for one in of_machine):
        for path in one.paths:
            site.link(f"pictures/{path.parent.name}/{path.name}", path, grows=True)
    _cases(site, model, found, Tables(keep / "tables"), each)
    for key in keeper.keys:
        for path in keeper.samples(key).iterdir():
            site.link(f"samples/{key}/{path.name}", path)
    phases, phases_csv = latest.phases(model, runs)
    throughput, throughput_csv = latest.throughput(model, runs)
    boxes, boxes_csv = latest.environments(model)
    tables = {
        "changes": changes.table_csv(model, found), "latest": latest.latest_csv(model), "phases": phases_csv,
        "throughput": throughput_csv, "environments": boxes_csv,
    }  # fmt: skip
    for name, content in tables.items():
        site.write(f"csv/{name}.csv", content)
    shipped = files(__package__) / "static"
    for name in STATIC:
        site.write(f"static/{name}", (shipped / name).read_text("utf-8"))
    site.write("data/index.js", take("data/index", _index(model, of_series)))
    sections = (
        changes.section(model, found), latest.heat_map(model, "total"), phases, throughput,
        _histories(model, of_series),
        '<section id="case" hidden><h2>Case</h2><div id="case-body"></div></section>', boxes,
        pictures.section(runs, drawn), _notices(model),
    )  # fmt: skip
    beside = _ASVS if (out / "asv.html").exists() else ""
    site.write("index.html", _page(model, verdict, sections, beside))
    site.finish()
    return Built(out / "index.html", model, verdict, len(keeper.read_now), site.written)


class _Site:
    """The folder that is written; what an earlier build left in its folders and this one does not have is removed.

    Raises InputError for one that has such folders and was never built into: they are somebody's.
    """

    _OWN = ("cases", "csv", "data", "pictures", "samples", "static")
    _MARK = "data/index.js"

    def __init__(self, out: Path) -> None:
        self.out = out
        self.written: list[str] = []
        asvs = (out / "asv.html").exists()  # then index.html is asv's, and its plugin has moved what it was
        theirs = [name for name in (*self._OWN, *(() if asvs else ("index.html",))) if (out / name).exists()]
        if theirs and not (out / self._MARK).exists():
            raise InputError.plain(
                f"{out}: holds {', '.join(theirs)} that no dashboard wrote; allowed: an empty or new folder, or pages"
            )
        (out / self._MARK).parent.mkdir(parents=True, exist_ok=True)
        (out / self._MARK).touch()
        for name in self._OWN:
            (out / name).mkdir(parents=True, exist_ok=True)

    def write(self, name: str, content: str) -> None:
        self.put(name, content)
        self.written.append(name)

    def put(self, name: str, content: str) -> None:
        """Writes the file without taking note of it, as another process may do."""
        (self.out / name).write_text(content, encoding="utf-8", errors="backslashreplace")

    def link(self, name: str, source: Path, grows: bool = False) -> None:
        """Puts a file that is kept in its place, without a copy where the file system can; ``grows`` is whether one
        that is there may be an old copy."""
        target = self.out / name
        self.written.append(name)
        if target.exists():
            if not grows or target.samefile(source):
                return
            target.unlink()
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)

    def finish(self) -> None:
        there = set(self.written)
        folders = {name.rsplit("/", 1)[0] for name in there}
        for own in self._OWN:
            for path in sorted((self.out / own).rglob("*"), reverse=True):
                name = path.relative_to(self.out).as_posix()
                if path.is_dir() and name not in folders:
                    path.rmdir()
                elif not path.is_dir() and name not in there:
                    path.unlink()


def _cases(site: _Site, model: Model, found: Sequence[Event], tables: Tables, each: Progress) -> None:
    of_series = events.by_series(found)

    def some(numbers: range) -> dict[str, Written]:
        """The tables of some cases, by the names of the cases."""
        written = {}
        for series in model.series[numbers.start : numbers.stop]:
            history, own, name = casefiles.History(series), of_series.get(id(series), []), casefiles.name_of(series)
            site.put(f"cases/{name}.js", casefiles.script(model, history, own))
            site.put(f"cases/{name}.html", casepages.case_page(model, history, own))
            written[name] = tables.write(history)
        return written

    parts = ranges(len(model.series), _CASES_TOGETHER)
    all_written: dict[str, Written] = {}
    for numbers, written in zip(parts, on_every_core(some, parts)):
        all_written |= written
        each("writing cases", numbers.stop, len(model.series))
    for name in all_written:
        site.written += [f"cases/{name}.js", f"cases/{name}.html"]
        site.link(f"cases/{name}.csv", tables.path(name), grows=True)
    tables.close(all_written)


def _index(model: Model, of_series: dict[int, str]) -> dict[str, Any]:
    """What the first view needs beside the page itself."""
    places = model.places
    machines = {name: place for place, name in enumerate(model.machines)}
    variants = latest.variants(model)
    runs: dict[str, dict[str, list[str]]] = {}
    for attempt in model.attempts:
        key = _key(attempt.run)
        if key and attempt.machine in machines and attempt.commit in places:
            of_machine = runs.setdefault(str(machines[attempt.machine]), {})
            of_machine.setdefault(str(places[attempt.commit]), []).append(key)
    return {
        "project": model.name,
        "link": model.link,
        "metrics": {name: metric._asdict() for name, metric in METRICS.items()},
        "commits": [
            [commit.hash, commit.date, commit.subject, name] for commit, name in zip(model.commits, model.names)
        ],
        "machines": [{"name": name, "ran": _ran(model, name)} for name in machines],
        "runs": runs,
        "cases": [_case(model, series, machines, variants, of_series[id(series)]) for series in model.series],
    }


def _case(
    model: Model, series: Series, machines: dict[str, int], variants: dict[str, str], state: str
) -> dict[str, Any]:
    newest = model.at_newest(series)
    found = kept(newest) if newest else None
    values = {}
    if found is not None and found.measured:
        for name, entry in found.metrics.items():
            values[name] = float(f"{entry['value']:.7g}")
    return {
        "key": casefiles.name_of(series),
        "case": key_of(series.id),
        "machine": machines[series.machine],
        "label": model.labels[series.id],
        "variant": variants[series.id],
        "state": state,
        "status": newest.status if newest else events.NOT_MEASURED,
        "marks": cells.marks(found) if found else "",
        "values": values,
        **facts(series.case, model.lengths),
    }


def _key(run: Run | None) -> str:
    line = next(iter(run.lines), None) if run else None
    return str(getattr(line, "run", ""))


def _ran(model: Model, machine: str) -> list[str]:
    return list(dict.fromkeys(said for series in model.series if series.machine == machine for said in series.ran))


def _histories(model: Model, of_series: dict[int, str]) -> str:
    """All cases, each a link to its history."""
    items = "".join(
        f'<li{latest.attributes(model, series)}><span class="state is-{of_series[id(series)].replace(" ", "-")}">'
        f"{changes.SIGNS[of_series[id(series)]]} {text(of_series[id(series)])}</span> "
        f"{changes.case_link(model, series.machine, series.id, casefiles.name_of(series))}</li>"
        for series in model.series
    )
    return (
        '<section id="history"><h2>Histories</h2><p>Each case over the commits: the median with its interval, change '
        "points, failed commits, and where the stack changed.</p>"
        f'<form id="history-controls" hidden></form><ul class="cases">{items}</ul></section>'
    )


def _notices(model: Model) -> str:
    if not model.notices:
        return '<section id="notices"><h2>Notices</h2><p>Everything that was there could be read.</p></section>'
    items = "".join(f"<li>{text(notice)}</li>" for notice in model.notices[:_MOST_NOTICES])
    more = len(model.notices) - _MOST_NOTICES
    left = f"<p>{more} more are not listed.</p>" if more > 0 else ""
    return (
        f'<section id="notices"><h2>Notices ({len(model.notices)})</h2><p>Passed over while reading:</p>'
        f"<ul>{items}</ul>{left}</section>"
    )


def _page(model: Model, verdict: events.Verdict, sections: Sequence[str], beside: str) -> str:
    ran = "".join(
        f'<p class="ran"><strong>{text(machine)}</strong>: {text(said)}</p>'
        for machine in model.machines
        for said in _ran(model, machine)
    )
    count = f"{len(model.notices)} notice{'' if len(model.notices) == 1 else 's'}"
    noticed = f'<p class="noticed"><a href="#notices" data-view="notices">{count}</a></p>' if model.notices else ""
    body = "".join(sections) if model.series else _EMPTY + _notices(model)
    scripts = ("data/index.js", "static/start.js") if model.series else ()
    head = (
        f'<a class="skip" href="#main">to the content</a><header><h1>{text(model.name)}: performance</h1>{ran}{noticed}'
        f'{changes.verdict_line(model, verdict)}<nav aria-label="views">{_NAVIGATION if model.series else ""}</nav>'
        '<form id="filters" aria-label="filters" hidden></form></header>'
    )
    return page(
        f"{model.name}: performance",
        f'{head}<main id="main" tabindex="-1">{body}</main>{beside}',
        scripts=(*SCRIPTS, *scripts) if scripts else (),
    )


_VIEWS = (
    ("changes", "Changes"), ("heat", "Heat map"), ("phases", "Phases"), ("throughput", "Throughput"),
    ("history", "Histories"), ("environments", "Environments"), ("pictures", "Pictures"), ("notices", "Notices"),
)  # fmt: skip
_NAVIGATION = "".join(f'<a href="#{name}" data-view="{name}">{label}</a>' for name, label in _VIEWS)
_ASVS = (
    '<footer><p>asv\'s own pages are in <a href="asv.html">asv.html</a>: they need the internet, from which asv loads '
    "its scripts.</p></footer>"
)
_EMPTY = """<section><h2>No results yet</h2>
<p>This page shows a history, and there is none. Measure one:</p>
<pre>python tools/history.py run --range HEAD~20..HEAD</pre>
<p>or bring in what was measured on another box:</p>
<pre>python tools/history.py import DIR --machine NAME</pre>
<p>or show run directories as they are, and build this page again:</p>
<pre>python tools/dashboard.py build --runs DIR</pre></section>"""
