"""A sweep's cases as asv has them: groups, places, what -b picks, and the filters that ask for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fiabench.asv_plugin.names import EXCHANGED, METRICS, benchmark
from fiabench.asv_plugin.placing import asked_case, metrics, place
from fiabench.asv_plugin.plan import filters, read_groups, selected
from fiabench.cases.case import Case
from fiabench.cases.errors import InputError
from fiabench.cases.expand import expand
from fiabench.cases.filters import parse_filters
from fiabench.cases.load import load_sweep
from fiabench.results.measurement import Measurement
from tests.asv.conftest import ROOT


def sweep(folder: Path, **keys: Any) -> Path:
    path = folder / "sweep.yaml"
    base = {"name": "a", "about": "b", "geometry": {"heads": 8, "head_dim": 16}}
    path.write_text(yaml.safe_dump(base | keys))
    return path


@pytest.mark.parametrize("path", sorted((ROOT / "sweeps").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_sweep_has_one_place_for_each_case_and_one_world_size_a_group(path: Path) -> None:
    groups, cases = read_groups(path)
    assert sum(len(group.cases) for group in groups.values()) == len(cases)
    for case in cases:
        placed = place(case, "")
        group = groups[placed.group]
        assert group.cases[case.id] == (group.lengths.index(placed.length), group.shards.index(placed.shard))
        assert placed.group.startswith(f"World{case.world_size}_")
        assert placed.group.isidentifier()  # asv cuts names at dashes and dots
        assert set(metrics(case)) <= set(group.metrics) <= set(METRICS)


def test_a_group_is_a_world_size_and_what_it_lacks_has_no_benchmark(tmp_path: Path) -> None:
    groups, _ = read_groups(sweep(tmp_path, axes={"seq_len_q": [64, 128], "ulysses": [1, 2], "tp": [1, 2]}))
    assert set(groups) == {"World1_fia_BNSD_bf16_h8_d16", "World2_fia_BNSD_bf16_h8_d16"}
    alone, two = groups.values()
    assert (alone.lengths, alone.shards) == ([64, 128], ["tp1 x u1", "tp2 x u1"])
    assert two.shards == ["tp1 x u2", "tp2 x u2"]
    assert set(METRICS) - set(alone.metrics) == set(EXCHANGED)
    assert two.metrics == list(METRICS)


def test_what_else_changes_what_is_measured_is_in_the_name(tmp_path: Path) -> None:
    def names(**keys: Any) -> set[str]:
        return set(read_groups(sweep(tmp_path, **({"axes": {"seq_len_q": [64]}} | keys)))[0])

    usual = names()
    for constants in (
        {"dtype": "fp16"}, {"mask": "causal"}, {"batch": 2}, {"layout": "BSND"}, {"op": "sdpa"}, {"threads": 1},
        {"cache": "cold"}, {"inputs": "strided"}, {"ulysses": 2, "exchange": "packed"},
    ):  # fmt: skip
        assert names(constants=constants).isdisjoint(usual), constants
    assert names(geometry={"heads": 4, "head_dim": 16}).isdisjoint(usual)
    variables = [names(variables={"TASK_QUEUE_ENABLE": [value]}) for value in ("1", "2")]
    assert variables[0].isdisjoint(variables[1])
    path = sweep(tmp_path, axes={"seq_len_q": [64]})
    assert read_groups(path, "auto")[0].keys() == read_groups(path, "npu")[0].keys() == usual
    assert set(read_groups(path, "cpu")[0]) == {"World1_fia_BNSD_bf16_h8_d16_on_cpu"}
    assert set(read_groups(path, "sim:910b3")[0]) == {"World1_fia_BNSD_bf16_h8_d16_simulated_910b3"}
    # Where only the sampling or the name changes, the history goes on.
    assert names(name="other", sampling={"max_samples": 50}) == usual


def test_cross_attention_and_exchanges_say_their_size(tmp_path: Path) -> None:
    crossed, _ = read_groups(sweep(tmp_path, axes={"seq_len_q": [64]}, constants={"seq_len_kv": 128}))
    assert next(iter(crossed.values())).lengths == ["64 on 128"]
    path = sweep(tmp_path, measure="exchange", axes={"exchange_bytes": [1024, 4096], "ulysses": [2]})
    path.write_text(path.read_text().replace("geometry:\n  head_dim: 16\n  heads: 8\n", ""))
    (exchanged,) = read_groups(path)[0].values()
    assert exchanged.lengths == ["1024 bytes", "4096 bytes"]
    assert "kernel" not in exchanged.metrics


def test_a_sweep_that_cannot_be_read_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="sequence"):
        read_groups(sweep(tmp_path, axes={"sequence": [1]}))


def test_a_project_that_the_sweep_does_not_know_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"found layer; allowed by .*: none"):
        read_groups(sweep(tmp_path, axes={"seq_len_q": [64]}), project="layer")
    assert read_groups(ROOT / "sweeps" / "pr-23572.yaml", project="sglang")


def test_b_picks_cases_by_metric_length_and_shard(tmp_path: Path) -> None:
    groups, cases = read_groups(sweep(tmp_path, axes={"seq_len_q": [64, 128], "ulysses": [1, 2]}))
    ids = {(case.seq_len_q, case.ulysses): case.id for case in cases}

    def picked(*patterns: str) -> set[str]:
        return set().union(*(selected(name, group._asdict(), patterns) for name, group in groups.items()))

    assert picked() == set(ids.values())
    assert picked("World2") == {ids[64, 2], ids[128, 2]}
    assert picked(r"kernel\(64") == {ids[64, 1], ids[64, 2]}
    assert picked(r"\(64, 'tp1 x u2'\)") == {ids[64, 2]}
    assert picked("all_to_all") == {ids[64, 2], ids[128, 2]}
    assert picked("exchanges.Exchanges") == set()
    assert benchmark("World2", "kernel") == "attention.World2.sweep_kernel"


GRID = {
    "name": "a",
    "about": "b",
    "geometry": {"heads": 8, "head_dim": 16},
    "axes": {"seq_len_q": [64, 128, 256], "ulysses": [1, 2, 4], "ring": [1, 2], "op": ["fia", "sdpa"]},
    "indivisible": "exclude",
    "variables": {"TASK_QUEUE_ENABLE": ["1", "2"]},
}


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    path = tmp_path_factory.mktemp("grid") / "grid.yaml"
    path.write_text(yaml.safe_dump(GRID))
    return [point for point in expand(load_sweep(path)) if isinstance(point, Case)]


@given(st.data())
def test_filters_let_pass_what_was_chosen_and_nothing_else(grid: list[Case], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(grid), min_size=1, unique=True))
    passed = []
    for texts in filters(chosen, grid):
        wanted = parse_filters(texts, (), {"TASK_QUEUE_ENABLE": ("1", "2")})
        passed += [case.id for case in grid if wanted(case)]
    assert sorted(passed) == sorted(case.id for case in chosen)


def test_a_group_of_a_plain_sweep_takes_one_run(grid: list[Case]) -> None:
    two = [case for case in grid if place(case, "").group == place(grid[0], "").group]
    assert len(filters(two, grid)) == 1


def test_the_threads_that_a_sweep_leaves_open_are_not_in_the_name(grid: list[Case]) -> None:
    for asked in (grid[0], grid[0]._replace(threads=2)):
        line = Measurement(asked.id, asked.as_dict() | {"device": "cpu", "threads": 2}, "ok")
        assert asked_case(line) == asked
