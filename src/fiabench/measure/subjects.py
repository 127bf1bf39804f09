"""What a case measures by its name: an operator of :mod:`fiabench.ops`, or an outside project of the sweep."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from fiabench import ops
from fiabench.cases.case import Case
from fiabench.projects.exchanges import OutsideExchange, load_exchange

Projects = dict[str, dict[str, str]]
"""Name to `adapter`, `path` and `target`, as the sweep resolved them."""

_ATTENTION_MODULES = {"sglang_ascend_fa": "sglang_attention", "any_callable": "any_callable"}


class _OutsideOperator(NamedTuple):
    """An adapter with the path that it needs, as an operator like those of :mod:`fiabench.ops`."""

    name: str
    adapter: Any
    path: str
    target: str

    @property
    def ABOUT(self) -> str:
        about: str = self.adapter.ABOUT
        return about

    @property
    def _place(self) -> tuple[Any, ...]:
        return (Path(self.path), self.target) if self.target else (Path(self.path),)

    def unsupported(self, case: Case, device: str) -> str | None:
        return _no_path(self.name, self.path) or self.adapter.unsupported(case, device)

    def emulated(self, device: str) -> bool:
        return bool(self.adapter.emulated(device))

    def prepare(self, case: Case, query: Tensor, key: Tensor, value: Tensor) -> Callable[[], Tensor]:
        launch: Callable[[], Tensor] = self.adapter.prepare(case, query, key, value, *self._place)
        return launch

    def provenance(self) -> dict[str, Any]:
        found: dict[str, Any] = self.adapter.provenance(*self._place)
        return found


def operator(name: str, projects: Projects) -> ops.Operator:
    """The operator of that name. Raises ValueError where there is none."""
    if name not in projects:
        return ops.load(name)
    return _outside(name, projects[name])


def _outside(name: str, project: dict[str, str]) -> _OutsideOperator:
    adapter = import_module(f"fiabench.projects.{_ATTENTION_MODULES[project['adapter']]}")
    return _OutsideOperator(name, adapter, project["path"], project["target"])


def outside_exchange(project: dict[str, str]) -> OutsideExchange:
    """A project's exchange, loaded. Raises ProjectError where it cannot be."""
    return load_exchange(project["target"] or project["adapter"], Path(project["path"]))


def unsupported(case: Case, device: str, projects: Projects) -> str | None:
    """Why this rank cannot measure the case, as far as that is known before anything runs."""
    if case.exchange in projects and (reason := _no_path(case.exchange, projects[case.exchange]["path"])):
        return reason
    if case.measure == "exchange":
        return None
    for name in (case.op, case.against):
        if name != "none":
            reason = operator(name, projects).unsupported(case._replace(op=name, against="none"), device)
            if reason:
                return reason if name == case.op else f"{name}: {reason}"
    return None


def provenance(case: Case, projects: Projects) -> dict[str, Any]:
    """Project to where the code that ran came from (see :func:`fiabench.projects.origin.provenance`).

    Raises ProjectError where it cannot be loaded.
    """
    found = {name: _outside(name, projects[name]).provenance() for name in (case.op, case.against) if name in projects}
    if case.exchange in projects:
        project = projects[case.exchange]
        found[case.exchange] = outside_exchange(project).provenance(Path(project["path"]))
    return found


def _no_path(name: str, path: str) -> str | None:
    return None if path else f"where {name} lies was not said: give --project {name}=PATH"
