"""`--project`: where the outside projects of a sweep lie."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from fiabench.cases.errors import InputError, nearest
from fiabench.cases.sweep import Sweep


def place(sweep: Sweep, texts: Iterable[str]) -> Sweep:
    """The sweep with the paths that ``texts`` give its projects: `NAME=PATH`, or `PATH` for all that have none yet.

    Raises InputError where a project or a folder is unknown.
    """
    projects = dict(sweep.projects)
    for text in texts:
        name, equals, folder = text.partition("=")
        if not equals:
            name, folder = "", text
        path = Path(folder).resolve()
        if not projects:
            raise InputError.plain(f"--project {text}: found a project, but {sweep.name} has none")
        if name and name not in projects:
            known = list(projects)
            hint = nearest(name, known)
            raise InputError.plain(
                f"--project {text}: found {name!r}; allowed: {', '.join(known)}{f' ({hint})' if hint else ''}"
            )
        if not path.is_dir():
            raise InputError.plain(f"--project {text}: found no folder {path}; give the one that its packages are in")
        for chosen in [name] if name else [key for key, project in projects.items() if not project.path]:
            projects[chosen] = projects[chosen]._replace(path=str(path))
    return replace(sweep, projects=projects)
