"""The figures that the tests of the real torch_npu fill in."""

from __future__ import annotations

from typing import Any

import pytest

from tests.parity.report import FIGURES


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> dict[str, Any]:
    """For the report: ``not_run`` with the reason, or :data:`tests.parity.report.PARTS`."""
    return pytestconfig.stash.setdefault(FIGURES, {})
