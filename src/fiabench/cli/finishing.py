"""The end of a run: its tables, its figures, its exit code."""

from __future__ import annotations

from rich.console import Console

from fiabench.cli.checkout import ROOT
from fiabench.cli.ending import FOUND, OK, SOME_FAILED
from fiabench.cli.table import console, print_run
from fiabench.results.claims import BROKEN, verdicts
from fiabench.results.rundir import Run


def finish(run: Run, notes: Console, as_json: bool, figures: bool) -> int:
    """Shows what ``run`` came to, tables unless its lines went out ``as_json``; returns its exit code."""
    if not as_json:
        print_run(console(), run)
    if figures:
        draw(notes, run)
    notes.print(f"run directory: {run.path}", soft_wrap=True)
    return exit_code(run)


def exit_code(run: Run) -> int:
    """What a command that measured ``run`` ends with."""
    if any(measurement.failed for measurement in run.measurements):
        return SOME_FAILED
    return FOUND if any(verdict.verdict == BROKEN for verdict in verdicts(run)) else OK


def draw(out: Console, run: Run) -> None:
    """Draws every figure of `plots/` into the run's directory."""
    from fiabench.figures import draw_all  # matplotlib takes half a second that no other command should pay

    folder = run.path / "figures"
    with out.status("drawing the figures"):
        drawings = draw_all(run, ROOT / "plots", folder)
    if names := [drawn.name for drawn in drawings if drawn.paths]:
        out.print(f"figures: {', '.join(names)} in {folder}", soft_wrap=True, markup=False)
    for drawn in drawings:
        if not drawn.paths:
            out.print(
                f"{drawn.name}: {drawn.reason}", style="red" if drawn.failed else "dim", soft_wrap=True, markup=False
            )
