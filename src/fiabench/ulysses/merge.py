"""Bringing a ring's partial outputs together: each row weighs by the sum of its exponentials, known as a log.

Of two partial outputs o1 and o2 with log-sum-exps l1 and l2 the whole is o1 + (o2 - o1) * sigmoid(l2 - l1), with
log(exp(l1) + exp(l2)). Blocks are merged as they come, in float32.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Merge:
    """The attention of one rank's queries, [B, S, N, D], from the outputs of one block of keys after the other.

    Which rows saw no key is told by the caller: what an operator gives as their log-sum-exp differs (torch's CPU kernel
    0, others plus or minus infinity).
    """

    def __init__(self, out: Tensor) -> None:
        """``out``, a tokens-first view, takes the result and decides the accumulator's strides."""
        self.out = out
        self._sum = torch.empty_like(out, dtype=torch.float32, memory_format=torch.preserve_format)
        batch, tokens, heads, _ = out.shape
        self._lse = torch.empty((batch, heads, tokens), dtype=torch.float32, device=out.device)
        self._begun = False

    def begin(self) -> None:
        """Forgets what was merged."""
        self._begun = False

    def add(self, output: Tensor, lse: Tensor, rows: slice) -> None:
        """Merges ``output`` [B, S, N, D] with its ``lse`` [B, N, S], of which only ``rows`` saw a key."""
        if not self._begun:
            self._first(output, lse, rows)
            return
        former, added = self._lse[:, :, rows], lse[:, :, rows]
        weight = torch.sigmoid(added - former).transpose(1, 2).unsqueeze(3)
        self._sum[:, rows].lerp_(output[:, rows].float(), weight)
        torch.logaddexp(former, added, out=former)

    def finish(self) -> None:
        """Writes the result in the dtype of ``out``; rows that saw no key at all are zeros."""
        if not self._begun:
            self._sum.zero_()
        self.out.copy_(self._sum)

    def _first(self, output: Tensor, lse: Tensor, rows: slice) -> None:
        """Without a former output there is nothing to weigh."""
        for unseen in (slice(0, rows.start), slice(rows.stop, None)):
            self._sum[:, unseen].zero_()
            self._lse[:, :, unseen].fill_(-torch.inf)
        self._sum[:, rows].copy_(output[:, rows])
        self._lse[:, :, rows].copy_(lse[:, :, rows])
        self._begun = True
