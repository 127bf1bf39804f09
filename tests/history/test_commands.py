"""The command that a finding names."""

from __future__ import annotations

from pathlib import Path

import pytest

from fiabench.history.commands import confirm_command
from fiabench.history.store import Store
from tests.history.drawn import commits


@pytest.mark.parametrize("metric", ["tokens_per_s", "closure_residual"])
def test_a_command_is_named_where_it_would_be_taken(tmp_path: Path, metric: str) -> None:
    before, after = commits(2)
    said = confirm_command(Store.of(tmp_path, "toy"), "toy", (before, after), {"name": ""}, metric, "toy.q512")
    assert ("--metric tokens_per_s" in said) is (metric == "tokens_per_s")
    assert bool(said) is (metric == "tokens_per_s")
