"""Merging against attention over all keys at once, in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fiabench.ulysses.merge import Merge

ROWS, KEYS = 5, 12
SHAPE = (2, ROWS, 3, 4)
"""[B, S, N, D]."""


def scores_and_values(scale: float = 1.0):
    generator = torch.Generator().manual_seed(0)
    scores = scale * torch.randn((2, 3, ROWS, KEYS), generator=generator, dtype=torch.float64)
    return scores, torch.randn((2, 3, KEYS, 4), generator=generator, dtype=torch.float64)


def attend(scores, values):
    """Output [B, S, N, D] and log-sum-exp [B, N, S] in float32."""
    output = (scores.softmax(-1) @ values).nan_to_num(0.0)
    return output.transpose(1, 2).float(), scores.logsumexp(-1).float()


def merged(scores, values, cuts, order, rows=slice(0, ROWS), out=None):
    merge = Merge(torch.full(SHAPE, torch.nan) if out is None else out)
    for _ in range(2):  # nothing of a former attention is left in the next
        merge.begin()
        parts = [slice(start, end) for start, end in zip([0, *cuts], [*cuts, KEYS])]
        for part in (parts[index] for index in order):
            merge.add(*attend(scores[..., part], values[:, :, part]), rows)
        merge.finish()
    return merge.out


@given(st.permutations(range(3)), st.sampled_from([1e-3, 1.0, 300.0]))
def test_parts_in_any_order_make_the_whole(order, scale):
    """Scores of hundreds, too, whose exponentials float32 does not hold."""
    scores, values = scores_and_values(scale)
    wanted, _ = attend(scores, values)
    torch.testing.assert_close(merged(scores, values, [3, 8], order), wanted, atol=1e-5, rtol=1e-5)


LIES = [(0.0, 0.0), (torch.inf, 0.0), (-torch.inf, 0.0), (-3.4e38, 1e30), (torch.nan, torch.nan)]


@pytest.mark.parametrize(("lse", "filling"), LIES)
@pytest.mark.parametrize("late", [False, True])
def test_a_row_without_keys_weighs_nothing_whatever_the_operator_says_of_it(lse, filling, late):
    """torch's CPU kernel gives 0 for its log-sum-exp, which would weigh as much as a key with score 0."""
    scores, values = scores_and_values()
    blind = 2
    partial, log_sum = attend(scores[..., :6], values[:, :, :6])
    partial[:, :blind], log_sum[:, :, :blind] = filling, lse
    seeing, whole = attend(scores[..., 6:], values[:, :, 6:]), attend(scores, values)[0]
    wanted = torch.cat([seeing[0][:, :blind], whole[:, blind:]], dim=1)
    merge = Merge(torch.full(SHAPE, torch.nan))
    adding = [(partial, log_sum, slice(blind, ROWS)), (*seeing, slice(0, ROWS))]
    for part in adding[::-1] if late else adding:
        merge.add(*part)
    merge.finish()
    torch.testing.assert_close(merge.out, wanted, atol=1e-5, rtol=1e-5)


def test_rows_that_saw_no_key_at_all_are_zeros():
    scores, values = scores_and_values()
    found = merged(scores, values, [5], [0, 1], rows=slice(1, 4))
    assert not found[:, [0, 4]].any()
    torch.testing.assert_close(found[:, 1:4], attend(scores, values)[0][:, 1:4], atol=1e-5, rtol=1e-5)
    nothing = Merge(torch.full(SHAPE, torch.nan))
    nothing.begin()
    nothing.finish()
    assert not nothing.out.any()


def test_the_result_is_rounded_once():
    """In float16 each merge would add an error of its own."""
    scores, values = scores_and_values()
    out = torch.full((2, 3, ROWS, 4), torch.nan, dtype=torch.float16).transpose(1, 2)
    cuts = list(range(1, KEYS))
    found = merged(scores, values, cuts, range(KEYS), out=out)
    wanted, _ = attend(scores, values)
    assert found.data_ptr() == out.data_ptr()
    torch.testing.assert_close(found, wanted.half(), atol=0, rtol=2e-3)
    assert (found.float() - wanted).abs().max() <= 2**-11 * wanted.abs().max() * 1.001
