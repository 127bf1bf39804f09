"""Which keys a query sees: a window along the diagonal, a mask, or both; without building the mask.

The five sparse modes come down to a window: query i of a sequence sees keys i - before to i + after. Bottom-right
alignment shifts it by the difference of the two lengths, of each batch entry where the lengths are given.

Sources of the modes: `torch_npu-npu_fused_infer_attention_score.md` in Ascend/op-plugin; `GetPreNextTokenLeftUp` in
`attention/fused_infer_attention_score/op_kernel/arch22/fia_kernel_nonquant.h` (hicann/ops-transformer).
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from fiabench.npu_operator.schema import TOKENS_MAX


class Masking(NamedTuple):
    """What hides keys from queries. Without arguments nothing does; ``after=0`` is causal, aligned top-left."""

    before: int | None = None
    """Keys before its own position that a query sees; None: all. Negative: not even its own."""
    after: int | None = None
    """Keys after its own position that a query sees; None: all."""
    hidden: torch.Tensor | None = None
    """bool or int8 or uint8, [1|B, 1|N, Sq, Skv], true where the key is hidden besides."""

    @property
    def windowless(self) -> bool:
        return self.before is None and self.after is None

    @property
    def plain(self) -> bool:
        """Whether torch's kernels need no mask for it: all keys, or causal from the top left."""
        return self.hidden is None and self.before is None and self.after in (None, 0)

    def rows(self, seq_q: int, seq_kv: int) -> tuple[int, int]:
        """First and one past the last query with a key in its window; they are all in between."""
        if self.before is not None and self.after is not None and self.before + self.after < 0:
            return 0, 0
        first = 0 if self.after is None else max(0, -self.after)
        end = seq_q if self.before is None else min(seq_q, seq_kv + self.before)
        return (first, end) if seq_kv and first < end else (0, 0)

    def keys(self, first: int, end: int, seq_kv: int) -> tuple[int, int]:
        """First and one past the last key that any of the queries ``first`` to ``end - 1`` sees."""
        start = 0 if self.before is None else max(0, first - self.before)
        stop = seq_kv if self.after is None else min(seq_kv, end + self.after)
        return start, max(start, stop)

    def within(self, rows: tuple[int, int], keys: tuple[int, int]) -> Masking:
        """The same masking counted from the first of ``rows`` and of ``keys``, free of limits that bind no longer."""
        shift = rows[0] - keys[0]
        before = None if self.before is None else self.before - shift
        after = None if self.after is None else self.after + shift
        if before is not None and before >= rows[1] - rows[0] - 1:
            before = None
        if after is not None and after >= keys[1] - keys[0] - 1:
            after = None
        hidden = None if self.hidden is None else self.hidden[..., slice(*rows), slice(*keys)]
        return Masking(before, after, hidden)


def masking(
    atten_mask: torch.Tensor | None,
    sparse_mode: int,
    seq_q: int,
    seq_kv: int,
    pre_tokens: int = TOKENS_MAX,
    next_tokens: int = TOKENS_MAX,
) -> Masking:
    """The masking of sparse mode 0 to 4 between ``seq_q`` queries and ``seq_kv`` keys.

    ``atten_mask`` is that of :func:`four_axes`. In modes 2, 3 and 4 the 2048 x 2048 mask is not read: like the real
    operator's, its content is the caller's promise (`triu(ones(2048, 2048), 1)`). Mode 0 without a mask shows every
    key, whatever the tokens; mode 1 takes the mask alone.
    """
    if sparse_mode == 2:
        return Masking(after=0)
    if sparse_mode == 3:
        return Masking(after=seq_kv - seq_q)
    if sparse_mode == 4:
        shift = seq_kv - seq_q
        return Masking(_limit(pre_tokens, -shift), _limit(next_tokens, shift))
    if atten_mask is None or atten_mask.numel() == 0:
        return Masking()
    hidden = atten_mask[..., :seq_q, :seq_kv]
    if sparse_mode == 1:
        return Masking(hidden=hidden)
    return Masking(_limit(pre_tokens, 0), _limit(next_tokens, 0), hidden)


def four_axes(atten_mask: torch.Tensor, by_batch: bool) -> torch.Tensor:
    """A mask of any documented rank as a view [1|B, 1, Sq, Skv]; ``by_batch``: a 2-D one is [B, Skv] (decode)."""
    if atten_mask.dim() == 2:
        return atten_mask[:, None, None] if by_batch else atten_mask[None, None]
    return atten_mask[:, None] if atten_mask.dim() == 3 else atten_mask


def _limit(tokens: int, shift: int) -> int | None:
    return None if tokens >= TOKENS_MAX else tokens + shift
