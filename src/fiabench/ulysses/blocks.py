"""Which blocks of keys each group of a ring attends to, step by step. Imports no torch.

The sequence lies on the groups in contiguous chunks. In step i the group with index r in the ring has the keys of group
r - i, which came from the group before it.
"""

from __future__ import annotations

from typing import NamedTuple

from fiabench.cases.case import Case


class Block(NamedTuple):
    """What a group's queries see of one block of keys; counts are of real tokens, without padding."""

    mask: str
    """Of the call that computes it, with the counts of this block."""
    queries: int
    keys: int
    """Keys from the block's first on that any query sees."""
    hidden: int
    """The first queries, which see none of them: what an operator gives for them, and with what weight, differs."""

    def of(self, case: Case) -> Case:
        """The case of the call."""
        return case._replace(ring=1, mask=self.mask, seq_len_q=self.queries, seq_len_kv=self.keys)


class UnalignedBlock(ValueError):
    """A block whose causal mask no operator takes: aligned neither to the top left nor to the bottom right."""


def blocks(case: Case, index: int) -> list[Block | None]:
    """What the queries of the group with that index in the ring see, step by step; None of a block they do not.

    Raises UnalignedBlock.
    """
    return [_block(case, index, (index - step) % case.ring) for step in range(case.ring)]


def unsupported(case: Case) -> str | None:
    """Why the ring of ``case`` cannot be computed block by block; None where it can."""
    if case.kv_cache != "contiguous":
        return f"kv cache {case.kv_cache} with ring {case.ring}: a ring passes whole keys and values on"
    try:
        for index in range(case.ring):
            blocks(case, index)
    except UnalignedBlock as error:
        return str(error)
    return None


def _block(case: Case, index: int, source: int) -> Block | None:
    first_query, queries = _chunk(case.seq_len_q, case.tokens_per_rank_q * case.ulysses, index)
    first_key, keys = _chunk(case.seq_len_kv, case.tokens_per_rank_kv * case.ulysses, source)
    if not queries or not keys:
        return None
    if case.mask == "none":
        return Block("none", queries, keys, 0)
    aligned = 0 if case.mask == "causal_top_left" else case.seq_len_kv - case.seq_len_q
    # Query i of the chunk sees the keys of the block up to i + diagonal.
    diagonal = first_query + aligned - first_key
    seen = min(keys, queries + diagonal)
    if seen <= 0:
        return None
    if diagonal >= seen - 1:
        return Block("none", queries, seen, 0)
    if seen == queries + diagonal:
        bottom_right = "causal_full" if case.mask == "causal_full" else "causal"
        return Block(bottom_right, queries, seen, max(0, -diagonal))
    if diagonal == 0:
        return Block("causal_top_left", queries, seen, 0)
    raise UnalignedBlock(
        f"mask {case.mask}, {case.seq_len_q} queries on {case.seq_len_kv} keys in ring {case.ring}: the diagonal of "
        f"block {source} starts {diagonal} keys into it, aligned to neither of its ends"
    )


def _chunk(tokens: int, each: int, index: int) -> tuple[int, int]:
    """The first token of a group's chunk and its number of real ones."""
    first = index * each
    return first, max(0, min(tokens - first, each))
