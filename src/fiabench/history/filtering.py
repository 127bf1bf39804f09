"""Filters of cases over runs that may be of several sweeps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fiabench.cases.filters import Filter, parse_filters
from fiabench.results.rundir import Run


def filter_for(runs: Iterable[Run], texts: Sequence[str]) -> Filter:
    """The cases that ``texts`` (`field=value,...`) let pass, with every project and variable that the runs know."""
    projects: dict[str, None] = {}
    variables: dict[str, list[str]] = {}
    for run in runs:
        sweep = run.header["sweep"]
        projects |= dict.fromkeys(sweep.get("projects", {}))
        for name, values in sweep.get("variables", {}).items():
            variables.setdefault(name, []).extend(values)
    return parse_filters(texts, projects, variables)
