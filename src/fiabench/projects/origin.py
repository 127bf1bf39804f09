"""Where the code under measurement came from: file, commit, version."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from fiabench.projects.loading import package_folder
from fiabench.results.environment import commit


def provenance(module: ModuleType, path: Path) -> dict[str, Any]:
    """`path` as it was given, `file` of the module, `commit` and `dirty` of the checkout that tracks that file,
    `version` of the release or package; None for what there is not."""
    file = Path(str(module.__file__)).resolve()
    package = module.__name__.partition(".")[0]
    return {
        "path": str(path),
        "file": str(file),
        **_commit(file),
        "version": _version(package_folder(path, package), package),
    }


def _commit(file: Path) -> dict[str, Any]:
    """Of the checkout that holds ``file``. A folder that some other checkout ignores, or merely surrounds, has none."""
    if shutil.which("git"):
        command = ["git", "-C", str(file.parent), "ls-files", "--error-unmatch", file.name]
        if not subprocess.run(command, capture_output=True).returncode:
            return commit(file.parent)
    return {"commit": None, "dirty": None}


def _version(folder: Path, package: str) -> str | None:
    """What the package's metadata beside it says, else its ``__version__``."""
    for distribution in metadata.distributions(path=[str(folder)]):
        if _name(distribution.metadata["Name"]) == _name(package):
            return distribution.version
    loaded = getattr(sys.modules.get(package), "__version__", None)
    return str(loaded) if loaded else _written_version(folder, package)


def _name(text: str) -> str:
    return text.lower().replace("-", "_").replace(".", "_")


def _written_version(folder: Path, package: str) -> str | None:
    """``__version__`` as the package's source assigns it, without running it."""
    sources = [folder / f"{package}.py"] + [folder / package / name for name in ("__init__.py", "version.py")]
    for source in (source for source in sources if source.is_file()):
        for statement in ast.parse(source.read_text(encoding="utf-8")).body:
            if (
                isinstance(statement, ast.Assign)
                and any(isinstance(target, ast.Name) and target.id == "__version__" for target in statement.targets)
                and isinstance(statement.value, ast.Constant)
            ):
                return str(statement.value.value)
    return None
