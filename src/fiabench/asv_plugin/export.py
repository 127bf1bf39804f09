"""asv's result files from run directories, which hold the truth.

Values of benchmarks that are not from sweeps are left as they are, and so are values whose run directory is gone.
"""

from __future__ import annotations

import math
import subprocess
from collections.abc import Iterable
from datetime import datetime, timezone
from itertools import product
from pathlib import Path
from typing import Any

from asv import util
from asv.benchmarks import Benchmarks
from asv.environment import get_env_name
from asv.machine import Machine
from asv.results import Results
from asv.runner import BenchmarkResult

from fiabench.asv_plugin.keeping import read_benchmarks, read_json
from fiabench.asv_plugin.names import ENVIRONMENT, METRICS, MODULE, PARAMETERS, PREFIX, VERSION, benchmark
from fiabench.asv_plugin.view import Cell, View, Views, read_views
from fiabench.cases.errors import InputError

_TIMEOUT = 60.0
_OURS = f"{MODULE}.World"


def rebuild(runs: Path, results: Path, repository: Path) -> list[str]:
    """Writes asv's ``results`` from all of ``runs/<machine>/<commit>/<time>/``; gives what was passed over, in words.

    ``repository`` is the git repository of the commits, for their dates. Every machine in ``runs`` becomes one of
    asv's.
    Raises InputError where a folder is missing or a file cannot be read or written.
    """
    if not runs.is_dir():
        raise InputError.plain(f"{runs}: found no folder; allowed: one with <machine>/<commit>/<time>/ in it")
    known, passed_over = read_benchmarks(results / "benchmarks.json"), []
    definitions = _ours(known)
    for machine in sorted(path for path in runs.iterdir() if path.is_dir()):
        for commit in sorted(path for path in machine.iterdir() if path.is_dir()):
            views, unreadable = read_views(commit)
            passed_over += unreadable
            if not views:
                continue
            date = _date(repository, commit.name)
            if date is None:
                passed_over.append(f"{commit}: {repository} has no such commit")
                continue
            _write_commit(results, machine.name, commit.name, date, views, definitions, truth_wins=True)
    _write_benchmarks(results, known, definitions)
    return passed_over


def complete(
    runs: Path, results: Path, repository: Path, commits: Iterable[str], before: dict[str, Any], quick: bool
) -> None:
    """Puts back what asv overwrote of ``commits``; what asv has just stored stays, unless it was only a ``quick`` look.

    ``runs`` holds the run directories of asv's machine, ``before`` the benchmarks that asv knew before it ran. Raises
    InputError where a file cannot be read or written.
    """
    known = read_benchmarks(results / "benchmarks.json")
    definitions = _ours(known)
    for name, definition in _ours(before).items():
        there = definitions.setdefault(name, definition)
        definitions[name] = there | {"params": _union(there["params"], definition["params"])}
    for commit in commits:
        views, _ = read_views(runs / commit)
        date = _date(repository, commit)
        if views and date is not None:
            _write_commit(results, runs.name, commit, date, views, definitions, truth_wins=quick)
    _write_benchmarks(results, known, definitions)


def _write_commit(
    results: Path,
    machine: str,
    commit: str,
    date: int,
    views: Views,
    definitions: dict[str, dict[str, Any]],
    truth_wins: bool,
) -> None:
    """Brings ``views`` into the commit's files, a file for each environment, and what they hold into ``definitions``.

    Where the file has a value too, it stays unless ``truth_wins``.
    """
    for view in views.values():
        name = view.environment or get_env_name(ENVIRONMENT, view.python, {}, {})
        try:
            params = _machine(results, machine, view) | {"python": view.python}
            stored = Results(params, {}, commit, date, view.python, name, view.variables)
            stored.load_data(str(results))
            changed = False
            for group, metric in product(view.groups, METRICS):
                cells = {at: cell for at, cell in view.groups[group].items() if metric in cell.handed}
                if cells:
                    definition = _definition(benchmark(group, metric), metric, view, group, stored, definitions)
                    changed |= _merge(stored, definition, metric, cells, truth_wins)
            if changed:
                stored.save(str(results))
        except (OSError, util.UserError) as error:
            raise InputError.plain(f"{results / machine}: {commit}: {error}") from error


def _merge(
    stored: Results, definition: dict[str, Any], metric: str, cells: dict[tuple[str, str], Cell], truth_wins: bool
) -> bool:
    """Takes into ``stored`` what it lacks of one benchmark; says whether it was anything."""
    name = definition["name"]
    known = name in stored.get_all_result_keys() and stored.benchmark_version.get(name) in (None, VERSION)
    places = list(product(*definition["params"]))
    old: list[Any] = stored.get_result_value(name, definition["params"]) if known else [None] * len(places)
    there = set(product(*stored.get_result_params(name))) if known else set()
    result, samples, number, taken = [], [], [], set()
    for index, at in enumerate(places):
        cell = cells.get(at)
        value = math.nan if cell is None else cell.handed[metric]
        if _is_better(cell, metric, old[index], at in there, truth_wins):
            taken.add(index)
        is_list = isinstance(value, list)
        result.append(True if is_list else value)
        samples.append(value if is_list else None)
        number.append(1 if is_list and index in taken else None)  # of what is not taken asv keeps its own
    if known and not taken and there == set(places):
        return False
    keeps_samples = known and any(found is not None for found in stored.get_result_samples(name, definition["params"]))
    started = stored.started_at.get(name)
    answer = BenchmarkResult(result, samples, number, 0, "", None)
    stored.add_result(
        definition,
        answer,
        started_at=datetime.fromtimestamp(started / 1000, timezone.utc) if started else datetime.now(timezone.utc),
        duration=stored.duration.get(name),
        record_samples=keeps_samples,
        selected_idx=taken,
    )
    return True


def _is_better(cell: Cell | None, metric: str, old: Any, there: bool, truth_wins: bool) -> bool:
    """Whether the run directories' word of a case is taken; ``there`` says whether asv's file has one, ``old``."""
    if cell is None or not there:
        return not there
    if isinstance(old, float | int) and not math.isnan(old):
        return truth_wins and cell.measured
    value = cell.handed[metric]
    if isinstance(value, float) and math.isnan(value):
        return old is None and not cell.failed
    return value is not None or old is not None


def _definition(
    name: str, metric: str, view: View, group: str, stored: Results, definitions: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """asv's description of a benchmark, kept in ``definitions``: with the parameters of the view, of the file, and of
    all that asv knows, since it shows as failed what a file does not mention."""
    here = [[at[axis] for at in view.groups[group]] for axis in range(len(PARAMETERS))]
    params = stored.get_result_params(name) if name in stored.get_all_result_keys() else [[], []]
    known = definitions.get(name) or describe(name, metric)
    definitions[name] = known | {"params": _union(known["params"], params, here)}
    return definitions[name]


def describe(name: str, metric: str) -> dict[str, Any]:
    """As asv's discovery describes a benchmark, without parameters."""
    return {
        "code": f"{PREFIX}{metric}: of each case of {name.split('.')[1]}",
        "name": name,
        "param_names": PARAMETERS,
        "params": [[] for _ in PARAMETERS],
        "rounds": 1,
        "setup_cache_key": name.rpartition(".")[0],
        "timeout": _TIMEOUT,
        "type": "track",
        "unit": METRICS[metric],
        "version": VERSION,
    }


def _union(*lists: list[list[str]]) -> list[list[str]]:
    """The parameters of all, axis by axis, in the order of the first that has them."""
    return [list(dict.fromkeys(value for values in axis for value in values)) for axis in zip(*lists)]


def _ours(known: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Of the benchmarks that asv knows those from sweeps."""
    return {name: definition for name, definition in known.items() if name.startswith(_OURS)}


def _write_benchmarks(results: Path, known: dict[str, Any], definitions: dict[str, dict[str, Any]]) -> None:
    """Adds ``definitions`` to the ``known`` ones in `benchmarks.json`: asv shows no other."""
    if known | definitions != known:
        util.write_json(str(results / "benchmarks.json"), known | definitions, Benchmarks.api_version)


def _machine(results: Path, machine: str, view: View) -> dict[str, Any]:
    """asv's description of a machine; made from the fingerprint of a run where asv does not know it."""
    path = results / machine / "machine.json"
    known = read_json(path, Machine.api_version)
    if known is None:
        known = {"machine": machine, **view.box}
        path.parent.mkdir(parents=True, exist_ok=True)
        util.write_json(str(path), known, Machine.api_version)
    return known


def _date(repository: Path, commit: str) -> int | None:
    """When ``commit`` was committed, in the milliseconds since 1970 of asv; None where it is unknown."""
    command = ["git", "-C", str(repository), "show", "-s", "--format=%ct", f"{commit}^{{commit}}", "--"]
    done = subprocess.run(command, capture_output=True, text=True)
    return None if done.returncode else int(done.stdout) * 1000
