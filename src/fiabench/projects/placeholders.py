"""Placeholders for packages that a project imports and that what is measured of it does not use."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from fiabench.projects.errors import ProjectError


class _NotInstalled:
    """Base of what a placeholder gives for any name: good for an annotation or a base class, not for a call."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        name = f"{type(self).__module__}.{type(self).__qualname__}"
        top = name.partition(".")[0]
        raise ProjectError(f"{name} was called and {top} is not installed; install it where fiabench runs")


class _Placeholder(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        made = type(name, (_NotInstalled,), {"__module__": self.__name__})
        setattr(self, name, made)
        return made


class _Finder(MetaPathFinder, Loader):
    """Comes last, so that what is installed is always found before."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self.made: list[str] = []

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        known = fullname.partition(".")[0] in self._names
        return ModuleSpec(fullname, self, is_package=True) if known else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        self.made.append(spec.name)
        return _Placeholder(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


@contextlib.contextmanager
def placeholders(names: Sequence[str]) -> Iterator[None]:
    """While this lasts, those of ``names`` that are not installed can be imported; nobody else finds them later."""
    finder = _Finder(names)
    sys.meta_path.append(finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in finder.made:
            sys.modules.pop(name, None)
