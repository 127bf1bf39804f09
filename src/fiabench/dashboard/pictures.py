"""The figures of `plots/` on the page: drawn by the functions that draw the files, so that a slide and a page agree."""

from __future__ import annotations

import json
from pathlib import Path

from fiabench import figures, results
from fiabench.cases.errors import InputError
from fiabench.dashboard import digest as digests
from fiabench.dashboard.keeping import mark_of_sources
from fiabench.dashboard.markup import text
from fiabench.dashboard.model import Model
from fiabench.dashboard.script import key_of
from fiabench.figures.drawing import Drawn, draw_all
from fiabench.results.rundir import Run

_DRAWN = "drawn.json"


def newest_runs(model: Model) -> dict[str, Run]:
    """By machine what was measured at its newest commit, with samples, as one run; asv measures each world size in a
    run of its own. Of runs on several stacks the newest one's alone count."""
    found: dict[str, Run] = {}
    for machine, attempts in model.newest.items():
        runs = []
        for attempt in attempts:
            try:
                runs.append(digests.read(attempt.path, {})[0])
            except InputError:
                continue  # it has a notice already, or was removed just now
        lines = {}
        for run in runs:
            if run.environment == runs[-1].environment:
                for line in run.measurements:
                    lines[line.id] = line
        if lines:
            found[machine] = Run(runs[-1].path, runs[-1].header, list(lines.values()))
    return found


def draw(runs: dict[str, Run], plots: Path, folder: Path) -> dict[str, list[Drawn]]:
    """Draws what is not drawn yet of ``runs`` by these figures into ``folder``, as SVG; returns by machine what became
    of each."""
    made = {}
    drawing = mark_of_sources(plots, Path(figures.__path__[0]), Path(results.__path__[0]))
    for machine, run in runs.items():
        key = key_of(drawing, machine, str(run.header), *(str(line) for line in run.lines))
        target = folder / key
        made[machine] = _known(target) or _draw(run, plots, target)
    for old in folder.glob("*"):
        if old.name not in {path.parent.name for drawn in made.values() for one in drawn for path in one.paths}:
            _remove(old)
    return made


def _draw(run: Run, plots: Path, target: Path) -> list[Drawn]:
    drawn = draw_all(run, plots, target, ("svg",))
    if target.is_dir():
        content = [[one.name, one.reason, one.failed] for one in drawn]
        (target / _DRAWN).write_text(json.dumps(content), encoding="utf-8")
    return drawn


def _known(target: Path) -> list[Drawn]:
    try:
        content = json.loads((target / _DRAWN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [Drawn(name, [] if reason else [target / f"{name}.svg"], reason, failed) for name, reason, failed in content]


def _remove(folder: Path) -> None:
    for path in folder.glob("*"):
        path.unlink()
    folder.rmdir()


def section(runs: dict[str, Run], drawn: dict[str, list[Drawn]]) -> str:
    """The section of the pictures; what there is nothing to draw for says why."""
    body = ""
    for machine, found in drawn.items():
        body += f"<h3>{text(machine)}, {text(runs[machine].header['created'][:16].replace('T', ' '))}</h3>"
        for one in found:
            for path in one.paths:
                address = f"pictures/{path.parent.name}/{path.name}"
                alt = f"{one.name} on {machine}: the numbers are in the tables and the CSV files of this page"
                body += (
                    f'<figure><img loading="lazy" src="{text(address)}" alt="{text(alt)}">'
                    f'<figcaption>{text(one.name)} · <a href="{text(address)}">SVG</a></figcaption></figure>'
                )
        left = [f"{one.name}: {one.reason}" for one in found if not one.paths]
        if left:
            items = "".join(f"<li>{text(said)}</li>" for said in left)
            body += f"<details><summary>not drawn</summary><ul>{items}</ul></details>"
    if not body:
        body = "<p>No pictures were drawn.</p>"
    return f'<section id="pictures"><h2>Pictures</h2>{body}</section>'
