"""The link that bus bandwidth is held against, from fingerprints as they are and as they should not be."""

from __future__ import annotations

from typing import Any

import pytest

from fiabench.results.links import link_bandwidth

MESH = {"bandwidth": 196e9, "links": "mesh", "ranks": 8}


@pytest.mark.parametrize(("ranks", "expected"), [(2, 28e9), (4, 84e9), (8, 196e9), (16, None), (1, None)])
def test_a_mesh_has_a_link_for_each_pair(ranks: int, expected: float | None) -> None:
    assert link_bandwidth({"peak": {"link": MESH}}, ranks) == pytest.approx(expected)


def test_a_switch_gives_any_two_ranks_all_of_it() -> None:
    assert link_bandwidth({"peak": {"link": {**MESH, "links": "switch"}}}, 2) == 196e9


@pytest.mark.parametrize(
    "peak",
    [None, "fast", {}, {"link": None}, {"link": 3}, {"link": {**MESH, "bandwidth": "x"}},
     {"link": {**MESH, "bandwidth": float("nan")}}, {"link": {**MESH, "ranks": None}}],
)  # fmt: skip
def test_what_says_nothing_is_not_known(peak: Any) -> None:
    assert link_bandwidth({"peak": peak}, 2) is None
