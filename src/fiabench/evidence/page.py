"""docs/accuracy.md: the rows as a page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from fiabench.evidence.real import samples_of
from fiabench.evidence.rows import MISSED, Row
from fiabench.evidence.words import CHAPTERS

_WIDTH = 128


class Study(NamedTuple):
    """Everything that one call of the command found."""

    rows: list[Row]
    seeds: int
    rounds: int
    machine: str
    """In words."""
    commit: str
    seconds: float
    real_commit: str = ""
    """Where what is real was run anew, at another commit."""


def page(study: Study) -> str:
    """The page as Markdown."""
    rows = sorted(study.rows, key=lambda row: list(CHAPTERS).index(row.chapter))
    return "\n".join([*_head(study), *_chapters(rows), *_misses(rows)]) + "\n"


def _head(study: Study) -> Iterator[str]:
    yield "# How far the numbers can be trusted"
    yield ""
    yield from _wrapped(
        "Written by `python -m fiabench.evidence --write docs/accuracy.md`, which runs everything below: change the "
        "code, not this page. Rates come from the engine on the [simulated device](simulation.md), where the truth is "
        "planted, from real ranks over Gloo, and from bare series. All is simulated but what says CPU or real."
    )
    yield ""
    yield f"- seeds: {study.seeds:,} from 0 on to each kind of noise and comparison, half as many to sessions and a"
    yield "  slow rank, a fifth to 20 cases at once, a tenth to 100 and to delays"
    yield f"- on real ranks: {study.rounds} alternating pairs, {samples_of(study.rounds)} samples of an attention"
    yield f"- machine: {study.machine}; commit {study.commit}"
    yield f"- took: {study.seconds / 60:.1f} minutes"
    if study.real_commit:
        yield f"- what is real was run anew at commit {study.real_commit}"


def _chapters(rows: Iterable[Row]) -> Iterator[str]:
    for chapter, found in groupby(rows, lambda row: row.chapter):
        yield from ("", f"## {chapter}", "")
        yield from _wrapped(CHAPTERS[chapter])
        yield from ("", "| what | found | target | verdict |", "|---|---|---|---|")
        for row in found:
            yield f"| {row.what} | {row.found} | {row.target} | {row.verdict} |"


def _misses(rows: list[Row]) -> Iterator[str]:
    missed = [row for row in rows if row.verdict == MISSED]
    yield from ("", "## What misses its target", "")
    if not missed:
        yield "Nothing did in this run."
    for row in missed:
        why = row.why or "no reason is known"
        yield from _wrapped(f"- {row.what}: {row.found}, asked for {row.target}. Why: {why}.", "  ")


def read(text: str) -> Study:
    """The study that :func:`page` wrote; of its rows' reasons those that the page tells. Raises ValueError."""
    told = dict(re.findall(r"^- (.+?): \S+(?: \S+)?, asked for .+?\. Why: (.+)\.$", _unwrapped(text), re.MULTILINE))
    chapter, rows = "", []
    for line in text.splitlines():
        if line.startswith("## "):
            chapter = line.removeprefix("## ")
        elif line.startswith("| ") and not line.startswith("| what |"):
            what, found, target, _ = (cell.strip() for cell in line.strip("|").split("|"))
            rows.append(_row(chapter, what, found, target, told.get(what, "")))
    return Study(
        rows=rows,
        seeds=int(_fact(text, r"seeds: ([\d,]+)").replace(",", "")),
        rounds=int(_fact(text, r"on real ranks: (\d+)")),
        machine=_fact(text, r"machine: (.+);"),
        commit=_fact(text, r"commit (\w+)$"),
        seconds=60 * float(_fact(text, r"took: ([\d.]+)")),
    )


def _fact(text: str, pattern: str) -> str:
    found = re.search(rf"^- .*{pattern}", text, re.MULTILINE)
    if not found:
        raise ValueError(f"no page of the evidence: nothing in it is like {pattern!r}")
    return found.group(1)


def _row(chapter: str, what: str, found: str, target: str, why: str) -> Row:
    flagged = found.endswith(", flagged")
    value, _, unit = found.removesuffix(", flagged").partition(" ")
    bounds = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", target)]
    least = bounds[0] if bounds and not target.startswith("at most") else None
    most = bounds[-1] if bounds and not target.startswith("at least") else None
    unit = unit or target.rpartition(" ")[2]
    return Row(chapter, what, float("nan") if value == "none" else float(value), unit, least, most, flagged, why)


def _unwrapped(text: str) -> str:
    return re.sub(r"\n  (?=\S)", " ", text)


def _wrapped(text: str, indent: str = "") -> Iterator[str]:
    line = ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > _WIDTH:
            yield line
            line = indent + word
        else:
            line = f"{line} {word}" if line else word
    yield line
