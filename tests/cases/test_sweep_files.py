"""The sweeps that are shipped, their profiles, and what a sweep leaves in a run directory."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings

from fiabench.cases import costs
from fiabench.cases.case import Case
from fiabench.cases.errors import InputError
from fiabench.cases.expand import LeftOut, expand
from fiabench.cases.load import load_sweep, profile_names
from fiabench.cases.sweep import Sweep
from tests.cases.conftest import ROOT, SWEEPS
from tests.cases.test_expand import sweeps

COUNTS = {  # name, profile: cases, left out
    ("all-to-all", None): (94, 2),
    ("all-to-all", "quick"): (10, 0),
    ("cogvideox-2b", None): (4, 0),
    ("cogvideox-2b", "quick"): (4, 0),
    ("cogvideox-5b", None): (4, 0),
    ("cogvideox-5b", "quick"): (4, 0),
    ("decode", None): (192, 0),
    ("decode", "quick"): (16, 0),
    ("exchanges", None): (16, 0),
    ("exchanges", "quick"): (16, 0),
    ("flux.1", None): (4, 0),
    ("flux.1", "quick"): (4, 0),
    ("history", None): (4, 0),
    ("hunyuanvideo", None): (15, 1),
    ("hunyuanvideo", "quick"): (8, 0),
    ("layouts", None): (28, 0),
    ("layouts", "quick"): (14, 0),
    ("learning", None): (6, 0),
    ("learning", "quick"): (4, 0),
    ("long-context", None): (36, 0),
    ("long-context", "quick"): (9, 0),
    ("ltx", None): (5, 0),
    ("ltx", "quick"): (5, 0),
    ("masks", None): (16, 0),
    ("masks", "quick"): (8, 0),
    ("minimax-h3", None): (21, 3),
    ("minimax-h3", "quick"): (7, 1),
    ("npu-variables", None): (24, 0),
    ("npu-variables", "quick"): (4, 0),
    ("plans", None): (104, 58),
    ("pr-23572", None): (2, 0),
    ("pr-23572", "quick"): (2, 0),
    ("prefill-llm", None): (120, 0),
    ("prefill-llm", "quick"): (16, 0),
    ("quick", None): (16, 0),
    ("qwen-image", None): (16, 0),
    ("qwen-image", "quick"): (8, 0),
    ("seed-claims", None): (8, 0),
    ("seed-claims", "quick"): (6, 0),
    ("sglang-ascend-fa", None): (6, 0),
    ("sglang-ascend-fa", "quick"): (3, 0),
    ("wan2.1-1.3b", None): (8, 0),
    ("wan2.1-1.3b", "quick"): (8, 0),
    ("wan2.2-t2v", None): (28, 4),
    ("wan2.2-t2v", "quick"): (7, 1),
    ("wan2.2-ti2v-5b", None): (8, 0),
    ("wan2.2-ti2v-5b", "quick"): (4, 0),
}
SHIPPED = [(path, profile) for path in SWEEPS for profile in (None, *profile_names(path))]


def test_every_shipped_sweep_is_counted_here():
    assert {(path.stem, profile) for path, profile in SHIPPED} == set(COUNTS)


@pytest.mark.parametrize(("path", "profile"), SHIPPED, ids=lambda value: getattr(value, "stem", value))
def test_shipped_sweeps(path, profile):
    sweep = load_sweep(path, profile)
    assert sweep.name == path.stem
    found = list(expand(sweep))
    cases = [case for case in found if isinstance(case, Case)]
    assert (len(cases), sum(isinstance(one, LeftOut) for one in found)) == COUNTS[path.stem, profile]
    assert len({case.id for case in cases}) == len(cases)
    assert Sweep.from_resolved(json.loads(json.dumps(sweep.resolved()))) == sweep
    assert path.read_text(encoding="utf-8").startswith("# yaml-language-server: $schema=sweep.schema.json\n")


def test_the_readme_counts_the_cases():
    readme = (ROOT / "sweeps" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(.+)\.yaml\].*\| ([0-9,]+) \|", readme, re.MULTILINE)
    assert dict(rows) == {name: str(count) for (name, profile), (count, _) in COUNTS.items() if profile is None}


def shipped(name: str, profile: str | None = None) -> list[Case]:
    return [case for case in expand(load_sweep(ROOT / "sweeps" / f"{name}.yaml", profile)) if isinstance(case, Case)]


@pytest.mark.parametrize(("profile", "tokens"), [(None, 25200), ("quick", 1008)])
def test_the_seeds_case(profile, tokens):
    """[1, 5, 25200, 128] on each of 4 ranks, which stand for 8; sglang's layer takes the tokens first."""
    theirs, case = shipped("pr-23572", profile)
    assert theirs == case._replace(op="sglang", layout="BSND")
    shape = (case.batch, case.heads_per_rank, case.seq_len_q, case.head_dim)
    assert (case.layout, shape) == ("BNSD", (1, 5, tokens, 128))
    assert (case.heads, case.kv_heads_per_rank, case.tp, case.ulysses) == (40, 5, 2, 4)
    assert (case.world_size, case.described_world_size, case.dtype) == (4, 8, "bf16")


def test_quick_covers_what_the_readme_shows():
    cases = shipped("quick")
    assert {case.world_size for case in cases} == {1, 2, 4}
    assert {case.exchange for case in cases} == {"none", "separate", "packed"}
    assert {case.op for case in cases} == {"fia", "sdpa"}
    flops = sum(costs.kernel_flops(case) * case.world_size for case in cases)
    assert flops < 1e12  # all cases once: a few seconds on two CPU cores


def test_long_context_reaches_a_million():
    assert max(case.seq_len_q for case in shipped("long-context")) == 1 << 20


def test_all_to_all_has_the_published_sizes():
    """Wan 14B at 8 ranks: 32.3, 41.9 and 96.8 MB a tensor, 290 MB for q, k and v at 75,600 tokens."""
    sizes = {round(case.exchange_bytes / 1e6, 1) for case in shipped("all-to-all") if case.ulysses == 8}
    assert {32.3, 41.9, 96.8, 290.3} <= sizes
    powers = {case.exchange_bytes for case in shipped("all-to-all")}
    assert {1 << n for n in range(10, 30)} <= powers


PROFILED = """
geometry: {heads: 8, head_dim: 64}
axes: {seq_len_q: [1024, 2048], ulysses: [1, 2]}
constants: {batch: 2, dtype: fp16}
exclude: [{when: {seq_len_q: 2048, ulysses: 2}, because: x}]
include: [{seq_len_q: 64, ulysses: 1}]
sampling: {max_seconds: 60, min_samples: 5}
name: test
about: A test.
profiles:
  axes: {axes: {seq_len_q: [512]}}
  swap: {about: Other., constants: {ulysses: 4}, axes: {batch: [1, 2, 3]}}
  rest: {geometry: {heads: 4, head_dim: 32}, measure: kernel, exclude: [], include: [], sampling: {max_seconds: 1}}
"""


def test_profiles(sweep):
    base = sweep(PROFILED)
    assert base.profile is None
    axes = sweep(PROFILED, "axes")
    assert [(case.seq_len_q, case.ulysses, case.batch) for case in expand(axes)] == [
        (512, 1, 2), (512, 2, 2), (64, 1, 2)
    ]  # fmt: skip
    assert (axes.profile, axes.sampling) == ("axes", base.sampling)
    swap = sweep(PROFILED.replace("ulysses: 1}]", "ulysses: 1, batch: 9}]"), "swap")
    assert swap.about == "Other."
    assert [(case.ulysses, case.batch) for case in expand(swap)][:4] == [(4, 1), (4, 2), (4, 3), (4, 1)]
    rest = sweep(PROFILED, "rest")
    assert (rest.measure, rest.sampling.max_seconds, rest.sampling.min_samples) == ("kernel", 1, 5)
    assert [case.heads for case in expand(rest)] == [4] * 4


@settings(max_examples=60, deadline=None)
@given(sweeps())
def test_resolved_round_trip(sweep):
    data = json.loads(json.dumps(sweep.resolved()))
    again = Sweep.from_resolved(data)
    assert again == sweep
    assert again.resolved() == data
    assert list(expand(again)) == list(expand(sweep))


def test_only_the_median_s_interval_needs_the_least_samples(sweep):
    """A fixed count may be below the default of min_samples, which then counts for nothing."""
    text = "geometry: {heads: 8, head_dim: 64}\nconstants: {seq_len_q: 8}\nsampling: {max_samples: 5, criterion: %s}\n"
    loaded = sweep(text % "fixed_count")
    assert (loaded.sampling.criterion, loaded.sampling.max_samples) == ("fixed_count", 5)
    with pytest.raises(InputError, match="no more of the first"):
        sweep(text % "median_interval")


def test_a_run_of_before_has_the_criterion_that_there_was(sweep):
    resolved = sweep("geometry: {heads: 8, head_dim: 64}\nconstants: {seq_len_q: 8}\n").resolved()
    del resolved["sampling"]["criterion"]
    assert Sweep.from_resolved(resolved).sampling.criterion == "median_interval"


def test_resolved_exchange_round_trip(sweep):
    loaded = sweep(
        "measure: exchange\nzip: [{ulysses: [2, 4], exchange_bytes: [64, {model: wan-14b, seq_len_q: 75600}]}]\n"
    )
    assert Sweep.from_resolved(json.loads(json.dumps(loaded.resolved()))) == loaded


@pytest.mark.parametrize("data", [{}, {"axes": []}, {"axes": {}, "zip": 3}])
def test_what_is_no_resolved_sweep(data):
    with pytest.raises(InputError, match="not a resolved sweep"):
        Sweep.from_resolved(data)
