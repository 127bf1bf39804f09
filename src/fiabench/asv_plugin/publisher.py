"""Puts a page that needs no internet in the place of asv's, which is moved beside it: `asv publish` runs this."""

from __future__ import annotations

import re
import subprocess
from collections import defaultdict
from datetime import datetime, timezone
from itertools import product
from math import isnan
from pathlib import Path
from typing import Any

from asv.publishing import OutputPublisher
from asv.results import Results, iter_results

from fiabench.asv_plugin.names import METRICS, MODULE, PREFIX
from fiabench.asv_plugin.page import Commit, Point, Section, Table, render

_NAME = re.compile(rf"{MODULE}\.World\d+_(?P<setting>\w+)\.{PREFIX}(?P<metric>\w+)")
_NOTICE = (
    "<p style='background:#fff3cd;color:#000;margin:0;padding:8px'>This is asv's own page. It loads its scripts from "
    "the internet and stays blank without; <a href='index.html'>index.html</a> needs none.</p>"
)
_REASON = 300
"""Characters of a reason that are shown."""


class Index(OutputPublisher):
    """The page index.html, from asv's results; reasons of failures from the run directories beside them."""

    name = None
    button_label = None
    description = "A page that needs no internet"

    @classmethod
    def publish(cls, conf: Any, repo: Any, benchmarks: Any, graphs: Any, revisions: dict[str, int]) -> None:
        folder = Path(conf.html_dir)
        _move_asvs(folder)
        found = [result for result in iter_results(conf.results_dir) if result.commit_hash in revisions]
        found.sort(key=lambda result: revisions[result.commit_hash])
        runs = Path(conf.results_dir).resolve().parent / "runs"
        page = render(conf.project, _commits(conf, found), _sections(found, runs))
        (folder / "index.html").write_text(page, encoding="utf-8")


def _move_asvs(folder: Path) -> None:
    """asv's page goes to asv.html, with a word of what it needs."""
    page = (folder / "index.html").read_text(encoding="utf-8")
    body = page.index("<body>") + len("<body>")
    (folder / "asv.html").write_text(page[:body] + _NOTICE + page[body:], encoding="utf-8")
    feed = folder / "regressions.xml"
    if feed.exists():
        feed.write_text(feed.read_text(encoding="utf-8").replace("index.html#", "asv.html#"), encoding="utf-8")


def _sections(results: list[Results], runs: Path) -> list[Section]:
    """``results`` are in the order of their commits."""
    from fiabench.asv_plugin.view import read_ran  # numpy and pydantic, which other asv commands need not load

    sections: dict[tuple[str, str, str], dict[str, Table]] = defaultdict(dict)
    for result in results:
        machine = result.params["machine"]
        variables = "".join(f", {name}={value}" for name, value in sorted(result.env_vars.items()))
        where = f"{machine}, Python {result.params['python']}{variables}"
        for name in result.get_all_result_keys():
            match = _NAME.fullmatch(name)
            if match is None:
                continue
            metric = match["metric"]
            tables = sections[machine, where, match["setting"]]
            table = tables.setdefault(metric, Table(metric, METRICS.get(metric, "seconds")))
            _add(table, result, name)
    order = list(METRICS)
    made = []
    ran = {machine: read_ran(runs / machine) for machine, _, _ in sections}
    for (machine, where, setting), tables in sorted(sections.items()):
        shown = sorted(
            tables.values(), key=lambda table: order.index(table.metric) if table.metric in order else len(order)
        )
        for table in shown:
            table.lines = dict(sorted(table.lines.items(), key=lambda item: _in_order(item[0])))
        made.append(Section(f"{setting} on {where}", [table for table in shown if table.lines], ran[machine]))
    return [section for section in made if section.tables]


def _in_order(case: tuple[str, str]) -> tuple[list[int], list[int]]:
    """Lengths and shards by the numbers in them."""
    return [int(number) for number in re.findall(r"\d+", case[0])], [
        int(number) for number in re.findall(r"\d+", case[1])
    ]


def _add(table: Table, result: Results, name: str) -> None:
    params = result.get_result_params(name)
    values = result.get_result_value(name, params)
    stats = result.get_result_stats(name, params)
    for case, value, stat in zip(product(*params), values, stats):
        if isinstance(value, float) and isnan(value):
            continue
        length, shard = (text.strip("'") for text in case)
        interval = (stat.get("ci_99_a"), stat.get("ci_99_b")) if stat else (None, None)
        low, high = (end if end is not None and abs(end) != float("inf") else None for end in interval)
        table.lines.setdefault((length, shard), []).append(Point(result.commit_hash, value, low, high))


def _commits(conf: Any, results: list[Results]) -> list[Commit]:
    runs = Path(conf.results_dir).resolve().parent / "runs"
    by_hash: dict[str, list[Results]] = defaultdict(list)
    for result in results:
        by_hash[result.commit_hash].append(result)
    subjects = _subjects(conf.repo, list(by_hash))
    made = []
    for commit, found in by_hash.items():
        date = datetime.fromtimestamp(found[0].date / 1000, timezone.utc)
        machines = {result.params["machine"] for result in found if _has_failed(result)}
        reasons = [reason for machine in sorted(machines) for reason in _reasons(runs / machine / commit)]
        made.append(Commit(commit, f"{date:%Y-%m-%d}", subjects.get(commit, ""), reasons))
    return made


def _has_failed(result: Results) -> bool:
    for name in result.get_all_result_keys():
        if _NAME.fullmatch(name) and None in result.get_result_value(name, result.get_result_params(name)):
            return True
    return False


def _reasons(folder: Path) -> list[str]:
    from fiabench.asv_plugin.view import read_reasons  # numpy and pydantic, which other asv commands need not load

    return [reason if len(reason) <= _REASON else f"{reason[:_REASON]}..." for reason in read_reasons(folder)]


def _subjects(repository: str, commits: list[str]) -> dict[str, str]:
    """The subjects of ``commits``; of a repository elsewhere, or for unknown commits, there are none."""
    command = [
        "git",
        "-C",
        str(repository),
        "log",
        "--no-walk=unsorted",
        "--format=%H %s",
        "--end-of-options",
        *commits,
    ]
    done = subprocess.run(command, capture_output=True, text=True) if commits and Path(repository).is_dir() else None
    lines = done.stdout.splitlines() if done is not None and done.returncode == 0 else []
    return {line[:40]: line[41:] for line in lines}
