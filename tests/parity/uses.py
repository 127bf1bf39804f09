"""What the package uses of ``torch.npu`` and ``torch_npu``, read out of its source."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).resolve().parents[2] / "src" / "fiabench"
PREFIXES = ("torch.npu.", "torch_npu.")


class Use(NamedTuple):
    """One place where an attribute is read or called."""

    where: str
    name: str
    """Dotted, from torch or torch_npu."""
    positional: int | None
    """Arguments by position; None: not called."""
    keywords: list[str]


def uses() -> list[Use]:
    """Those of the whole package. ``self.api`` and ``cls.api`` count too: what CUDA and NPU have in common."""
    return [use for path in sorted(SOURCE.rglob("*.py")) for use in _Reader(path).uses]


class _Reader(ast.NodeVisitor):
    def __init__(self, path: Path) -> None:
        self.uses: list[Use] = []
        self._file = path.relative_to(SOURCE)
        self.visit(ast.parse(path.read_text()))

    def visit_Call(self, node: ast.Call) -> None:
        keywords = [keyword.arg or "**" for keyword in node.keywords]
        if not self._keep(node.func, len(node.args), keywords):
            self.visit(node.func)
        for child in (*node.args, *node.keywords):
            self.visit(child)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if not self._keep(node, None, []):
            self.generic_visit(node)

    def _keep(self, node: ast.expr, positional: int | None, keywords: list[str]) -> bool:
        dotted = _dotted(node)
        if dotted is None or not dotted.startswith(PREFIXES):
            return False
        self.uses.append(Use(f"{self._file}:{node.lineno}", dotted, positional, keywords))
        return True


def _dotted(node: ast.expr) -> str | None:
    """`torch.npu.Event` of an attribute of an attribute of a name; None of anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (owner := _dotted(node.value)):
        return f"{'torch.npu' if owner in ('self.api', 'cls.api') else owner}.{node.attr}"
    return None
