"""Real ranks: a delay that was slept is the others' wait. Ratios only, with wide bounds: the box may be busy."""

from __future__ import annotations

import pytest
import torch

from fiabench.evidence import real
from fiabench.evidence.ranks import on_ranks

pytestmark = pytest.mark.slow


def raise_on_one(groups, device):
    if groups.rank == 1:
        raise ValueError("on purpose")
    return groups.rank


def who(groups, device, word):
    return word, groups.rank, groups.gather(torch.tensor([float(groups.rank)])).sum().item()


def test_ranks_answer_in_order():
    assert on_ranks(2, who, "here") == [("here", 0, 1.0), ("here", 1, 1.0)]


def test_what_a_rank_raises_is_raised_here():
    with pytest.raises((ValueError, RuntimeError)):
        on_ranks(2, raise_on_one)


def test_a_slept_delay_is_wait_and_not_transfer():
    found = real.measure(real.SMALL, 8, 0.1)
    assert found.status == "ok"
    assert found.check["passed"]
    assert 0.09 < found.metrics["wait"]["value"] < 0.14
    assert found.metrics["transfer"]["value"] < 0.05
    assert any(f"rank {real.LATE} comes last" in flag for flag in found.flags)


def test_the_aligned_exchange_is_a_bare_one():
    found = real.exchanges(12)
    assert len(found.aligned) == len(found.bare) == 12
    assert 0.5 < found.ratio < 2
