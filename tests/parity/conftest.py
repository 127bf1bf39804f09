"""What was held against the real torch_npu, in figures: a line after the tests and `build/parity-report.json`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.parity.wheel import FOLDER, VERSION

FIGURES = pytest.StashKey[dict[str, Any]]()
REPORT = FOLDER.parent / "parity-report.json"
PARTS = {"schemas", "meta_calls", "api_uses", "operator_calls"}


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> dict[str, Any]:
    """To be filled in: ``not_run`` with the reason, or :data:`PARTS`."""
    return pytestconfig.stash.setdefault(FIGURES, {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    figures = config.stash.get(FIGURES, {})
    if "not_run" in figures:
        terminalreporter.write_line(f"parity: NOT RUN, {figures['not_run']}", yellow=True)
    elif figures.keys() >= PARTS:
        asked, made = figures["meta_calls"], figures["operator_calls"]
        each = ", ".join(f"{name} {count}" for name, count in asked.items())
        terminalreporter.write_line(
            f"parity with torch_npu {VERSION}: {figures['schemas']} schemas; Meta outputs of {sum(asked.values())} "
            f"calls ({each}); {sum(made.values())} calls that ops/ makes; {figures['api_uses']} uses of its Python "
            f"API; all in {REPORT.relative_to(config.rootpath)}"
        )
        REPORT.write_text(json.dumps({"torch_npu": VERSION, **figures}, indent=2) + "\n")
