"""Imports one module of an outside project from a path, without the rest of that project.

A rank lives long and may measure several commits of one project: what is loaded from one path leaves ``sys.modules``
before the same names are loaded from another, and comes back with :func:`make_current`. Functions that were taken from
an earlier loading keep working; only what they import while they run needs their own loading to be current.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from fiabench.projects.errors import ProjectError
from fiabench.projects.placeholders import placeholders

_FOLDERS = ("", "python", "src")
"""Where a checkout keeps its packages, from its root."""
_PIP_NAMES = {"zmq": "pyzmq", "yaml": "pyyaml", "PIL": "pillow", "cv2": "opencv-python-headless"}
"""Import names to what pip calls them, where the two differ."""


@dataclass(eq=False)
class _Loading:
    """What one path has put into ``sys.modules``."""

    root: Path
    stubs: tuple[str, ...]
    stand_ins: dict[str, ModuleType]
    names: frozenset[str]
    """Top-level names that are the project's: no other loading may hold any of them at the same time."""
    modules: dict[str, ModuleType] = field(default_factory=dict)
    """The modules while the loading is not current."""
    files: dict[Path, tuple[int, int]] = field(default_factory=dict)
    """(mtime_ns, size) of the modules' files as they were read."""

    def owned(self) -> dict[str, ModuleType]:
        """The modules in ``sys.modules`` that come from the root, or stand in for one."""
        return {
            name: module
            for name, module in list(sys.modules.items())
            if name.partition(".")[0] in self.names
            and (name in self.stand_ins or name in self.stubs or _lies_in(module, self.root))
        }

    def stale(self) -> bool:
        return any(_stamp(file) != stamp for file, stamp in self.files.items())


_current: list[_Loading] = []
_loading_of: dict[ModuleType, _Loading] = {}


def load_module(
    path: Path,
    module: str,
    stubs: Sequence[str] = (),
    *,
    stand_ins: Mapping[str, ModuleType] | None = None,
    optional: Sequence[str] = (),
) -> ModuleType:
    """``module`` of the project at ``path``: a checkout, its folder of packages, or an unpacked wheel.

    ``stubs`` are packages to be put in place empty, with their real ``__path__``, so that their own ``__init__`` does
    not run; those that the project does not have are passed over. ``stand_ins`` take the place of modules of the
    project altogether. ``optional`` are packages of others that the project imports and that what is measured does
    not use: where one is not installed a placeholder is imported, which raises as soon as it is called.

    A module that is there already is used again, unless a file has changed since. While the module is imported, the
    folder is first on ``sys.path``; nothing is written into it. Raises ProjectError, which says what was looked for
    and what to do.
    """
    package = module.partition(".")[0]
    root = package_folder(path, package)
    loading = _open(root, package, tuple(stubs), dict(stand_ins or {}))
    try:
        with _first_on_path(root), placeholders(optional):
            loaded = importlib.import_module(module)
    except Exception as error:
        _close(loading)
        raise ProjectError(_words(error, module, root, loading.stand_ins)) from error
    if not _lies_in(loaded, root):
        _close(loading)
        raise ProjectError(f"{module} was found at {getattr(loaded, '__file__', None)}, not in {root}")
    for found in loading.owned().values():
        if getattr(found, "__file__", None):
            file = Path(str(found.__file__))
            loading.files.setdefault(file, _stamp(file))
    _loading_of[loaded] = loading
    return loaded


def load_callable(path: Path, target: str) -> tuple[Callable[..., Any], ModuleType]:
    """The callable ``package.module:name`` of the project at ``path``, and its module. Raises ProjectError."""
    module_name, colon, name = target.partition(":")
    if not (module_name and colon and name):
        raise ProjectError(f"{target!r} names no callable: write it as package.module:name")
    module = load_module(path, module_name)
    return attribute(module, name), module


def attribute(module: ModuleType, name: str) -> Any:
    """The callable ``name`` (dots go into classes) of a loaded module. Raises ProjectError where there is none."""
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        what = "has no" if found is None else "has no callable"
        raise ProjectError(
            f"{module.__name__} at {module.__file__} {what} {name}: another release may call it otherwise"
        )
    return found


def make_current(module: ModuleType) -> None:
    """Put the modules of ``module``'s own loading back in place, so that what it imports when it runs is found there.

    Costs a look into a list where they are in place, and otherwise a fraction of a millisecond.
    """
    loading = _loading_of[module]
    if loading in _current:
        return
    _make_room(loading.names)
    sys.modules.update(loading.modules)
    _current.append(loading)


def package_folder(path: Path, package: str) -> Path:
    """The folder that holds ``package``: ``path``, or its ``python`` or ``src``. Raises ProjectError."""
    if not path.exists():
        raise ProjectError(f"{path} is not there: name the folder of a checkout or of an unpacked wheel")
    if not path.is_dir():
        raise ProjectError(f"{path} is not a folder: unpack it and name the folder, which then holds {package}")
    for name in _FOLDERS:
        folder = (path / name).resolve()
        if (folder / package).is_dir() or (folder / f"{package}.py").is_file():
            return folder
    places = ", ".join(str(path / name / package) for name in _FOLDERS)
    raise ProjectError(f"no {package} at {path}; looked for {places}: name the folder that holds {package}")


def _open(root: Path, package: str, stubs: tuple[str, ...], stand_ins: dict[str, ModuleType]) -> _Loading:
    """The current loading of that root, or a new one in the place of those that hold any of its names."""
    for loading in _current:
        same = (loading.root, loading.stubs, loading.stand_ins) == (root, stubs, stand_ins)
        if same and package in loading.names and not loading.stale():
            return loading
    loading = _Loading(root, stubs, stand_ins, _names(root, package))
    _make_room(loading.names)
    taken = [name for name in (*stubs, *stand_ins) if name in sys.modules]
    if taken:
        raise ProjectError(f"{taken[0]} was imported in this process before, and not by this: it cannot be replaced")
    for stub in stubs:
        folder = root.joinpath(*stub.split("."))
        if folder.is_dir():
            bare = ModuleType(stub)
            bare.__path__ = [str(folder)]
            sys.modules[stub] = bare
    sys.modules.update(stand_ins)
    # A submodule is also an attribute of its package: `from package import submodule` finds it there.
    for name in (*stubs, *stand_ins):
        parent, _, child = name.rpartition(".")
        if parent in sys.modules and name in sys.modules:
            setattr(sys.modules[parent], child, sys.modules[name])
    _current.append(loading)
    importlib.invalidate_caches()
    return loading


def _names(root: Path, package: str) -> frozenset[str]:
    """Every top-level name in the root; where it is a folder of this environment, full of others, the package alone."""
    if any(Path(place).resolve() == root for place in sys.path if place):
        return frozenset((package,))
    return frozenset(entry.name.partition(".")[0] for entry in root.iterdir()) | {package}


def _make_room(names: frozenset[str]) -> None:
    """Takes every loading that shares a top-level name out of ``sys.modules``."""
    for loading in [loading for loading in _current if loading.names & names]:
        _close(loading)


def _close(loading: _Loading) -> None:
    loading.modules = loading.owned()
    for name in loading.modules:
        del sys.modules[name]
    _current.remove(loading)


@contextlib.contextmanager
def _first_on_path(root: Path) -> Iterator[None]:
    """``root`` first on ``sys.path``, and no compiled files written into it."""
    writes = sys.dont_write_bytecode
    sys.path.insert(0, str(root))
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.dont_write_bytecode = writes
        sys.path.remove(str(root))


def _lies_in(module: ModuleType | None, root: Path) -> bool:
    places = [getattr(module, "__file__", None) or "", *_folders(module)]
    return any(Path(place).is_relative_to(root) for place in places if place)


def _folders(module: ModuleType | None) -> list[str]:
    """The folders of a package, none of any other module."""
    return [str(place) for place in getattr(module, "__path__", [])] if isinstance(module, ModuleType) else []


def _stamp(file: Path) -> tuple[int, int]:
    if not file.exists():
        return (0, 0)
    status = file.stat()
    return status.st_mtime_ns, status.st_size


def _words(error: Exception, module: str, root: Path, stand_ins: Mapping[str, ModuleType]) -> str:
    """Why ``module`` could not be imported, and what to do."""
    name = getattr(error, "name", None) or ""
    if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{name}."):
        return f"no module {module} at {root}; looked for {root.joinpath(*module.split('.'))}.py"
    failed = f"{module} at {root} could not be imported: {type(error).__name__}: {error}"
    if isinstance(error, ImportError) and name in stand_ins:
        return f"{failed}; fiabench stands in for {name} here and does not know what this release asks of it"
    top = name.partition(".")[0]
    if isinstance(error, ModuleNotFoundError) and top != module.partition(".")[0]:
        return f"{failed}; install it where fiabench runs: pip install {_PIP_NAMES.get(top, top)}"
    return failed
