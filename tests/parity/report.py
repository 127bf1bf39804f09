"""What was held against the real torch_npu, in figures: a line after the tests and `build/parity-report.json`.

Where workers run the tests, they hand the figures over to the process that reports.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.parity.wheel import FOLDER, VERSION

FIGURES = pytest.StashKey[dict[str, Any]]()
REPORT = FOLDER.parent / "parity-report.json"
PARTS = {"schemas", "meta_calls", "api_uses", "operator_calls"}
_HANDED = "parity"


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput[_HANDED] = json.dumps(session.config.stash.get(FIGURES, {}))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker has ended; one that died hands nothing over."""
    handed = json.loads(getattr(node, "workeroutput", {}).get(_HANDED, "{}"))
    node.config.stash.setdefault(FIGURES, {}).update(handed)


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
