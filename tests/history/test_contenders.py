"""What a commit's own tool is asked: a sweep that is as before but for its sampling, narrowed to some cases."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from fiabench.cases.case import Case
from fiabench.cases.expand import expand
from fiabench.cases.filters import parse_filters
from fiabench.cases.load import load_sweep, profile_names
from fiabench.cases.sweep import Sweep
from fiabench.history.contenders import filters_of, shortened

SWEEPS = Path(__file__).resolve().parents[2] / "sweeps"
NAMES = sorted(path.stem for path in SWEEPS.glob("*.yaml"))


def cases_of(sweep: Sweep) -> list[Case]:
    return [point for point in expand(sweep) if isinstance(point, Case)]


@pytest.mark.parametrize("name", NAMES)
def test_a_shortened_sweep_has_the_same_cases(name: str, tmp_path: Path) -> None:
    original, made = SWEEPS / f"{name}.yaml", tmp_path / "short.yaml"
    made.write_text(yaml.safe_dump(shortened(original), sort_keys=False))
    assert profile_names(made) == profile_names(original)
    for profile in (None, *profile_names(original)):
        before, after = load_sweep(original, profile), load_sweep(made, profile)
        assert cases_of(after) == cases_of(before)
        assert after.sampling.max_seconds <= 1
        assert not after.claims


@pytest.mark.parametrize("name", NAMES)
def test_filters_let_the_wanted_cases_pass_and_few_others(name: str) -> None:
    sweep = load_sweep(SWEEPS / f"{name}.yaml")
    cases = cases_of(sweep)
    for case in cases[:: max(1, len(cases) // 10)]:
        passes = parse_filters(filters_of([case], cases), sweep.projects, sweep.variables)
        assert {found._replace(variables=()) for found in cases if passes(found)} == {case._replace(variables=())}
    passes = parse_filters(filters_of(cases, cases), sweep.projects, sweep.variables)
    assert all(map(passes, cases))
