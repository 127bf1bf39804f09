"""Tables on the terminal, and as plain text into a pipe."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fiabench.results import cells, claims, pivot
from fiabench.results.environment import said_of, stood_in
from fiabench.results.measurement import FAILED, Measurement
from fiabench.results.rundir import Run

_PLAIN_WIDTH = 200
"""Columns assumed where the output is no terminal: nothing is cut off or wrapped for a reader that can scroll."""

_VERDICTS = {claims.HOLDS: "green", claims.BROKEN: "bold red", claims.UNDECIDED: "yellow"}


def console(stderr: bool = False) -> Console:
    """A console that knows whether it writes to a terminal; elsewhere it is wide and without colours."""
    made = Console(stderr=stderr, highlight=False)
    return made if made.is_terminal else Console(stderr=stderr, highlight=False, width=_PLAIN_WIDTH)


def print_run(out: Console, run: Run) -> None:
    """The closing tables of a run: what it ran on, each section, what the marks mean, what went wrong."""
    out.print(Text(headline(run), style="bold"))
    for section in pivot.sections(run.measurements):
        out.print(Text(section.title, style="italic"))
        for table in section_tables(section, out.width, plain=not out.is_terminal):
            out.print(table)
    for line in cells.legend(run.measurements):
        out.print(Text(line, style="dim"))
    for line in cells.cross_checks(run.measurements):
        out.print(Text(line, style="dim"))
    for line in (*cells.notes(run.measurements), *cells.reasons(run.measurements)):
        out.print(Text(line, style="yellow"))
    for claim, verdict, because in claims.verdicts(run):
        out.print(Text(f"claim {verdict}: {claim} {because}", style=_VERDICTS[verdict]))


def headline(run: Run) -> str:
    """`quick on CPU (...): emulated operator, not NPU figures`."""
    return f"{run.header['sweep']['name']} {said_of(run.environment, stood_in(run.measurements))}"


def section_tables(section: pivot.Section, width: int, plain: bool) -> Iterator[Table]:
    """The section as a table, or where its columns do not fit ``width`` characters as several, one below the other."""
    texts = [[_cell(found) for found in row] for _, row in section.rows]
    titles = ["\n".join(column) for column in section.columns]
    rows = ["\n".join(title) for title, _ in section.rows]
    label_width = _width([section.row_label, *rows])
    room, start = width - label_width - 1, 0
    while start < len(titles):
        end, used = start, 0
        while end < len(titles):
            used += _width([titles[end], *(row[end].plain for row in texts)])
            if used > room and end > start:
                break
            end += 1
        table = Table(box=box.ASCII if plain else box.ROUNDED, show_lines=True)
        table.add_column(section.row_label, justify="right", no_wrap=True)
        for title in titles[start:end]:
            table.add_column(title)
        for row_title, row in zip(rows, texts, strict=True):
            if any(row[start:end]):
                table.add_row(row_title, *row[start:end])
        yield table
        start = end


def _width(texts: list[str]) -> int:
    """Of a column that holds ``texts``, with the spaces and the line beside it."""
    return max(cell_len(line) for text in texts for line in text.split("\n")) + 3


def _cell(measurements: list[Measurement]) -> Text:
    text = Text()
    for measurement in measurements:
        for index, line in enumerate(cells.cell(measurement)):
            style = "bold" if index == 0 else ""
            if not measurement.measured:
                style = "bold red" if measurement.status in FAILED else "dim"
            text.append(("\n" if text else "") + line, style)
    return text
